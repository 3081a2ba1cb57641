"""A folder of files as one dataset: Kedro's partitions, chosen by a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from fsspec.utils import glob_translate  # type: ignore[import-untyped]
from kedro.io.core import DatasetError
from kedro_datasets.partitions.partitioned_dataset import (  # type: ignore[import-untyped]
    PartitionedDataset,
)

from latent.catalog.reading import UnreadableFileError


class FolderDataset(PartitionedDataset):  # type: ignore[misc]  # Kedro has no types
    """
    The files of a folder: a dict from the path in it, `intro.md` say, to a function that loads the file.

    Like Kedro's `partitions.PartitionedDataset`, with suffixes kept in the names and hidden files left out.
    Saving takes a dict of values, or of functions that make them, and leaves other files alone unless
    `overwrite` is set.
    """

    def __init__(
        self,
        *,
        path: str,
        dataset: str | dict[str, Any] | type[Any] = "latent.catalog.TextDataset",
        pattern: str = "**",
        credentials: dict[str, Any] | None = None,
        load_args: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        overwrite: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """`pattern` is a glob below `path`; `**` stands for any folders."""
        super().__init__(
            path=path,
            dataset=dataset,
            credentials=credentials,
            load_args=load_args,
            fs_args=fs_args,
            overwrite=overwrite,
            metadata=metadata,
        )
        self._pattern = pattern

    def load(self) -> dict[str, Callable[[], Any]]:
        self._invalidate_caches()
        if not self._list_partitions():
            raise UnreadableFileError(
                "the folder holds no file."
                if self._pattern == "**"
                else f"no file matches {self._pattern!r}."
            )
        parts = PartitionedDataset.load.__wrapped__(self)  # Kedro wraps each method
        return {name: partial(_load, name, load) for name, load in sorted(parts.items())}

    def save(self, data: dict[str, Any]) -> None:
        if not isinstance(data, dict):
            raise TypeError(f"a folder takes a dict of file names and values, got {type(data).__name__}")
        for name in data:
            if not isinstance(name, str) or not self._holds(name):
                raise ValueError(
                    f"the name {name!r} does not match {self._pattern!r}: it would not be found again"
                )
        PartitionedDataset.save.__wrapped__(self, data)

    def _list_partitions(self) -> list[str]:
        paths = super()._list_partitions()
        return [path for path in paths if self._holds(self._path_to_partition(path))]

    def _holds(self, name: str) -> bool:
        hidden = any(part.startswith(".") for part in name.split("/"))
        return not hidden and self._matcher.match(name) is not None

    @cached_property
    def _matcher(self) -> re.Pattern[str]:
        return re.compile(glob_translate(self._pattern))


def _load(name: str, load: Callable[[], Any]) -> Any:
    """One file of the folder, named in the error where it cannot be read."""
    try:
        return load()
    except UnreadableFileError as error:
        raise UnreadableFileError(f"{name}: {error}") from error
    except DatasetError as error:
        raise UnreadableFileError(f"{name}: {error.__cause__ or error}") from error

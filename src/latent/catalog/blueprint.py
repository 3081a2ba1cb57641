"""What a definition comes to: a dataset class, its arguments with whole paths, and the places they touch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.catalog.definitions import PATH_KEYS, TYPES
from latent.catalog.paths import local_path
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from latent.config import Workspace

_BUILT_IN = frozenset(form["type"] for form in TYPES.values())
# Where data lies and who may read it do not change what is read.
_NOT_CONTENT = frozenset({*PATH_KEYS, "credentials", "metadata", "versioned"})
_CATALOG_KEYS = frozenset({"type", "versioned", "validator"})


class Blueprint:
    """
    Makes the Kedro dataset of one definition.

    Its class is imported when a dataset is first made: a file can be found and hashed without pandas.
    """

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        workspace: Workspace,
        credentials: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.name = name
        self.config = config
        self.type_name: str = config["type"]
        self.versioned = bool(config.get("versioned"))
        self.workspace = workspace
        self._credentials = credentials

    @cached_property
    def local(self) -> Path | None:
        """The file or folder, when it is a local one."""
        written = self.written
        return None if written is None else local_path(written, self.workspace.root)

    @property
    def written(self) -> str | None:
        """The path as the catalog file has it; None for what has no path."""
        return next((self.config[key] for key in PATH_KEYS if isinstance(self.config.get(key), str)), None)

    @property
    def plain_file(self) -> Path | None:
        """The local file, when it is all there is to the dataset, as for the built-in types."""
        known = self.type_name.removeprefix("kedro_datasets.") in _BUILT_IN
        return self.local if known and not self.versioned else None

    @cached_property
    def places(self) -> tuple[Path, ...]:
        """Every local path that the definition names, inner datasets included."""
        return tuple(_places(self.config, self.workspace.root))

    @cached_property
    def inner(self) -> Blueprint | None:
        """The dataset that a `CachedDataset` keeps in memory."""
        wrapped = self.config.get("dataset")
        if self.type_name.rpartition(".")[2] != "CachedDataset" or not isinstance(wrapped, Mapping):
            return None
        config = {**wrapped, "versioned": self.versioned}
        return Blueprint(self.name, config, self.workspace, self._credentials)

    @cached_property
    def definition_hash(self) -> str:
        """A hash of what the definition says about how content is read and written."""
        from latent.cache.hashing import stable_hash
        from latent.catalog.types import short_name

        said = {key: value for key, value in self.config.items() if key not in _NOT_CONTENT}
        if isinstance(options := said.get("fs_args"), Mapping):
            said["fs_args"] = {key: value for key, value in options.items() if key.startswith("open_args")}
        return stable_hash({**said, "type": short_name(self.type_name)})

    def make(self, filepath: Path | None = None, save_version: str | None = None) -> Any:
        """
        A Kedro dataset; on another `filepath` when one is given.

        Raises:
            ValueError: The type, the credentials or an argument are unknown.
        """
        from kedro.io.core import AbstractDataset

        arguments: dict[str, Any] = self._complete(deepcopy(self._arguments()))
        if filepath is not None:
            arguments["filepath"] = filepath.as_posix()
        _refuse_unknown(self._class, arguments)
        config = {**arguments, "type": self._class, "versioned": self.versioned}
        return AbstractDataset.from_config(self.name, config, None, save_version)

    @cached_property
    def _class(self) -> type[Any]:
        from latent.catalog.types import dataset_class

        return dataset_class(self.type_name)

    def _arguments(self) -> dict[str, Any]:
        return {key: value for key, value in self.config.items() if key not in _CATALOG_KEYS}

    def _complete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`arguments` with whole paths, credentials for their names, and classes for inner types."""
        for key, value in arguments.items():
            if key in PATH_KEYS and isinstance(value, str):
                path = local_path(value, self.workspace.root)
                arguments[key] = value if path is None else path.as_posix()
            elif key == "credentials" and isinstance(value, str):
                arguments[key] = self._secret(value)
            elif key == "dataset" and isinstance(value, str | Mapping):
                arguments[key] = self._completed_inner(
                    {"type": value} if isinstance(value, str) else dict(value)
                )
        return arguments

    def _completed_inner(self, config: dict[str, Any]) -> dict[str, Any]:
        from latent.catalog.types import dataset_class

        inner = self._complete(config)
        if isinstance(inner.get("type"), str):
            inner["type"] = dataset_class(inner["type"])
        return inner

    def _secret(self, name: str) -> Any:
        known = self._credentials()
        if name not in known:
            hint = did_you_mean(name, map(str, known), "add them there.")
            raise ValueError(f"the credentials {name!r} are not in config/credentials.yaml: {hint}")
        return deepcopy(known[name])


def _places(config: Mapping[str, Any], root: Path) -> Iterator[Path]:
    for key, value in config.items():
        if key in PATH_KEYS and isinstance(value, str):
            path = local_path(value, root)
            if path is not None:
                yield path
        elif key == "dataset" and isinstance(value, Mapping):
            yield from _places(value, root)


def _refuse_unknown(made: type[Any], arguments: Mapping[str, Any]) -> None:
    """Name an argument that the class does not take, with the one that was probably meant."""
    parameters = inspect.signature(made).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in arguments:
        if key not in parameters:
            hint = did_you_mean(key, parameters, f"it takes {', '.join(parameters)}.")
            raise ValueError(f"its type takes no {key!r}: {hint}")

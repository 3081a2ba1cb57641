"""One dataset of a catalog: loading, saving and fingerprinting what its definition names."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.catalog.blueprint import Blueprint
from latent.catalog.content import (
    check_places,
    check_present,
    content_hash,
    current_path,
    local_files,
    save_content,
)
from latent.catalog.paths import OutsideWorkspaceError, label
from latent.errors import (
    DatasetAccessError,
    DatasetConfigError,
    DatasetLoadError,
    DatasetSaveError,
    UnhashableError,
)

if TYPE_CHECKING:
    from latent.config import Workspace

_log = logging.getLogger("latent.catalog")


def validated(name: str, declared: Any, data: Any, mode: str) -> Any:
    """
    `data` as the validator of a dataset returns it.

    Args:
        declared: What stands under `validator:`; None when nothing does.
        mode: "load" or "save".

    Raises:
        DataValidationError: The data does not pass; with `severity: warn` that is only logged.
    """
    if declared is None:
        return data
    from kedro.validation.core import ValidatorSpec, resolve_validator

    spec = ValidatorSpec.from_dataset_config(name, declared)
    if not spec.enabled or mode not in spec.on:
        return data
    validator = resolve_validator(spec)
    try:
        return validator.validate(data)
    except Exception as error:
        if spec.severity != "warn":
            raise
        _log.warning("Dataset %r does not pass %s on %s: %s", name, spec.class_path, mode, error)
        return data


_SYSTEM = {
    errno.ENOENT: "the file does not exist.",
    errno.EISDIR: "there is a folder in its place.",
    errno.ENOTDIR: "a part of its path is a file, not a folder.",
    errno.EACCES: "permission denied{detail}.",
    errno.EPERM: "permission denied{detail}.",
    errno.EROFS: "the disk is read-only.",
    errno.ENOSPC: "the disk is full; free some space and run it again.",
    errno.ENAMETOOLONG: "its path is too long for this file system.",
}
_LONGEST_REASON = 1000


def reason_of(error: BaseException, type_name: str, workspace: Workspace) -> str:
    """The reason that `error` gives at its root; secrets masked."""
    from latent.catalog.types import missing_extra
    from latent.config import masker_for

    if hint := missing_extra(type_name, error):
        return hint
    root = _root(error)
    text = " ".join(_said(root).split())
    return masker_for(workspace).text(
        text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} [...]"
    )


def line_of(error: BaseException) -> int | None:
    """The line of the file that is to blame, where one is known."""
    line = getattr(_root(error), "line", None)
    return line if isinstance(line, int) else None


def _root(error: BaseException) -> BaseException:
    """Kedro wraps what a dataset raises, and repeats it together with the dataset's whole description."""
    from kedro.io.core import DatasetError

    while type(error) is DatasetError and error.__cause__ is not None:
        error = error.__cause__
    return error


def _said(error: BaseException) -> str:
    from kedro.io.core import DatasetError

    from latent.catalog.types import UnknownTypeError

    if reason := getattr(error, "reason", None):
        # UnicodeDecodeError has a reason, too, which says little without the rest.
        return str(error) if isinstance(error, UnicodeError) else str(reason)
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        detail = f" ({error.strerror})" if error.strerror and "ermission" not in error.strerror else ""
        return _SYSTEM[error.errno].format(detail=detail)
    text = str(error).strip()
    if type(error) in (TypeError, ValueError, DatasetError, UnknownTypeError) and text:
        return f"{text.rstrip('.')}."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """What `latent catalog show` tells of a dataset."""

    name: str
    flow: str
    """The flow in whose catalog the dataset stands."""
    type: str
    file: str
    """The catalog file that defines it."""
    path: str | None
    """Relative to the workspace; of the newest version when versioned; None for what is not a file."""
    versioned: bool
    exists: bool
    size_bytes: int | None
    """Of all files together; None when it does not exist, is not a file or lies elsewhere."""
    fingerprint: str | None
    """None when there is no content, or none that can be hashed."""


class Dataset:
    """A dataset bound to its workspace; safe to use from many threads."""

    def __init__(
        self,
        *,
        name: str,
        flow: str,
        file: str,
        config: Mapping[str, Any],
        workspace: Workspace,
        credentials: Callable[[], Mapping[str, Any]],
    ) -> None:
        """
        Args:
            config: The definition in Kedro's form, with paths as written.
            credentials: Reads `credentials.yaml`; called when a definition refers to it.
        """
        self.name, self.flow, self.file = name, flow, file
        self._config = config
        self._workspace = workspace
        self._credentials = credentials
        self._lock = Lock()
        self._kept: Any = None

    @property
    def kind(self) -> str:
        """Its type as a catalog names it."""
        from latent.catalog.types import short_name

        return short_name(self._config["type"])

    @property
    def path(self) -> str | None:
        """Its path as the catalog file has it; None for what has no path."""
        return self._blueprint.written

    def load(self) -> Any:
        """
        The data.

        Raises:
            DatasetLoadError: It cannot be read; with the line where one is to blame.
        """
        with self._explained(DatasetLoadError):
            check_places(self._blueprint, self._blueprint.places)
            check_present(self._blueprint)
            dataset = self._instance()
            if self._blueprint.plain_file is None:
                local_files(self._blueprint, dataset)  # links among them must not lead out either
            data = dataset.load()
            return validated(self.name, self._config.get("validator"), data, "load")

    def save(self, value: Any) -> None:
        """
        Write the data; single local files in one step.

        Raises:
            DatasetSaveError: It cannot be written; nothing half-written is left.
        """
        with self._explained(DatasetSaveError):
            if value is None:
                raise ValueError("there is nothing to save: the value is None")
            check_places(self._blueprint, self._blueprint.places)
            value = validated(self.name, self._config.get("validator"), value, "save")
            save_content(self._blueprint, self._instance(), value)

    def exists(self) -> bool:
        """Whether there is data to load."""
        with self._explained(DatasetLoadError):
            check_places(self._blueprint, self._blueprint.places)
            if (path := self._blueprint.plain_file) is not None:
                return path.exists()
            return bool(self._instance().exists())

    def fingerprint(self) -> str:
        """
        32 hex characters that change with the content, or with the way it is read.

        Local files are hashed, and not read again while they are unchanged; remote files are read; what
        is not a file (a database table, say) is loaded and its value hashed.

        Raises:
            DatasetLoadError: There is no content.
            UnhashableError: The loaded value has no stable hash.
        """
        from latent.catalog.fingerprints import combined

        with self._explained(DatasetLoadError):
            check_places(self._blueprint, self._blueprint.places)
            check_present(self._blueprint)
            content = content_hash(self._blueprint, self._instance_unless_plain())
            return combined([("content", content), ("definition", self._blueprint.definition_hash)])

    def describe(self) -> DatasetInfo:
        """What is known of the dataset, without an error for what is missing."""
        exists = self.exists()
        path = size_bytes = fingerprint = None
        with self._explained(DatasetLoadError):
            dataset = self._instance_unless_plain()
            if exists or not self._blueprint.versioned:
                path = current_path(self._blueprint, dataset)
            if exists:
                files = local_files(self._blueprint, dataset)
                size_bytes = sum(file.stat().st_size for file in files.values()) if files else None
        if exists:
            with suppress(UnhashableError, DatasetLoadError):
                fingerprint = self.fingerprint()
        return DatasetInfo(
            name=self.name,
            flow=self.flow,
            type=self.kind,
            file=self.file,
            path=self._shown(path or self._blueprint.local),
            versioned=self._blueprint.versioned,
            exists=exists,
            size_bytes=size_bytes,
            fingerprint=fingerprint,
        )

    @cached_property
    def _blueprint(self) -> Blueprint:
        return Blueprint(self.name, self._config, self._workspace, self._credentials)

    def _instance(self) -> Any:
        """A Kedro dataset; the same one each time only when it holds its data in itself."""
        with self._lock:
            if self._kept is not None:
                return self._kept
            try:
                dataset = self._blueprint.make()
            except Exception as error:  # a class of the user's may raise what it likes
                reason = reason_of(error, self._config["type"], self._workspace)
                raise DatasetConfigError(self.name, self.file, reason) from error
            if getattr(dataset, "_EPHEMERAL", False):
                self._kept = dataset
            return dataset

    def _instance_unless_plain(self) -> Any:
        # A plain file says all there is to know: no reason to import pandas for it.
        return None if self._blueprint.plain_file is not None else self._instance()

    def _shown(self, path: Path | None) -> str | None:
        return self._blueprint.written if path is None else label(path, self._workspace.root)

    @contextmanager
    def _explained(self, kind: type[DatasetAccessError]) -> Iterator[None]:
        """Turn whatever Kedro, pandas or the system raise into one paragraph of ours."""
        try:
            yield
        except (DatasetConfigError, DatasetAccessError, UnhashableError):
            raise
        except OutsideWorkspaceError as error:
            raise DatasetConfigError(self.name, self.file, str(error)) from error
        except Exception as error:  # datasets raise what they like; it goes on as the cause
            reason = reason_of(error, self._config["type"], self._workspace)
            path = self._shown(self._blueprint.local)
            raise kind(self.name, self.kind, path, reason, line_of(error)) from error

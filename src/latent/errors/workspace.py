"""Errors of a workspace: its files, settings, parameters, flows, datasets and remembered results."""

from __future__ import annotations

from latent.errors.base import Fields, LatentError, UsageError
from latent.errors.text import as_sentence, did_you_mean, file_line, nearest, toml_key


class WorkspaceError(UsageError):
    """There is no workspace here, or it cannot be used."""


class CodeChangedError(Fields, WorkspaceError):
    """A worker's workspace holds other code or configuration than what was deployed."""

    root: str
    here: str
    deployed: str
    template = (
        "flows/ and config/ of {root} have the digest {here}, but {deployed} was "
        "deployed: `latent deploy` deploys what is here, or bring what was deployed to this machine. "
        'With `[code] check = "trust"` in the settings a worker runs what it has.'
    )


class MissingExtraError(Fields, UsageError, ImportError):
    """
    Something was asked for that needs a library which is not installed; an extra brings it.

    Attributes:
        purpose: What needs it, as the beginning of a sentence: `PDF files`.
    """

    purpose: str
    module: str
    extra: str
    distribution: str
    template = "{purpose} need {module}, which is not installed: pip install '{distribution}[{extra}]'"


class ConfigError(LatentError, ValueError):
    """A settings, parameter or catalog file says something that cannot be used."""


class SettingsError(Fields, ConfigError):
    """Settings are unknown or cannot be used."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n  ".join(("The settings cannot be used:", *self.problems))


class UnknownLimitError(Fields, ConfigError, KeyError):
    """A task, a model or a `with limit(...)` names a limit that the settings do not define."""

    name: str
    known: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        near = nearest(self.name, self.known)
        hint = f"did you mean {near!r}? Otherwise add" if near else "add"
        defined = f"defined: {', '.join(self.known)}" if self.known else "none is defined"
        return (
            f"There is no limit {self.name!r} in {self.place} ({defined}): {hint} the line "
            f"[limits.{toml_key(self.name)}] there; it needs nothing below it."
        )


class ConfigValidationError(Fields, ConfigError):
    """Parameters that the `config_schema` of their flow refuses, one line for each."""

    flow_name: str
    problems: tuple[str, ...]

    def __str__(self) -> str:
        head = f"Configuration validation failed for flow {self.flow_name!r}:"
        return "\n  ".join((head, *self.problems))


class DeploymentError(Fields, ConfigError):
    """A deployment cannot be what its settings say, or what stands on the server cannot be read."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"Deployment {self.name!r}: {as_sentence(self.reason)}"


class DeploymentNotFoundError(Fields, UsageError, LookupError):
    """
    There is no deployment of that name in the settings, or on the server.

    Attributes:
        where: Where there is none: `latent.toml`, or an address.
    """

    name: str
    known: tuple[str, ...]
    where: str

    def __str__(self) -> str:
        known = f"known there: {', '.join(self.known)}." if self.known else "none is known there."
        hint = did_you_mean(self.name, self.known, known)
        return f"There is no deployment {self.name!r} in {self.where}: {hint}"


class CatalogError(LatentError):
    """A dataset cannot be described, loaded or saved."""


class DatasetNotFoundError(Fields, CatalogError, KeyError):
    """A flow named a dataset that its catalog does not define."""

    name: str
    known: tuple[str, ...]
    file: str

    def __str__(self) -> str:
        elsewhere = next((name for name in self.known if name.endswith(f".{self.name}")), None)
        hint = did_you_mean(
            elsewhere or self.name, self.known, "`latent catalog list` shows what is defined."
        )
        return f"Dataset {self.name!r} is not in {self.file}: {hint}"


class DatasetConfigError(Fields, CatalogError, ValueError):
    """An entry of a catalog file cannot be used: its type, its path or one of its arguments."""

    name: str
    file: str
    reason: str
    template = "Dataset {name!r} in {file} cannot be used: {reason}"


class DatasetAccessError(Fields, CatalogError):
    """
    The data of a dataset cannot be reached.

    Attributes:
        kind: The dataset's type as a catalog names it, say `pandas.CSVDataset`.
        path: Its file or folder, relative to the workspace; None for what is not a file.
        line: 1-based line of the file; None when none is to blame or it is unknown.
    """

    action = "used"

    name: str
    kind: str
    path: str | None
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.kind, self.path) if part)
        line = f"line {self.line}: " if self.line else ""
        return f"Dataset {self.name!r} ({where}) cannot be {self.action}: {line}{self.reason}"


class DatasetLoadError(DatasetAccessError):
    """The data of a dataset cannot be read."""

    action = "loaded"


class DatasetSaveError(DatasetAccessError):
    """The data of a dataset cannot be written; what its file held before is untouched."""

    action = "saved"


class RegistryError(LatentError):
    """Flows or tasks clash, or one that was named does not exist."""


class CacheError(LatentError):
    """The store of remembered results cannot be used."""


class UnhashableError(Fields, CacheError, TypeError):
    """A value has no fingerprint that stays the same from run to run, so no key can be made of it."""

    path: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'The value'} ({self.kind}) has no stable hash: {self.reason}."


class UnstorableError(Fields, CacheError, TypeError):
    """A result cannot be remembered, because what is read back would not be exactly what was returned."""

    path: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'The result'} ({self.kind}) cannot be remembered: {self.reason}."


class OutputMismatchError(CatalogError, ValueError):
    """What a flow or task returned does not fit the datasets it declares as `output`."""


class ParameterNotFoundError(ConfigError, KeyError, AttributeError):
    """`params` was asked for a name that the running flow does not have."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0])


class FlowNotFoundError(Fields, RegistryError, KeyError):
    """The workspace has no flow of this name."""

    name: str
    known: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        hint = did_you_mean(self.name, self.known, "`latent ls` shows the flows that exist.")
        return f"There is no flow {self.name!r} in {self.place}: {hint}"


class FlowImportError(Fields, RegistryError, ImportError):
    """Python cannot load a flow file; the message names the file, the line and the reason."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{file_line(self.file, self.line)} cannot be loaded: {self.reason}"

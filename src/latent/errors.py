"""
Every error the user can see.

Each says what happened, where, and what to do next::

    LatentError
    ├── UsageError                  a wrong call or command: exit code 2
    │   ├── WorkspaceError          no workspace, or one that cannot be used
    │   └── NotInRunError           something that exists only inside a run was asked for outside
    ├── ConfigError (ValueError)    settings, parameters, YAML and TOML files
    │   ├── SettingsError           settings that are unknown or cannot be used
    │   └── ConfigValidationError   parameters that their schema refuses
    ├── CatalogError                datasets that cannot be loaded or saved
    │   ├── DatasetNotFoundError (KeyError)
    │   └── OutputMismatchError (ValueError)  what a flow or task returned does not fit its `output`
    ├── RegistryError               flows and tasks that clash or are missing
    │   ├── FlowNotFoundError (KeyError)
    │   └── FlowImportError         a flow file that Python cannot load
    ├── CacheError                  the store of remembered results
    │   └── UnhashableError (TypeError)       a value without a stable fingerprint
    ├── TrackingError               run folders, the spool and the MLflow store
    └── TaskExecutionError          a task failed; also an instance of the original error's class
"""

from __future__ import annotations

import pickle
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class LatentError(Exception):
    """Base of every error that latent raises on purpose."""


class UsageError(LatentError):
    """A wrong call or command; the command line ends with exit code 2."""


class WorkspaceError(UsageError):
    """There is no workspace here, or it cannot be used."""


class NotInRunError(UsageError, RuntimeError):
    """Something that exists only inside a flow or task run was asked for outside of one."""


class ConfigError(LatentError, ValueError):
    """A settings, parameter or catalog file says something that cannot be used."""


class SettingsError(ConfigError):
    """Settings are unknown or cannot be used."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)  # all in args: errors cross process borders by pickle
        self.problems = problems

    def __str__(self) -> str:
        return "\n  ".join(("The settings cannot be used:", *self.problems))


class ConfigValidationError(ConfigError):
    """Parameters that the `config_schema` of their flow refuses, one line for each."""

    def __init__(self, flow_name: str, problems: tuple[str, ...]) -> None:
        super().__init__(flow_name, problems)
        self.flow_name, self.problems = flow_name, problems

    def __str__(self) -> str:
        head = f"Configuration validation failed for flow {self.flow_name!r}:"
        return "\n  ".join((head, *self.problems))


class CatalogError(LatentError):
    """A dataset cannot be described, loaded or saved."""


class RegistryError(LatentError):
    """Flows or tasks clash, or one that was named does not exist."""


class CacheError(LatentError):
    """The store of remembered results cannot be used."""


class TrackingError(LatentError):
    """A run folder, the spool or the MLflow store cannot be used."""


class OutputMismatchError(CatalogError, ValueError):
    """What a flow or task returned does not fit the datasets it declares as `output`."""


class ParameterNotFoundError(ConfigError, KeyError, AttributeError):
    """`params` was asked for a name that the running flow does not have."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0])


class FlowNotFoundError(RegistryError, KeyError):
    """The workspace has no flow of this name."""

    def __init__(self, name: str, known: tuple[str, ...], place: str) -> None:
        super().__init__(name, known, place)
        self.name, self.known, self.place = name, known, place

    def __str__(self) -> str:
        hint = did_you_mean(self.name, self.known, "`latent ls` shows the flows that exist.")
        return f"There is no flow {self.name!r} in {self.place}: {hint}"


class FlowImportError(RegistryError, ImportError):
    """Python cannot load a flow file; the message names the file, the line and the reason."""

    def __init__(self, file: str, line: int | None, reason: str) -> None:
        super().__init__(file, line, reason)
        self.file, self.line, self.reason = file, line, reason

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where} cannot be loaded: {self.reason}"


class PortableError(LatentError):
    """Stands for an exception that cannot be pickled when an error crosses a process border."""


class TaskExecutionError(LatentError):
    """
    A task failed; the original error is chained and kept at `.original_error`.

    Made by `TaskExecutionError.of`, whose instances also belong to the original error's class, so that
    `except ValueError` still catches them, and carry its attributes (`errno`, `response`, ...). Where that class
    cannot be subclassed (pydantic's `ValidationError`, for one), only the chain leads to it.

    Attributes:
        task_name: The task that failed.
        original_error: What the task's function raised.
        context: `input` (dataset names), `row_index` (None outside of a map), `arguments` (shortened and masked),
            `attempts` and `span`.
    """

    task_name: str
    original_error: BaseException
    context: Mapping[str, Any]
    original_text: str

    @classmethod
    def of(
        cls, task_name: str, original: BaseException, context: Mapping[str, Any], text: str | None = None
    ) -> TaskExecutionError:
        """
        An error about `original`, which is also an instance of its class.

        Args:
            text: The original's text when it must be masked; its own text otherwise.
        """
        kind = _failure_class(_root_class(original))
        error = _instance(kind, original)
        error.__dict__.update({k: v for k, v in original.__dict__.items() if not k.startswith("__")})
        error.task_name, error.original_error, error.context = task_name, original, context
        error.original_text = str(original) if text is None else text
        return error

    def __str__(self) -> str:
        return (
            f"Task {self.task_name!r} failed.\n"
            f"Original error: {type(self.original_error).__name__}: {self.original_text}\n"
            f"Context: {dict(self.context)}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        original = _portable(self.original_error)
        return _rebuild_task_error, (self.task_name, original, dict(self.context), self.original_text)


def _rebuild_task_error(
    task_name: str, original: BaseException, context: Mapping[str, Any], text: str
) -> TaskExecutionError:
    error = TaskExecutionError.of(task_name, original, context, text)
    error.__cause__ = original
    return error


def _root_class(error: BaseException) -> type[BaseException]:
    """The class a user wrote: of a nested task's error, the class of what failed innermost."""
    while isinstance(error, TaskExecutionError):
        error = error.original_error
    return type(error)


@lru_cache(maxsize=256)
def _failure_class(original: type[BaseException]) -> type[TaskExecutionError]:
    try:
        return type("TaskExecutionError", (TaskExecutionError, original), {"__module__": __name__})
    except TypeError:  # a final class, or one whose memory layout cannot be combined
        return TaskExecutionError


def _instance(kind: type[TaskExecutionError], original: BaseException) -> TaskExecutionError:
    """An instance of `kind` whose built-in part (`args`, `errno`, `start`, ...) repeats the original's."""
    try:
        error = kind.__new__(kind, *original.args)
        builtin = next(base for base in type(original).__mro__ if base.__module__ == "builtins")
        builtin.__init__(error, *original.args)
    except TypeError:  # a class that wants other arguments than it keeps in `args`
        error = BaseException.__new__(kind, *original.args)
    return error


def _portable(error: BaseException) -> BaseException:
    try:
        # Only whether it survives the border is asked; nothing foreign is read here.
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return PortableError(f"{type(error).__name__}: {error}")
    return error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most likely meant by `name`; None when nothing comes close."""
    matches = get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint for an unknown `name`: the nearest known one, else the sentence `otherwise`."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else otherwise

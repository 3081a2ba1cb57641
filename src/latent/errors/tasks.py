"""Errors of tasks and rows: of the class that was raised, and able to cross process borders."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from latent.errors.base import LatentError
from latent.errors.text import cause_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

ErrorT = TypeVar("ErrorT", bound=BaseException)


class PortableError(LatentError):
    """Stands for an exception that cannot be pickled when an error crosses a process border."""


class TaskExecutionError(LatentError):
    """
    A task failed; the original error is chained and kept at `.original_error`.

    Made by `TaskExecutionError.of`, whose instances also belong to the original error's class, so that
    `except ValueError` still catches them, and carry its attributes (`errno`, `response`, ...). Where that
    class cannot be subclassed (pydantic's `ValidationError`, for one), only the chain leads to it.

    Attributes:
        task_name: The task that failed.
        original_error: What the task's function raised.
        context: `input` (dataset names), `row_index` (None outside of a map), `arguments` (shortened and
            masked), `attempts` and `span`.
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
        try:
            kind = _failure_class(cast("Hashable", _root_class(original)))
            return cls._filled(kind, task_name, original, context, text)
        except Exception:  # an exception class of so strange a make that nothing can be both
            return cls._filled(TaskExecutionError, task_name, original, context, text)

    @staticmethod
    def _filled(
        kind: type[TaskExecutionError],
        task_name: str,
        original: BaseException,
        context: Mapping[str, Any],
        text: str | None,
    ) -> TaskExecutionError:
        error = shaped_like(original, kind)
        error.task_name, error.original_error, error.context = task_name, original, context
        error.original_text = text_of(original) if text is None else text
        return error

    def __str__(self) -> str:
        return (
            f"Task {self.task_name!r} failed.\n"
            f"Original error: {type(self.original_error).__name__}: {self.original_text}\n"
            f"Context: {dict(self.context)}"
        )

    def __repr__(self) -> str:
        # That of the base would show the original's arguments, which may hold what the text masks.
        kind = type(self.original_error).__name__
        return f"TaskExecutionError({self.task_name!r}, {kind}: {self.original_text})"

    def __reduce__(self) -> tuple[Any, ...]:
        original = portable(self.original_error, PortableError)
        return _rebuild_task_error, (self.task_name, original, dict(self.context), self.original_text)


class RowEndedError(LatentError, RuntimeError):
    """A row ended without a word of its own: `sys.exit` was called in it, or its worker process died."""


class FailedRowsError(LatentError, ExceptionGroup):
    """Rows of a mapped task failed; `.exceptions` are their errors, so that `except*` can tell them apart."""

    @classmethod
    def of(
        cls, task_name: str, rows: int, errors: Sequence[Exception], stopped: str | None = None
    ) -> FailedRowsError:
        """
        One error for all failed rows; its text names each different cause once, with its first row.

        Args:
            stopped: Why further rows were not even begun; None when none were left out.
        """
        causes: dict[str, list[Exception]] = {}
        for error in errors:
            causes.setdefault(cause_of(_message(error)), []).append(error)
        shown = [
            f"  {len(group):,}x {_message(group[0])}{_first_row(group[0])}"
            for group in list(causes.values())[:5]
        ]
        if len(causes) > len(shown):
            shown.append(f"  ... and {len(causes) - len(shown)} other causes")
        shown.extend([] if stopped is None else [stopped])
        return cls(
            "\n".join([f"Task {task_name!r}: {len(errors):,} of {rows:,} rows failed.", *shown]), errors
        )

    def derive(self, excs: Sequence[Exception]) -> FailedRowsError:  # type: ignore[override]  # rows raise no others
        """A part of this group with the same text: what `except*` and `split` make."""
        return FailedRowsError(self.message, excs)

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        # Prefect logs it, and that of the base class has every row's error in it: ten thousand on one line.
        return f"{type(self).__name__}({self.message!r})"


def _message(error: Exception) -> str:
    if isinstance(error, TaskExecutionError):
        return f"{type(error.original_error).__name__}: {error.original_text}"
    return f"{type(error).__name__}: {error}"


def _first_row(error: Exception) -> str:
    index = error.context.get("row_index") if isinstance(error, TaskExecutionError) else None
    return "" if index is None else f" (first in row {index})"


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
def _failure_class(original: Hashable) -> type[TaskExecutionError]:
    bases = (TaskExecutionError, cast("type[BaseException]", original))
    try:
        return type("TaskExecutionError", bases, {"__module__": __name__})
    except TypeError:  # a final class, or one whose memory layout cannot be combined
        return TaskExecutionError


_BUILTIN_ATTRIBUTES = ("filename", "filename2", "name", "obj", "path")
"""What built-in exceptions keep outside of `args` and `__dict__`."""


def shaped_like(original: BaseException, kind: type[ErrorT]) -> ErrorT:
    """
    An instance of `kind`, a subclass of the original's class, with all that the original carries.

    That is its built-in part (`args`, `errno`, `start`, ...) and its attributes.
    """
    builtin = next(base for base in type(original).__mro__ if base.__module__ == "builtins")
    try:
        error = kind.__new__(kind, *original.args)
        if isinstance(error, builtin):
            builtin.__init__(error, *original.args)  # type: ignore[misc]  # one of the error's own bases
    except Exception:  # a class that wants other arguments than it keeps in `args`
        error = Exception.__new__(kind, *original.args)
    error.__dict__.update({k: v for k, v in original.__dict__.items() if not k.startswith("__")})
    for attribute in _BUILTIN_ATTRIBUTES:
        if getattr(original, attribute, None) is not None and hasattr(error, attribute):
            setattr(error, attribute, getattr(original, attribute))
    return error


def portable(error: BaseException, substitute: Callable[[str], BaseException]) -> BaseException:
    """`error`, or what can be pickled in its place: at worst `substitute`, made of its text."""
    import pickle

    try:
        # Only whether it survives the border is asked; nothing foreign is read here.
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return _revivable(error, substitute)
    return error


def _revivable(error: BaseException, substitute: Callable[[str], BaseException]) -> BaseException:
    """
    The error in a form that survives the border without its class being called.

    Exceptions whose `__init__` wants other arguments than they hand on to `Exception` cannot be unpickled.
    """
    from cloudpickle import dumps  # type: ignore[import-untyped]  # ships no types

    parts = (type(error), error.args, dict(error.__dict__))
    try:
        dumps(parts)  # also a class of the script itself, which plain pickle does not find on the other side
    except Exception:
        return substitute(f"{type(error).__name__}: {text_of(error)}")
    return cast("BaseException", _Revivable(parts))


class _Revivable:
    """Pickles as what `_revive` makes of an exception's parts."""

    def __init__(self, parts: tuple[type[BaseException], tuple[Any, ...], dict[str, Any]]) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, self.parts


def _revive(kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    error = BaseException.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error

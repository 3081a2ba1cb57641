"""What went wrong with a dataset, in one sentence, from the chain of exceptions that Kedro hands over."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.config import Workspace

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

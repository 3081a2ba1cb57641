"""Atomic saves: a reader of a file sees what it held before or what it holds now, never half."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin; hidden, so that folders of files do not show them."""


def save_atomically(target: Path, write: Callable[[Path], None]) -> None:
    """
    Put what `write` writes in the place of `target`, in one step and only when it is complete and on disk.

    The permissions of an existing file are kept; a link stays a link and its target is replaced. What
    writes a folder there keeps its own ways once that folder exists (a Delta table has a history in it).

    Args:
        write: Is handed a path in the same folder, with the same suffixes, and writes there.

    Raises:
        OSError: `target` cannot be written; it is left as it was.
    """
    target = Path(os.path.realpath(target))
    if target.is_dir():
        write(target)
        return
    _check_writable(target)
    _make_folder(target.parent)
    # The suffixes come last, since some formats are chosen by them.
    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{target.name[-150:]}")
    try:
        write(temporary)
        if not temporary.exists():  # NumPy, for one, adds a suffix of its own
            write(target)
            return
        if temporary.is_file():
            _sync(temporary)
            _keep_permissions(temporary, target)
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        for left in target.parent.glob(f"{glob.escape(temporary.name)}*"):
            _remove(left)


def appends(config: Mapping[str, Any]) -> bool:
    """Whether a dataset adds to its file, or insists on a new one, instead of replacing it."""
    return any(_appends(config.get(section)) for section in ("save_args", "fs_args"))


def _appends(section: object) -> bool:
    if not isinstance(section, Mapping):
        return False
    mode = section.get("mode")
    if isinstance(mode, str) and set(mode) & set("ax+"):
        return True
    return any(_appends(value) for key, value in section.items() if key != "open_args_load")


def _check_writable(target: Path) -> None:
    """A file that was made read-only is not replaced, though its folder would allow it."""
    if target.is_file() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only", str(target))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # what POSIX says elsewhere in this case
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def _keep_permissions(temporary: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        before = target.stat()
        if (before.st_uid, before.st_gid) != (temporary.stat().st_uid, temporary.stat().st_gid):
            with suppress(PermissionError):
                shutil.chown(temporary, before.st_uid, before.st_gid)
        temporary.chmod(stat.S_IMODE(before.st_mode))


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder; there the rename is durable by itself.
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # not every file system can
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

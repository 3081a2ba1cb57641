"""The limits of a workspace by name: one limiter for each in a process."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

from latent.config.workspace import Workspace, ensure_private_dir
from latent.errors import UnknownLimitError, UsageError, WorkspaceError
from latent.files.forks import after_fork
from latent.limits.limit_store import LimitStore
from latent.limits.limiter import Limiter

_log = logging.getLogger("latent.limits")

FOLDER_VARIABLE = "LATENT_LIMITS_DIR"

_lock = threading.Lock()
_folders: dict[tuple[str | None, Path], Path] = {}
_stores: dict[Path, LimitStore] = {}
_limiters: dict[tuple[Path, str], Limiter] = {}


def limiter_for(workspace: Workspace, name: str) -> Limiter:
    """
    The limiter of `name`, shared by all that ask in this process, and through its file by the others.

    Raises:
        UsageError: `name` is not a string.
        UnknownLimitError: The settings of the workspace have no `[limits.NAME]`.
        ConfigError: The settings cannot be read.
    """
    limits = workspace.settings.limits
    if (settings := limits.get(limit_name(name))) is None:
        file = workspace.settings_file
        place = workspace.label(file) if file else f"the settings of {workspace.root}"
        raise UnknownLimitError(name, tuple(sorted(limits)), place)
    folder = limits_folder(workspace)
    with _lock:
        if (limiter := _limiters.get((folder, name))) is None:
            limiter = _limiters[folder, name] = Limiter(_known_store(folder), name, settings)
    limiter.configure(settings)
    return limiter


def limit_name(name: object) -> str:
    """
    The name as it was given.

    Raises:
        UsageError: It is not a string: one that comes from a setting that is not set is None.
    """
    if not isinstance(name, str):
        raise UsageError(
            f"A limit's name must be a string, not {name!r}. If it comes from a setting or parameter, "
            "see that one is given there."
        )
    return name


def limits_folder(workspace: Workspace) -> Path:
    """
    Where the limit store keeps its file: the user's own folder, so that a limit holds in every workspace.

    When that cannot be written, it is the workspace's, which is said once.
    """
    key = (os.environ.get(FOLDER_VARIABLE), workspace.root)
    if (known := _folders.get(key)) is None:
        with _lock:
            known = _folders[key] = _usable_folder(workspace, key[0])
    return known


def store_of(folder: Path) -> LimitStore:
    """
    The one limit store of this process for a folder.

    A second one would open the lock file again, and on POSIX closing it frees the bytes of the first.
    """
    with _lock:
        return _known_store(folder)


def _usable_folder(workspace: Workspace, named: str | None) -> Path:
    wanted = Path(named).expanduser() if named else _user_folder()
    own = workspace.state_dir / "limits"
    if wanted is None:
        return own
    try:
        if os.access(ensure_private_dir(wanted), os.W_OK | os.X_OK):
            return wanted.resolve()
        reason = "it cannot be written"
    except WorkspaceError as error:
        reason = str(error.__cause__ or error)
    _log.warning(
        "Limits hold within this workspace only, since %s cannot be used (%s). "
        "LATENT_LIMITS_DIR names another folder.",
        wanted, reason,
    )  # fmt: skip
    return own


def _user_folder() -> Path | None:
    """The platform's folder for what programs keep for a user; None for a user without a home."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return Path(base).expanduser() / "latent" if base else None
    except RuntimeError:  # no home is known
        return None


def _known_store(folder: Path) -> LimitStore:
    if (store := _stores.get(folder)) is None:
        store = _stores[folder] = LimitStore(folder)
    return store


def _reset_after_fork() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()


after_fork(_reset_after_fork)

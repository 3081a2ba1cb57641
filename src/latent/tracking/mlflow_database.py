"""
The workspace's own MLflow database: made whole or not at all, and never thrown away.

MLflow creates its tables by replaying every migration it ever had, which costs seconds. The result is
the same each time, so an empty database is kept for each MLflow version in the user's cache folder, and a
new workspace gets a copy.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from latent.config import ensure_private_dir
from latent.errors import DamagedDatabaseError, TrackingError, WorkspaceError
from latent.files import FileLock
from latent.tracking.folders import artifact_location, default_tracking_uri, tracking_dir

if TYPE_CHECKING:
    from latent.config import Workspace

logger = logging.getLogger("latent.tracking")


def ensure_database(workspace: Workspace) -> None:
    """
    See that the workspace's database exists and can be read.

    Raises:
        DamagedDatabaseError: It exists and is not an MLflow database; it is left as it is.
        TrackingError: The workspace's path holds characters that MLflow takes for something else.
        OSError: The disk is full or read-only.
    """
    path = workspace.mlflow_db.absolute()
    if {"%", "?"} & set(str(path)):
        raise TrackingError(
            f"MLflow cannot keep a database in {path.parent}, because of the '%' or '?' in it: rename the "
            "folder, or set MLFLOW_TRACKING_URI."
        )
    with FileLock(ensure_private_dir(tracking_dir(workspace)) / "database.lock"):
        if path.exists() and path.stat().st_size > 0:
            _check(path)
            return
        new = path.with_name(f".mlflow-{uuid4().hex[:8]}.db")
        try:
            _create(new)
            # Whole before it appears under its name: a process that dies in between leaves no half database.
            new.replace(path)
        finally:
            with suppress(OSError):
                new.unlink()
    _register_artifact_location(workspace)


def _check(path: Path) -> None:
    """Read the table of contents and one table; damage deeper inside is met, and told, by MLflow."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            connection.execute("SELECT COUNT(*) FROM experiments").fetchone()
    except sqlite3.OperationalError as error:
        # Locked by another process, or made by another program and without our table yet: MLflow decides.
        logger.debug("The check of %s was skipped: %s", path, error)
    except sqlite3.DatabaseError as error:
        raise DamagedDatabaseError(str(path), str(error)) from error


def _create(new: Path) -> None:
    template = _template_file()
    if template is not None and _is_sound(template):
        shutil.copyfile(template, new)
        new.chmod(0o600)
        return
    _migrate(new)
    if template is not None:
        with suppress(OSError, WorkspaceError):
            beside = template.with_name(f".{new.name}")
            shutil.copyfile(new, beside)
            beside.replace(template)


def _migrate(new: Path) -> None:
    """Let MLflow build its tables in the file `new`, which nobody else knows yet."""
    import sqlalchemy
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(f"sqlite:///{new.as_posix()}")

    @sqlalchemy.event.listens_for(engine, "connect")
    def be_quick(connection: sqlite3.Connection, _record: object) -> None:
        # Hundreds of small transactions, each waiting for the disk: pointless for a file nobody has seen yet.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    level = logging.getLogger("mlflow.store.db.utils").level
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    try:
        utils._initialize_tables(engine)  # type: ignore[no-untyped-call]  # MLflow's inside
    finally:
        logging.getLogger("mlflow.store.db.utils").setLevel(level)
        engine.dispose()
    new.chmod(0o600)


def _template_file() -> Path | None:
    """Where the empty database of this MLflow version is kept; None when no such place can be had."""
    from mlflow.version import VERSION

    try:
        return ensure_private_dir(_user_cache_dir() / "latent") / f"mlflow-{VERSION}.db"
    except (OSError, RuntimeError, WorkspaceError):
        return None


def _user_cache_dir() -> Path:
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def _is_sound(template: Path) -> bool:
    if not template.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{template.as_uri()}?mode=ro", uri=True)) as connection:
            checked = connection.execute("PRAGMA quick_check").fetchone()
            empty = connection.execute("SELECT COUNT(*) FROM experiments").fetchone()
    except sqlite3.DatabaseError:
        return False
    return bool(checked == ("ok",) and empty == (0,))


def _register_artifact_location(workspace: Workspace) -> None:
    """Open the new store once with our place for artifacts: MLflow's own choice is the current folder."""
    from mlflow.tracking._tracking_service.utils import _get_store

    _get_store(  # type: ignore[no-untyped-call]  # MLflow's inside
        default_tracking_uri(workspace), artifact_location(workspace)
    )

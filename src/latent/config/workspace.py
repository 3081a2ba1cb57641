"""The workspace: which folder a project lives in, and where things lie inside it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from latent.config.stamps import stamp
from latent.errors import ConfigError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from latent.config.settings import Settings

SETTINGS_FILES = ("config/latent.toml", "latent.toml", ".latent.toml")
STATE_FOLDER = ".latent"


@dataclass(frozen=True)
class Workspace:
    """A project folder; every path is derived from its root, and nothing is created by asking."""

    root: Path
    found: bool = True
    """False: no settings file, `flows/` or `.latent/runs` was found; the current folder stands in."""

    @cached_property
    def settings(self) -> Settings:
        """
        Environment variables over the settings file over defaults, read when first asked for.

        Raises:
            ConfigError: A setting is unknown or cannot be used; it names the file or the variable.
        """
        from latent.config.sources import read_settings  # pydantic is loaded only when settings are read

        return read_settings(self)

    @property
    def settings_file(self) -> Path | None:
        """
        The file that settings are read from; None when there is none.

        Raises:
            ConfigError: There are several, so that one of them would be silently ignored.
        """
        files = settings_files(self.root)
        if len(files) > 1:
            names = " and ".join(self.label(file) for file in files)
            raise ConfigError(f"Settings stand in {names} of {self.root}: move them into one file.")
        return files[0] if files else None

    @property
    def config_dir(self) -> Path:
        return self.root / "config"

    @property
    def global_parameters_file(self) -> Path:
        return self.config_dir / "global.yaml"

    @property
    def credentials_file(self) -> Path:
        return self.config_dir / "credentials.yaml"

    @property
    def flows_dir(self) -> Path:
        return self.root / "flows"

    @property
    def state_dir(self) -> Path:
        """What latent writes for itself; git-ignored, private to the user, safe to delete."""
        return self.root / STATE_FOLDER

    @property
    def cache_dir(self) -> Path:
        return self.state_dir / "cache"

    @property
    def runs_dir(self) -> Path:
        return self.state_dir / "runs"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def services_dir(self) -> Path:
        return self.state_dir / "services"

    @property
    def mlflow_db(self) -> Path:
        return self.state_dir / "mlflow.db"

    def flow_folders(self) -> dict[str, Path]:
        """Every `flows/<name>/` that holds a `flow.py`, by name, in alphabetical order."""
        return {
            flow_file.parent.name: flow_file.parent for flow_file in sorted(self.flows_dir.glob("*/flow.py"))
        }

    def flow_folder(self, name: str) -> Path | None:
        """
        The folder `flows/<name>/`; None when there is none.

        A folder without a `flow.py` counts: a flow defined elsewhere may keep its parameters there. Where no
        folder has the very name, `-` and `_` are the same: Prefect writes names of functions with dashes.
        """
        # A name that is a path must not lead out of flows/.
        if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
            return None
        spellings = dict.fromkeys((name, name.replace("-", "_"), name.replace("_", "-")))
        return next((folder for each in spellings if (folder := self.flows_dir / each).is_dir()), None)

    def label(self, path: Path) -> str:
        """How messages name a file: relative to the root, with forward slashes; whole when outside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def find_workspace(start: Path | None = None) -> Workspace:
    """
    The workspace that `start` (default: the current folder) lies in.

    The root is LATENT_WORKSPACE when that is set, else the nearest folder upwards with a settings file, a
    `flows/` folder or a `.latent/runs` folder, else `start` itself with `found=False`. The same object is
    returned until the settings file or a LATENT_* variable changes, so that asking costs a tenth of a
    millisecond.

    Raises:
        WorkspaceError: LATENT_WORKSPACE names no folder, or the current folder was deleted.
    """
    root, found = _locate(start)
    signature = (found, [(file, stamp(file)) for file in settings_files(root)], _environment())
    with _known_lock:
        known = _known.get(root)
        if known is None or known[0] != signature:
            known = _known[root] = (signature, Workspace(root, found))
        return known[1]


_known: dict[Path, tuple[object, Workspace]] = {}
_known_lock = Lock()


def settings_files(root: Path) -> list[Path]:
    """The settings files that `root` has as the root of a workspace; more than one is a mistake."""
    names: tuple[str, ...] = SETTINGS_FILES
    if root.name == "config" and not _is(stat.S_ISDIR, root, "flows"):
        # my_project/config/latent.toml makes my_project the root, also when one stands in config/.
        names = ("config/latent.toml", ".latent.toml")
    return [root / name for name in names if _is(stat.S_ISREG, root, name)]


def ensure_private_dir(path: Path) -> Path:
    """
    The folder `path`, created for the user alone where it does not exist.

    A `.latent` folder on the way gets a `.gitignore` of its own, so that results and logs are never
    committed by accident.

    Raises:
        WorkspaceError: The folder cannot be created (read-only disk, a file in its place).
    """
    try:
        for folder in [folder for folder in (*reversed(path.parents), path) if not folder.is_dir()]:
            # The mode is ignored on Windows, where a user's own folders are private already.
            folder.mkdir(mode=0o700, exist_ok=True)
        for folder in (path, *path.parents):
            if folder.name == STATE_FOLDER and not (folder / ".gitignore").exists():
                (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"The folder {path} cannot be created: {error.strerror or error}. latent keeps results, runs and "
            "logs there; make the workspace writable or point LATENT_WORKSPACE to one that is."
        ) from error
    return path


def _locate(start: Path | None) -> tuple[Path, bool]:
    if named := os.environ.get("LATENT_WORKSPACE"):
        root = Path(named).expanduser().resolve()
        if not root.is_dir():
            raise WorkspaceError(
                f"LATENT_WORKSPACE is {named!r}, which is not a folder: set it to a workspace's root, or "
                "unset it to use the nearest workspace upwards from the current folder."
            )
        return root, True
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError as error:
        raise WorkspaceError("The current folder no longer exists: change to one that does.") from error
    if here.is_file():
        here = here.parent
    for folder in (here, *here.parents):
        if _is(stat.S_ISDIR, folder, "flows") or settings_files(folder) or _has_runs(folder):
            return folder, True
    return here, False


def _has_runs(folder: Path) -> bool:
    """Whether something ran here without a project around it: an evaluation from the command line, say."""
    return _is(stat.S_ISDIR, folder, f"{STATE_FOLDER}{os.sep}runs")


def _is(kind: Callable[[int], bool], folder: Path, name: str) -> bool:
    """Whether `folder/name` is of a kind; what may not be looked at is not there."""
    try:
        return kind(os.stat(f"{folder}{os.sep}{name}").st_mode)  # noqa: PTH116 - asked often, and five times faster
    except (OSError, ValueError):
        return False


def _environment() -> object:
    # Names first: decoding the value of every variable would cost more than all the rest.
    return tuple((name, os.environ.get(name)) for name in os.environ if name.startswith("LATENT_"))

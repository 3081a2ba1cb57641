"""Where a dataset lies: relative to the workspace, and not outside of it unless that is allowed."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

# Kedro's rule: a drive letter is a local path, and so is whatever has no protocol.
_PROTOCOL = re.compile(r"^(?P<protocol>[a-zA-Z0-9]+)://(?P<rest>.*)$", re.DOTALL)
_LOCAL_PROTOCOLS = frozenset({"file", "local"})


class OutsideWorkspaceError(ValueError):
    """A path leads out of the workspace."""


def local_path(written: str, root: Path) -> Path | None:
    """
    The absolute local path that a catalog's `written` path stands for; None when it lies elsewhere.

    Relative paths start at `root`, `~` is the user's home.
    """
    if match := _PROTOCOL.match(written):
        if match["protocol"].lower() not in _LOCAL_PROTOCOLS:
            return None
        written = match["rest"]
    path = root / Path(written).expanduser()
    # Only where it is needed: the name of a link tells the reader more than its target.
    return Path(os.path.realpath(path)) if ".." in path.parts else path


def check_inside(path: Path, root: Path) -> None:
    """
    Refuse a `path` that leaves `root`, through `..`, as an absolute path or through a link.

    To be asked at each access: a link may have been laid since the last one. Costs a few microseconds
    where there are no links.

    Raises:
        OutsideWorkspaceError: It does; the message says where to and which setting allows it.
    """
    steps = _steps(path, root)
    if steps is not None and not any(map(os.path.islink, steps)):
        return
    real = os.path.realpath(path)
    if not Path(real).is_relative_to(os.path.realpath(root)):
        by_link = "" if steps is None else " (through a link)"
        raise OutsideWorkspaceError(
            f"{real} lies outside of the workspace{by_link}: move the data into it, or set "
            "`allow_outside_paths = true` under `[catalog]` in config/latent.toml."
        )


@lru_cache(maxsize=8192)
def _steps(path: Path, root: Path) -> tuple[str, ...] | None:
    """Each folder on the way from `root` to `path`, and `path`; None when the text alone leads elsewhere."""
    if not path.is_relative_to(root) or ".." in path.parts:
        return None
    inner = path.relative_to(root).parts
    return tuple(str(root.joinpath(*inner[: end + 1])) for end in range(len(inner)))


def label(path: Path | str, root: Path) -> str:
    """How messages name a path: relative to the workspace where it lies in it."""
    if isinstance(path, str):
        return path
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

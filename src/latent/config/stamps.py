"""Whether a file is still the one that was read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TICK_NS = 100_000_000


def stamp(file: Path) -> object:
    """
    A value that is equal to a later one only if the file has not changed in between; None when it is absent.

    Costs one look at the file system.
    """
    try:
        stat = file.stat()
    except OSError:
        return None
    if time.time_ns() - stat.st_mtime_ns < _TICK_NS:
        # Two writes within one tick of the file system's clock share a time: such a stamp equals no other.
        return object()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

"""Large values as files beside the database, each written whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

ORPHAN_SECONDS = 3600.0
"""A file without an entry may belong to one that is just being written; after an hour it does not."""


class Blobs:
    """A folder of values that are too large for the database; a name is never used twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, data: bytes) -> str:
        """Keep `data`; the name to read it by."""
        token = uuid4().hex
        name = f"{token[:2]}/{token}"
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return name

    def read(self, name: str) -> bytes | None:
        """What was kept under `name`; None when it is gone."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone or in use elsewhere is left to the next sweep."""
        for name in names:
            with suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)

    def sweep(self, used: set[str]) -> None:
        """Remove old files that no entry names: what a killed process left behind."""
        deadline = time.time() - ORPHAN_SECONDS
        for path in self.folder.glob("??/*"):
            if path.relative_to(self.folder).as_posix() not in used:
                with suppress(OSError):
                    if path.stat().st_mtime < deadline:
                        path.unlink()


def disk_bytes(folder: Path) -> int:
    """Space that all files of a folder take."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(path) / name).stat().st_size
    return total

"""A file of JSON lines that is only appended to, also when the disk fills up on the way."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class LineFile:
    """
    Whole lines, appended by one process.

    The file is opened for each batch: nothing stays open, and a folder deleted by hand is noticed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size: int | None = None

    def append(self, lines: bytes) -> None:
        """
        Append `lines`, each ending with a newline, all of them or none.

        Raises:
            OSError: The disk is full or the folder is gone or read-only; what was written is taken back.
        """
        if not lines:
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            if self._size is None or self._size != os.fstat(descriptor).st_size:
                self._size = _whole_lines(self.path)
                os.ftruncate(descriptor, self._size)
            os.lseek(descriptor, self._size, os.SEEK_SET)
            view = memoryview(lines)
            try:
                while view:
                    view = view[os.write(descriptor, view) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, self._size)
                raise
            self._size += len(lines)
        finally:
            os.close(descriptor)


def _whole_lines(path: Path) -> int:
    """Where to go on: behind the last whole line. A process that was killed may have left half of one."""
    content = path.read_bytes()
    return content.rfind(b"\n") + 1

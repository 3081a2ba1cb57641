"""Which processes take part: each holds one byte of a lock file, which the system frees when it dies."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from pathlib import Path

from latent.files.byte_locks import open_lock_file, try_lock, unlock
from latent.files.sqlite import inode

_log = logging.getLogger("latent.limits")

STALE_SECONDS = 30.0
"""A process that lives and has not been heard of for so long (stopped by a signal, say) loses its slots."""
_LONGEST_GAP_SECONDS = 1.0
"""Time counts only while the watcher itself is awake: after sleep, everybody seems to have been silent."""


class Peers:
    """
    This process among those that share a folder of limits.

    The lock file stays open as long as the process lives: on POSIX, closing any descriptor of it would free
    the byte. The limit worker uses it, and code that asks which processes there are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin_life()

    def _begin_life(self) -> None:
        self._lock = threading.Lock()
        self._file: int | None = None
        self._inode = 0
        self.id: int | None = None
        self._heard: dict[int, tuple[int, float, float]] = {}

    def join(self) -> int:
        """
        The number of this process, whose byte it holds from now on; the same until it leaves.

        Raises:
            OSError: The lock file cannot be opened.
        """
        with self._lock:
            file = self._open()
            while self.id is None:
                number = secrets.randbits(40)
                if try_lock(file, number):
                    self.id = number
            return self.id

    def leave(self) -> None:
        """Give the number back; another process may see at once that it is gone."""
        with self._lock:
            if self.id is not None and self._file is not None:
                unlock(self._file, self.id)
            self.id = None
            self._heard.clear()

    def is_alive(self, member: int) -> bool:
        """Whether the process with this number lives."""
        with self._lock:
            if member == self.id:
                return True
            file = self._open()
            if not try_lock(file, member):
                return True
            unlock(file, member)
            return False

    def is_silent(self, member: int, beat: int, now: float) -> bool:
        """
        Whether a process has made no move for a long time that this one has watched it.

        Told by a count of its moves, not by their times: clocks jump, and machines sleep.
        """
        last_beat, last_seen, silent = self._heard.get(member, (beat, now, 0.0))
        silent = silent + min(now - last_seen, _LONGEST_GAP_SECONDS) if beat == last_beat else 0.0
        self._heard[member] = (beat, now, silent)
        return silent >= STALE_SECONDS

    def forget(self) -> None:
        """Start over in a forked child, which inherits no locks; closing the file there frees none either."""
        if self._file is not None:
            os.close(self._file)
        self._begin_life()

    def _open(self) -> int:
        """The lock file; a new one when it was deleted, so that all who come now meet on the same."""
        if self._file is not None and inode(str(self._path)) == self._inode:
            return self._file
        if self._file is not None:
            _log.debug("The lock file %s was deleted; a new one is used.", self._path)
            os.close(self._file)
            self.id = None
        self._file = open_lock_file(self._path)
        self._inode = os.fstat(self._file).st_ino
        return self._file

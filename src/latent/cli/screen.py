"""
A few lines at the bottom of the terminal that change, while everything else scrolls by above them.

Other writers, `print` or a log handler, write through a stand-in for its stream: the lines are
wiped, the text is written as it is, and the lines come back behind it. Nothing is hidden, so that a process
that is killed leaves a usable terminal.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, TextIO, cast

from latent.cli.terminal import is_terminal


class Screen:
    """
    The changing lines on one terminal; safe in threads and in signal handlers.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # A signal handler may write while its own thread draws.
        self._lock = RLock()
        self._lines: Sequence[str] = ()
        self._height = 0
        self._in_line = False
        """Whether another writer has begun a line and not ended it."""

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines in the place of the last ones; they are cut where the terminal ends."""
        columns, rows = shutil.get_terminal_size()
        with self._lock:
            # One column stays free: some terminals go to the next line once the last one is written.
            self._lines = [clipped(line, columns - 1) for line in lines[: max(rows - 1, 1)]]
            self._stream.write(self._wiped() + self._drawn())
            self._stream.flush()

    def clear(self) -> None:
        """Take the lines away."""
        self.draw(())

    def write_above(self, stream: TextIO, text: str) -> int:
        """Write another writer's text to its own stream, above the lines."""
        with self._lock:
            if wiped := self._wiped():
                self._stream.write(wiped)
                self._stream.flush()
            written = stream.write(text)
            self._in_line = not text.endswith("\n") if text else self._in_line
            if self._lines and not self._in_line:
                stream.flush()
                self._stream.write(self._drawn())
                self._stream.flush()
        return written

    def _wiped(self) -> str:
        """What takes the lines away: up to the first of them, and everything below it cleared."""
        height, self._height = self._height, 0
        return f"\x1b[{height}A\r\x1b[J" if height else ""

    def _drawn(self) -> str:
        if self._in_line:
            return ""  # they come back once that line has ended
        self._height = len(self._lines)
        return "".join(f"{line}\n" for line in self._lines)


def clipped(line: str, columns: int) -> str:
    """The beginning of a line, as much as fits; some characters take two columns."""
    if line.isascii():
        return line[:columns]
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= columns else set_cell_size(line, columns)


class _Above:
    """Stands in for a stream while the screen has lines; all but writing is left to the stream."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        self._screen, self._stream = screen, stream

    def write(self, text: str) -> int:
        return self._screen.write_above(self._stream, text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def writing_above(screen: Screen) -> Iterator[None]:
    """While the block runs, whatever is printed or logged to a terminal appears above the screen's lines."""
    stdout, stderr = sys.stdout, sys.stderr
    above = {
        stream: cast("TextIO", _Above(screen, stream)) for stream in (stdout, stderr) if is_terminal(stream)
    }
    sys.stdout, sys.stderr = above.get(stdout, stdout), above.get(stderr, stderr)
    moved = [(handler, handler.stream) for handler in _handlers() if handler.stream in above]
    for handler, stream in moved:
        _move(handler, above[stream])
    try:
        yield
    finally:
        for handler, stream in moved:
            _move(handler, stream)
        # Another library may have replaced the stream meanwhile.
        if sys.stdout is above.get(stdout):
            sys.stdout = stdout
        if sys.stderr is above.get(stderr):
            sys.stderr = stderr


def _handlers() -> list[logging.StreamHandler[TextIO]]:
    """Every log handler that keeps a stream it once found."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    found = {handler for each in loggers if isinstance(each, logging.Logger) for handler in each.handlers}
    return [handler for handler in found if isinstance(handler, logging.StreamHandler)]


def _move(handler: logging.StreamHandler[TextIO], stream: TextIO) -> None:
    handler.setStream(stream)
    # Prefect's handler prints through a console of rich's, which has a file of its own.
    if (console := getattr(handler, "console", None)) is not None:
        console.file = stream

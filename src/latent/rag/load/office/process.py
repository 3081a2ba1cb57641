"""
A process that reads documents for this one: whatever a file does to it, this one lives on.

It is started with the first document and kept until this process ends. It is spawned, never forked, is handed
bytes and no path, sees none of the environment's secrets, and has limits on memory and time.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from latent.files.forks import after_fork

SECONDS = 120.0
"""So long a document may take."""
START_SECONDS = 60.0
"""So long the process may take to start."""
MEMORY_BYTES = 4 * 1024**3
"""So much address space the process may use, where the system can limit that."""

HEADER = struct.Struct(">II")
"""Before each message: the lengths of its JSON, and of the bytes behind it."""
_START = (
    # The search path of this process comes last: a user's `email.py` must not be taken for Python's own.
    "import sys; sys.path += sys.argv[4:]; "
    "from latent.rag.load.office.worker import main; main(*sys.argv[1:4])"
)
_ENVIRONMENT = frozenset({
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR",
})  # fmt: skip
"""What it may see of the environment."""


class ReaderProcessError(Exception):
    """The process ended or was stopped, without an answer."""


class ReaderProcess:
    """
    The process, which reads one document at a time; threads wait for each other.

    A process that was forked from this one, or that runs elsewhere, has a reader of its own.

    Args:
        seconds: How long a document may take.
        memory_bytes: How much address space it may use.
    """

    def __init__(self, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
        self._seconds, self._memory_bytes = seconds, memory_bytes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        atexit.register(self.stop)
        after_fork(self._let_go)

    @property
    def pid(self) -> int | None:
        """Of the process that runs now; None when none does."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ask(self, suffix: str, data: bytes) -> dict[str, Any]:
        """
        What the process says of a document: `text`, `title` and `metadata`, or `error`.

        Raises:
            ReaderProcessError: It ended over it, or was stopped; the next document gets a new one.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._exchange({"suffix": suffix}, data)

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(OSError):  # what it never read is lost with it
                    pipe.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _start(self) -> None:
        self.stop()
        limits = (str(os.getpid()), str(self._memory_bytes), str(self._seconds))
        paths = [str(Path(path).absolute()) for path in sys.path if path]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        # Not multiprocessing, which imports the user's script once more.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-c", _START, *limits, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=Path(tempfile.gettempdir()).anchor,  # nothing of the user's lies beside a document
            env={name: value for name, value in os.environ.items() if name.upper() in _ENVIRONMENT},
            **_detached(),
        )
        self._exchange(None, b"")

    def _exchange(self, question: dict[str, Any] | None, data: bytes) -> dict[str, Any]:
        """Send a question, or none while the process starts, and wait for the answer."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(START_SECONDS if question is None else self._seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            if question is not None:
                text = json.dumps(question).encode()
                process.stdin.write(HEADER.pack(len(text), len(data)) + text)
                process.stdin.write(data)
                process.stdin.flush()
            answer = _received(process.stdout)
        except (OSError, EOFError):
            raise ReaderProcessError(self._why_it_ended(question is None, is_late.is_set())) from None
        except BaseException:  # interrupted: the answer would be taken for that to the next question
            self.stop()
            raise
        finally:
            timer.cancel()
        return answer

    def _why_it_ended(self, is_start: bool, is_late: bool) -> str:
        process, log = self._process, self._log
        assert process is not None and log is not None
        process.kill()
        code = process.wait()
        log.seek(0)
        lines = log.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        said = [line for line in lines if re.search("panicked|memory allocation|Error", line)] or lines
        self.stop()
        told = f" ({said[-1]})" if said else ""
        if is_start:
            return f"the process that reads such files does not start: exit code {code}{told}."
        if is_late:
            return f"it is not read within {self._seconds:g} seconds, and its reader was stopped."
        gigabytes = self._memory_bytes / 1024**3
        why = f"it is damaged, or takes more than {gigabytes:g} GiB"
        return f"its reader ended over it with code {code}{told}: {why}."

    def _let_go(self) -> None:
        """In a process that was forked: the reader is the parent's, which alone keeps its input open."""
        self._lock = threading.Lock()
        process, self._process = self._process, None
        if process is not None:
            process.returncode = 0  # Python warns of a process that it loses
            for pipe in filter(None, (process.stdin, process.stdout)):
                with suppress(OSError):
                    os.close(pipe.fileno())  # not `close`, which would write what the parent was writing
        self._log = None


def _received(pipe: IO[bytes]) -> dict[str, Any]:
    length, _ = HEADER.unpack(_exactly(pipe, HEADER.size))
    answer: dict[str, Any] = json.loads(_exactly(pipe, length))
    return answer


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _detached() -> dict[str, Any]:
    """Options that keep a Ctrl-C in the user's terminal away from the process."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}

"""Other processes for the tests: each runs a program on its own and is never left behind."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TIMEOUT_SECONDS = 60

_HEAD = """
import sys, time, os
from pathlib import Path
from datetime import timedelta
from latent.cache import CodeFingerprint, Leases, Memory, Result, SQLiteStore, row_key

folder = Path(sys.argv[1])
memory = Memory(SQLiteStore(folder), leases=Leases(folder / "inflight.lock"))
code = CodeFingerprint("c" * 32)

def say(*words):
    print(*words, flush=True)

def recall(key):
    return memory.recall(key, code=code, parameter=lambda name: "")
"""


@contextmanager
def peer(program: str, folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `program` with a memory on `folder`; killed at the end of the block."""
    command = [sys.executable, "-c", _HEAD + textwrap.dedent(program), str(folder), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(TIMEOUT_SECONDS)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that a peer prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], text: str) -> None:
    """Send a line to a peer."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> str:
    """What a peer prints until it ends, which must be well."""
    out, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0
    return out

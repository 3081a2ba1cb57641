"""What the tests of limits share: limits of a workspace, and other processes at them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from latent.limits import Limiter, limiter_for
from latent.testing.plugin import MakeWorkspace

TIMEOUT_SECONDS = 60

_HEAD = """
import json, os, sys, threading, time
from latent.config import find_workspace
from latent.limits import limit, limiter_for, snapshot

def say(*words):
    print(*words, flush=True)

def hear():
    return sys.stdin.readline().strip()

limiter = limiter_for(find_workspace(), sys.argv[1])
"""


class Peer:
    """Another process at a limit: runs a program that has `limiter`, `say` and `hear`."""

    def __init__(self, program: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HEAD + program, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, text: str = "go") -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def result(self) -> Any:
        """What it prints as JSON at its end, which must be well."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        # Not `communicate`: it would miss what `hear` has read ahead.
        out = self.process.stdout.read()
        assert self.process.wait(TIMEOUT_SECONDS) == 0
        return json.loads(out.splitlines()[-1])

    def close(self) -> None:
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(TIMEOUT_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Starts other processes at a limit; they are killed at the end of the test."""
    with ExitStack() as stack:

        def start(program: str, name: str = "slots") -> Peer:
            started = Peer(program, name)
            stack.callback(started.close)
            return started

        yield start


@pytest.fixture
def make_limiter(make_workspace: MakeWorkspace) -> Callable[..., Limiter]:
    """A limiter with the settings given, in the test's workspace."""

    def make(toml: str = "concurrency = 1", name: str = "slots") -> Limiter:
        return limiter_for(make_workspace({"config/latent.toml": f"[limits.{name}]\n{toml}\n"}), name)

    return make


def until(holds: Callable[[], Any]) -> Any:
    """What `holds` returns once that is true; a test that waits in vain fails by the limit of its length."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (value := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
    return value


@contextmanager
def limits_file(limiter: Limiter) -> Iterator[Path]:
    """The file that a limiter's store uses."""
    yield limiter._store.database.file

"""Ctrl-C and SIGTERM in the middle of real runs: what is finished is kept, and the way on is printed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from latent.testing import write_files
from tests.cli.conftest import Cli, environment

SLOW = """
    from pathlib import Path
    from time import sleep
    from latent.prefect import flow, task

    @task("wait")
    def wait(row):
        if row:
            Path("started").touch()
            sleep(60)
        return row

    @flow("slow")
    def slow(rows=2):
        return [wait(row) for row in range(rows)]
"""
ASYNC = """
    from asyncio import sleep
    from pathlib import Path
    from latent.prefect import flow, task

    @task("wait")
    async def wait(row):
        if row:
            Path("started").touch()
            await sleep(60)
        return row

    @flow("slow")
    async def slow(rows=2):
        return [await wait(row) for row in range(rows)]
"""
MAPPED = SLOW.replace("[wait(row) for row in range(rows)]", "wait.map(row=range(rows)).result()")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    write_files(tmp_path, {"config/latent.toml": "[tracking]\nenabled = false\n", "flows/slow/flow.py": SLOW})
    return tmp_path


@pytest.mark.parametrize(
    ("flow", "number", "code"),
    [
        (SLOW, signal.SIGINT, 130),
        (SLOW, signal.SIGTERM, 143),
        (ASYNC, signal.SIGINT, 130),
        (ASYNC, signal.SIGTERM, 143),
    ],
    ids=["Ctrl-C", "SIGTERM", "async Ctrl-C", "async SIGTERM"],
)
def test_stopped_run_keeps_what_is_finished(
    slow: Path, cli: Cli, flow: str, number: signal.Signals, code: int
) -> None:
    write_files(slow, {"flows/slow/flow.py": flow})
    with _started(slow) as process:
        process.send_signal(number)
        shown, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Flow 'slow' interrupted after" in shown
    assert "1 ok. What is finished is kept." in shown
    assert "Resume:  latent run slow -p rows=2\n" in shown
    if flow == SLOW and number == signal.SIGINT:
        again = cli("run", "slow", "-p", "rows=1", cwd=slow)  # the second row would sleep again
        assert again.code == 0
        assert "everything was reused" in again.out


def test_second_ctrl_c_does_not_wait_for_what_is_under_way(slow: Path) -> None:
    write_files(slow, {"flows/slow/flow.py": MAPPED})
    with _started(slow) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:  # a second signal before the first one is seen would be one with it
            if line.startswith("Stopping:"):
                break
        assert process.poll() is None, "rows in threads are waited for"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=50)
    assert process.returncode == 130


def test_interruption_before_the_flow_begins(slow: Path) -> None:
    """While libraries load there is nothing to keep, and no traceback to show."""
    (slow / "flows/slow/flow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "latent", "run", "slow"],
        cwd=slow,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 130
    assert done.stderr.endswith("Interrupted.\n")
    assert "Traceback" not in done.stderr


@contextmanager
def _started(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`latent run slow`, at work on its second row."""
    process = subprocess.Popen(
        [sys.executable, "-m", "latent", "run", "slow", "-p", "rows=2"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "started").exists():
            assert process.poll() is None, "the run ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.communicate()

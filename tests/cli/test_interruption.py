"""Ctrl-C and SIGTERM in the middle of real runs: what is finished is kept, and the way on is printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    write_files(tmp_path, {"config/latent.toml": "[tracking]\nenabled = false\n", "flows/slow/flow.py": SLOW})
    return tmp_path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_run_keeps_what_is_finished(slow: Path, cli: Cli, number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "latent", "run", "slow", "-p", "rows=2"],
        cwd=slow,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        _wait_for(slow / "started", process)
        process.send_signal(number)
        shown, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Flow 'slow' interrupted after" in shown
    assert "1 ok" in shown
    assert "What is finished is kept." in shown
    assert "Resume:  latent run slow -p rows=2\n" in shown
    # Only the second row would sleep again.
    again = cli("run", "slow", "-p", "rows=1")
    assert again.code == 0
    assert "everything was reused" in again.out


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


def _wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not os.path.exists(file):  # noqa: PTH110 - polled often
        assert process.poll() is None, "the run ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)

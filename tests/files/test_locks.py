"""A lock excludes others for exactly as long as its holder lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from latent.files import FileLock, is_locked
from latent.tracking import liveness

HOLD = """
import sys, time
from pathlib import Path
from latent.files import FileLock
assert FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_has_one_holder(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    with FileLock(path) as first:
        assert first.held
        assert is_locked(path)
        assert not FileLock(path).acquire()
        assert not FileLock(path).acquire(0.05)
        assert first.acquire()
    assert not is_locked(path)
    first.release()


def test_a_killed_holder_frees_its_lock(tmp_path):
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"held\n"
        assert is_locked(path)
        process.kill()
        process.wait()
    assert not is_locked(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path):
    path = tmp_path / "lock"
    lock = FileLock(path)
    assert lock.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)  # lives until the parent has looked
        os._exit(0)
    lock.release()
    try:
        assert not is_locked(path)
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_this_process_holds_its_runs(workspace):
    name = liveness.hold(workspace)
    assert name is not None
    assert liveness.hold(workspace) == name
    assert liveness.is_held(workspace, name)
    assert not liveness.is_held(workspace, "4711-gone.lock")

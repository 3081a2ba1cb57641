"""Fixtures of the tracking room: runs recorded by hand, and a writer that works when the test says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from latent.config import Workspace
from latent.files import FileLock
from latent.tracking import RunInfo, RunRecorder, stop_writer
from latent.tracking.folders import destination
from latent.tracking.writer import Writer

Start = Callable[..., RunRecorder]


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The template of MLflow's database lies in a folder of the test session, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture
def start(workspace: Workspace) -> Iterator[Start]:
    """A function that starts recording a run, untracked unless asked for."""
    recorders = []

    def start_run(flow: str = "hello", *, tracked: bool = False, **about: object) -> RunRecorder:
        fields = {"run_id": uuid4().hex, "started_at": time.time(), **about}
        recorder = RunRecorder.start(workspace, RunInfo(flow_name=flow, **fields), tracked=tracked)  # type: ignore[arg-type]
        recorders.append(recorder)
        return recorder

    yield start_run
    for recorder in recorders:
        if not recorder.finished:
            recorder.finish("interrupted")
    if recorders:
        recorders[0].flush(5)
        assert stop_writer(workspace)


@pytest.fixture
def writer(workspace: Workspace, start: Start) -> Iterator[Writer]:
    """A writer in this process; it holds the lock, so that no other is started."""
    target = destination(workspace)
    target.pending_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.lock_file)
    assert lock.acquire()
    yield Writer(workspace, target, idle_seconds=0.0)
    lock.release()

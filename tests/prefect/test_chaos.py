"""Whatever ends a map, at whatever moment: finished rows are kept, and the next run does the rest."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import sqlite3
import sys
from contextlib import closing

import pytest

from latent.config import Workspace
from latent.testing.plugin import MakeWorkspace
from latent.tracking import stop_writer
from tests.prefect.interrupted import (
    FILES,
    LATENT_RUN,
    WORKERS,
    Events,
    reused,
    run_python,
    started,
    wait_for,
)
from tests.prefect.lives import Life

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(sys.platform == "win32", reason="forks processes and sends POSIX signals"),
]

KILLS = 50
ROWS = 3_000


@pytest.fixture
def mapping(make_workspace: MakeWorkspace) -> Workspace:
    """A workspace with a flow of many rows."""
    return make_workspace(FILES)


def test_map_that_is_killed_again_and_again_does_every_row_once(mapping: Workspace) -> None:
    """
    Fifty lives of a map end at random moments; only rows that were under way are done twice.

    CHAOS_SEED=... repeats the moments, as far as the machine's own timing allows.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"CHAOS_SEED={seed}")
    ended = run_python("-m", "tests.prefect.lives", str(KILLS), str(seed))
    told = [Life(**life) for life in json.loads(ended.splitlines()[-1])]
    killed = {life.pid for life in told if life.cut_short}
    assert len(killed) >= KILLS
    assert not [life for life in told if life.hung]

    events = Events(mapping.root / "rows.log")
    assert ROWS / 10 < len(events.begun) < ROWS, "the kills should come in the middle of the work"
    (mapping.root / "hurry").touch()
    shown = run_python(*LATENT_RUN)
    assert "Result:  True" in shown
    kept = len({row for event, _, row in events.all if event == "has"})
    assert kept <= reused(shown)[0] < ROWS, "a row that a flow had seen was not remembered"

    events = Events(mapping.root / "rows.log")
    assert set(events.begun) == set(range(ROWS)), "no row is missing"
    assert not events.begun_again_after_finish()
    redone = events.redone()
    assert set(redone) <= killed
    assert max(redone.values(), default=0) <= WORKERS, "only rows in flight are done twice"
    assert_store_is_sound(mapping, ROWS)
    assert "everything was reused" in run_python(*LATENT_RUN)
    assert Events(mapping.root / "rows.log").begun == events.begun


def assert_store_is_sound(workspace: Workspace, rows: int) -> None:
    """The database is whole, has each row once, and the file of each large value."""
    with closing(sqlite3.connect(workspace.cache_dir / "cache.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT COUNT(*), COUNT(DISTINCT key) FROM entries").fetchone() == (
            rows,
            rows,
        )
        blobs = {name for (name,) in database.execute("SELECT blob FROM entries WHERE blob NOTNULL")}
    assert len(blobs) == rows // 10
    assert not list(workspace.cache_dir.glob("*.damaged*"))


def test_next_run_says_how_many_rows_it_reuses(mapping: Workspace) -> None:
    """What was finished when the process died, to the row."""
    with started(*LATENT_RUN, "-p", "rows=1_000") as process:
        wait_for(200, mapping.root, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    events = Events(mapping.root / "rows.log")
    (mapping.root / "hurry").touch()
    shown = run_python(*LATENT_RUN, "-p", "rows=1_000")
    kept, _ = reused(shown)
    assert len(events.begun) - WORKERS <= kept <= len(events.begun)
    assert f"{kept} of 1,000 rows reused" in shown
    assert len(Events(mapping.root / "rows.log").begun) == 1_000


FULL_DISK = """
import resource, sys
# As on a full disk, no file grows further than this.
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
from latent.cli import main
sys.argv = ["latent", "run", "main", "-p", "rows=1_000"]
main()
"""


def test_full_disk_stops_the_map_before_more_is_lost(mapping: Workspace) -> None:
    """The run says why it stopped; the next one, with room, computes only what could not be kept."""
    (mapping.root / "hurry").touch()
    shown = run_python("-c", FULL_DISK, code=1)
    assert "The memory cannot be written any more" in shown
    assert "Make room, and run again." in shown
    before = len(Events(mapping.root / "rows.log").begun)
    lost = re.search(r"What is finished is kept, except for (\d+) results?\.", shown)
    kept, rows = reused(run_python(*LATENT_RUN, "-p", "rows=1_000"))
    assert rows == 1_000
    assert 0 < kept < before
    assert lost is not None and kept == before - int(lost[1])
    assert Events(mapping.root / "rows.log").begun.total() == before + rows - kept
    assert_store_is_sound(mapping, rows)


def test_mlflow_server_that_vanishes_is_not_missed(mapping: Workspace) -> None:
    """Rows are kept and the run ends well; what MLflow has not heard is sent when it is back."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        variables = {"LATENT_TRACKING__ENABLED": "true", "MLFLOW_TRACKING_URI": uri}
        with started(*LATENT_RUN, "-p", "rows=400", **variables) as process:
            try:
                wait_for(100, mapping.root, process)
                (mapping.root / "hurry").touch()
                server.close()
                shown, _ = process.communicate(timeout=60)
            finally:
                stop_writer(mapping)
    assert process.returncode == 0, shown
    assert "Result:  True" in shown
    assert reused(run_python(*LATENT_RUN, "-p", "rows=400")) == (400, 400)

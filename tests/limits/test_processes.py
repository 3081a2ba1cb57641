"""Limits between processes: fair shares, hand-over, and processes that die, stop or lose the file."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest

from latent.config import find_workspace
from latent.limits import limiter_for, lookup, peers
from tests.limits.conftest import until
from tests.limits.test_limiter import status_of

HOLD = """
permit = limiter.acquire()
say("in")
hear()
permit.release()
say("out")
hear()
"""

WORK = """
from concurrent.futures import ThreadPoolExecutor
calls = []
def call(_):
    with limiter.acquire():
        began = time.monotonic()
        time.sleep(0.02)
        calls.append((began, time.monotonic()))
say("ready")
hear()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(call, range(int(hear()))))
say(json.dumps(calls))
"""


def waits(limiter) -> None:
    """Returns once a call of this process stands in line at the limit store."""
    until(lambda: limiter._local_queue.queue and limiter._local_queue.grant is not None)


def acquired_by_thread(limiter):
    """A list that holds a permit once this process is admitted."""
    permits: list = []
    threading.Thread(target=lambda: permits.append(limiter.acquire()), daemon=True).start()
    waits(limiter)
    return permits


def work_together(peer, processes: int, calls: int, name: str = "slots") -> list[list[tuple[float, float]]]:
    """When the calls of each process began and ended, on the one monotonic clock of the machine."""
    peers = [peer(WORK, name) for _ in range(processes)]
    assert [each.hear() for each in peers] == ["ready"] * processes
    for each in peers:
        each.tell()
        each.tell(str(calls))
    return [each.result() for each in peers]


def most_at_once(logs: list[list[tuple[float, float]]]) -> int:
    moments = sorted((at, step) for log in logs for begin, end in log for at, step in ((begin, 1), (end, -1)))
    inside = most = 0
    for _, step in moments:
        inside += step
        most = max(most, inside)
    return most


def test_slots_hold_across_processes_and_nobody_gets_less_than_half_its_share(make_limiter, peer):
    make_limiter("concurrency = 4")
    logs = work_together(peer, processes=4, calls=100)
    assert most_at_once(logs) <= 4
    all_there = max(log[0][0] for log in logs)
    first_done = min(log[-1][1] for log in logs)
    shares = [sum(all_there <= begin and end <= first_done for begin, end in log) for log in logs]
    assert min(shares) >= sum(shares) / 4 / 2


def test_fewer_slots_than_processes_go_round(make_limiter, peer):
    make_limiter("concurrency = 1")
    logs = work_together(peer, processes=3, calls=60)
    assert most_at_once(logs) == 1
    begins = sorted(log[0][0] for log in logs)
    ends = sorted(log[-1][1] for log in logs)
    assert begins[-1] < ends[0], "each had its first turn before anybody was done"


def test_rate_holds_across_processes(make_limiter, peer):
    """200 a second, one at once: 90 calls take 0.445 s at least."""
    make_limiter("requests_per_minute = 12000\nburst = 1")
    logs = work_together(peer, processes=3, calls=30)
    begins = sorted(begin for log in logs for begin, _ in log)
    assert begins[-1] - begins[0] >= 0.43


def test_slot_freed_elsewhere_comes_here(make_limiter, peer):
    limiter = make_limiter()
    other = peer(HOLD)
    assert other.hear() == "in"
    permits = acquired_by_thread(limiter)
    assert not permits
    other.tell()
    until(lambda: permits)
    permits[0].release()


def test_slots_of_a_killed_process_are_free(make_limiter, peer):
    limiter = make_limiter("concurrency = 2")
    others = [peer(HOLD), peer(HOLD)]
    assert [other.hear() for other in others] == ["in", "in"]
    permits = acquired_by_thread(limiter)
    others[0].process.kill()
    until(lambda: permits)
    status = status_of()
    assert {holder.pid for holder in status.holders} <= {os.getpid(), others[1].process.pid}
    permits[0].release()


@pytest.mark.skipif(sys.platform == "win32", reason="signals that stop a process are POSIX's")
def test_stopped_process_does_not_hold_up_others_for_ever(make_limiter, peer, monkeypatch):
    monkeypatch.setattr(peers, "STALE_SECONDS", 1.5)
    limiter = make_limiter()
    other = peer(HOLD)
    assert other.hear() == "in"
    os.kill(other.process.pid, signal.SIGSTOP)
    permits = acquired_by_thread(limiter)
    until(lambda: permits)
    os.kill(other.process.pid, signal.SIGCONT)
    other.tell()
    assert other.hear() == "out", "it goes on as if nothing had happened"
    permits[0].release()
    limiter.acquire().release()


def test_deleted_file_is_complete_again_after_everybody_came_once(make_limiter, peer):
    limiter = make_limiter()
    other = peer(HOLD)
    assert other.hear() == "in"
    file = limiter._store.database.file
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    until(lambda: any(holder.pid == other.process.pid for holder in status_of().holders))
    permits = acquired_by_thread(limiter)
    assert not permits, "the slot is still taken"
    other.tell()
    until(lambda: permits)
    permits[0].release()


def test_damaged_file_is_created_again(make_limiter):
    limiter = make_limiter()
    limiter.acquire().release()
    until(lambda: limiter._local_queue.grant is None)
    limiter._store.rest()
    limiter._store.database.file.write_bytes(b"no database" * 1000)
    limiter.acquire().release()
    assert limiter._store.database.is_shared


def test_file_that_stays_locked_stops_nobody_and_is_used_again_later(make_limiter, caplog, monkeypatch):
    """As when a process is stopped in the middle of a transaction."""
    from latent.limits import database

    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.05)
    limiter = make_limiter()
    limiter.acquire().release()
    blocker = sqlite3.connect(limiter._store.database.file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING, "latent.limits"):
        until(lambda: limiter._local_queue.grant is None)
        for _ in range(3):
            limiter.acquire().release()
            until(lambda: limiter._local_queue.grant is None)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Limits cannot be shared with other processes for now"
    ]
    blocker.execute("ROLLBACK")
    blocker.close()

    def is_shared_again() -> bool:
        limiter.acquire().release()
        return limiter._store.database.is_shared

    until(is_shared_again)


LOOK = """
from latent.limits.peers import Peers
from pathlib import Path
members = Peers(Path(os.environ["LATENT_LIMITS_DIR"]) / "limits.lock")
say(json.dumps(members.is_alive(int(hear()))))
"""


def test_looking_at_limits_before_the_first_call_frees_nothing_later(make_workspace, peer):
    """Looking keeps the lock file open: closing it would make this process seem dead to others."""
    make_workspace({"config/latent.toml": "[limits.slots]\nconcurrency = 2\n"})
    other = peer(HOLD)  # so that there is a process to look at
    assert other.hear() == "in"
    assert [holder.pid for holder in status_of().holders] == [other.process.pid]
    looked = lookup.store_of(Path(os.environ["LATENT_LIMITS_DIR"]))
    limiter = limiter_for(find_workspace(), "slots")
    assert limiter._store is looked
    with limiter.acquire():
        assert len(status_of().holders) == 2
        reader = peer(LOOK)
        reader.tell(str(looked.members.id))
        assert reader.result() is True


def test_process_that_ends_gives_everything_back(make_limiter, peer):
    make_limiter()
    other = peer("limiter.acquire()\nsay('in')\nhear()\n")
    assert other.hear() == "in"
    until(lambda: status_of().holders)
    other.tell()
    other.process.wait(60)
    connection = sqlite3.connect(Path(os.environ["LATENT_LIMITS_DIR"]) / "limits.db")
    assert connection.execute("SELECT count(*) FROM shares").fetchone() == (0,)
    connection.close()


FORK = """
import warnings
permit = limiter.acquire()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # other threads run: that is what is tested
    child = os.fork()
if child == 0:
    try:
        permit.release()  # the parent's: nothing happens
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        try:
            limiter.acquire(stop=stop)
        except Exception as error:
            os.write(1, (type(error).__name__ + "\\n").encode())
    finally:
        os._exit(0)
os.waitpid(child, 0)
permit.release()
limiter.acquire().release()
say(json.dumps("done"))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forked_child_is_a_process_of_its_own(make_limiter, peer):
    make_limiter()
    forking = peer(FORK)
    assert forking.hear() == "AdmissionStopped", "the parent holds the only slot"
    assert forking.result() == "done"


def test_clock_that_started_over_is_noticed(make_limiter):
    """After the machine was started again, times in the file lie ahead: nothing may wait for them."""
    limiter = make_limiter("requests_per_minute = 60")
    limiter.acquire().release()
    until(lambda: limiter._local_queue.grant is None)
    with sqlite3.connect(limiter._store.database.file) as connection:
        connection.execute(
            "UPDATE limits SET touched_at = ?, requests_full_at = ?", (time.monotonic() + 1e6,) * 2
        )
    connection.close()
    permit = limiter.acquire()
    assert permit.waited_seconds < 30
    permit.release()


def test_what_was_learned_is_remembered_for_the_next_process(make_limiter, peer):
    make_limiter("")
    learning = peer(
        """
with limiter.acquire() as permit:
    permit.observe({"x-ratelimit-limit-requests": "600"})
say(json.dumps("learned"))
"""
    )
    assert learning.result() == "learned"
    assert status_of().requests_per_minute == 600


def test_new_limiter_of_the_same_name_in_another_workspace_shares_its_slots(
    make_limiter, tmp_path, monkeypatch
):
    from latent.config import Workspace

    limiter = make_limiter()
    folder = tmp_path / "other"
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "latent.toml").write_text("[limits.slots]\nconcurrency = 1\n")
    assert limiter_for(Workspace(folder), "slots") is limiter

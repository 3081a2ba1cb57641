"""Leases: one worker at a time for a key, in all threads, coroutines and processes; the dead hold nothing."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from latent.cache import Leases

from .peers import finish, line, peer, tell

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def leases(folder):
    leases = Leases(folder / "inflight.lock")
    yield leases
    leases.close()


def in_thread(work, *args):
    results = []
    thread = threading.Thread(target=lambda: results.append(work(*args)))
    thread.start()
    return thread, results


def test_a_key_has_one_holder(leases):
    lease = leases.claim(KEY)
    assert lease is not None
    thread, results = in_thread(leases.claim, KEY)
    thread.join(10)
    assert results == [None]
    assert leases.claim(OTHER) is not None
    lease.release()
    lease.release()
    thread, results = in_thread(leases.claim, KEY)
    thread.join(10)
    assert results[0] is not None


def test_parked_lease_goes_to_a_waiter_with_a_timeout(leases):
    lease = leases.claim(KEY)
    patient, waiting = in_thread(leases.acquire, KEY)
    hasty, taken = in_thread(leases.acquire, KEY, 60)
    with lease.parked():
        hasty.join(10)
        assert (lease.was_taken, taken[0].waited) == (True, True)
        assert waiting == [], "without a timeout the lease is waited for"
    lease.release()
    assert leases.claim(KEY, "other") is None, "it is another's by now"
    taken[0].release()
    patient.join(10)
    assert waiting[0].waited


async def test_parked_lease_goes_to_a_coroutine_too(leases):
    with leases.claim(KEY, "a row").parked():
        assert (await leases.acquire_async(KEY, 60)).key == KEY


def test_a_waiter_is_woken_at_once(leases):
    lease = leases.claim(KEY)
    woken: list[float] = []
    thread = threading.Thread(
        target=lambda: (leases.acquire(KEY).release(), woken.append(time.perf_counter()))
    )
    thread.start()
    time.sleep(0.05)
    assert woken == []
    released = time.perf_counter()
    lease.release()
    thread.join(10)
    assert woken[0] - released < 0.2


def test_an_acquired_lease_says_whether_another_call_was_before(leases):
    with leases.acquire(KEY) as first:
        assert not first.waited
        thread, results = in_thread(leases.acquire, KEY)
        time.sleep(0.05)
    thread.join(10)
    assert results[0].waited


def test_work_that_asks_for_its_own_key_does_not_wait_for_itself(leases):
    with leases.acquire(KEY), leases.acquire(KEY, timeout_seconds=5) as inner:
        assert not inner.waited
    assert leases.wait(KEY, timeout_seconds=0)


def test_waiting_has_a_bound(leases):
    with leases.acquire(KEY):
        thread, results = in_thread(leases.wait, KEY, 0.05)
        thread.join(10)
        assert results == [False]
        thread, results = in_thread(leases.acquire, KEY, 0.05)
        thread.join(10)
        results[0].release()
        thread, results = in_thread(leases.claim, KEY)
        thread.join(10)
        assert results == [None]


def test_many_threads_that_want_one_key_get_it_one_after_another(leases):
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(20):
            with leases.acquire(KEY):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                done += 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, done) == (1, 160)


async def test_coroutines_wait_without_blocking_their_loop(leases):
    order: list[str] = []

    async def work(name: str) -> None:
        lease = await leases.acquire_async(KEY)
        order.append(f"{name} begins")
        await asyncio.sleep(0.01)
        order.append(f"{name} ends")
        lease.release()

    await asyncio.wait_for(asyncio.gather(*(work(name) for name in "abc")), 10)
    assert [entry.split()[1] for entry in order] == ["begins", "ends"] * 3


async def test_blocking_on_an_event_loop_never_waits_for_the_loops_own_work(leases):
    async def hold() -> None:
        with await leases.acquire_async(KEY):
            await asyncio.sleep(0.2)

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0.02)
    leases.acquire(KEY).release()
    assert not holder.done()
    await holder


async def test_a_cancelled_waiter_leaves_the_key_to_others(leases):
    lease = leases.claim(KEY)
    waiter = asyncio.create_task(leases.acquire_async(KEY))
    await asyncio.sleep(0.02)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    lease.release()
    assert leases.wait(KEY, timeout_seconds=1)


async def test_an_async_wait_has_a_bound(leases):
    lease = leases.claim(KEY)

    async def wait() -> bool:
        return await leases.wait_async(KEY, 0.05)

    assert await asyncio.create_task(wait()) is False
    lease.release()
    assert await leases.wait_async(KEY, 0.05) is True


HOLDER = """
lease = memory.claim(sys.argv[2])
say("held")
sys.stdin.readline()
lease.release()
say("released")
sys.stdin.readline()
"""


def test_a_key_held_by_another_process_is_waited_for(leases, folder):
    with peer(HOLDER, folder, KEY) as holder:
        assert line(holder) == "held"
        assert leases.claim(KEY) is None
        assert leases.claim(OTHER) is not None
        assert not leases.wait(KEY, 0.05)
        thread, results = in_thread(leases.acquire, KEY)
        time.sleep(0.05)
        tell(holder, "release")
        assert line(holder) == "released"
        thread.join(10)
        assert results[0].waited


async def test_a_coroutine_waits_for_another_process(leases, folder):
    with peer(HOLDER, folder, KEY) as holder:
        assert line(holder) == "held"
        waiter = asyncio.create_task(leases.acquire_async(KEY))
        await asyncio.sleep(0.05)
        assert not waiter.done()
        tell(holder, "release")
        assert (await asyncio.wait_for(waiter, 10)).waited


def test_a_process_that_dies_holds_nothing(leases, folder):
    with peer(HOLDER, folder, KEY) as holder:
        assert line(holder) == "held"
        assert leases.claim(KEY) is None
        holder.kill()
        holder.wait(60)
        assert leases.claim(KEY) is not None


def test_work_in_two_processes_on_the_same_keys_is_done_once(folder):
    program = """
    for n in range(40):
        key = row_key("t", {"n": n})
        with memory.claim(key):
            if recall(key) is None:
                time.sleep(0.002)
                memory.remember(key, n, task="t", code=code)
                say(n)
    """
    with peer(program, folder) as one, peer(program, folder) as two, peer(program, folder) as three:
        done = [int(word) for process in (one, two, three) for word in finish(process).split()]
    assert sorted(done) == list(range(40))


def test_a_deleted_lock_file_is_made_again(leases, folder):
    held = leases.claim(KEY)
    (folder / "inflight.lock").unlink()
    assert leases.claim(OTHER) is not None
    assert (folder / "inflight.lock").exists()
    held.release()
    with peer(HOLDER, folder, OTHER) as holder:
        time.sleep(0.3)
        leases.close()
        assert line(holder) == "held"


def test_without_a_place_for_the_lock_file_leases_hold_in_this_process(tmp_path):
    (tmp_path / "file").write_text("")
    leases = Leases(tmp_path / "file" / "inflight.lock")
    with leases.acquire(KEY):
        thread, results = in_thread(leases.claim, KEY)
        thread.join(10)
        assert results == [None]
    assert leases.wait(KEY, 0)

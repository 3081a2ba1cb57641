"""Slots that come from elsewhere: handed over here at once, given back when nobody needs them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from latent.limits import upstream
from latent.limits.upstream import SlotPool


class Bank:
    """An upstream with so many slots, for any number of pools."""

    def __init__(self, slots: int) -> None:
        self.slots, self.taken, self.most, self.asked = slots, 0, 0, 0
        self.lock = threading.Lock()


class Account:
    """One pool's view of a bank."""

    returns_slots = True

    def __init__(self, bank: Bank, *, delay: float = 0.0) -> None:
        self.bank, self.delay = bank, delay
        self.held, self.renewed, self.is_closed = 0, 0, False

    def take(self, slots: int) -> int:
        time.sleep(self.delay)
        with self.bank.lock:
            self.bank.asked += 1
            granted = min(slots, self.bank.slots - self.bank.taken)
            self.bank.taken += granted
            self.bank.most = max(self.bank.most, self.bank.taken)
        self.held += granted
        return granted

    def give_back(self, slots: int) -> None:
        with self.bank.lock:
            self.bank.taken -= slots
        self.held -= slots

    def renew(self) -> None:
        self.renewed += 1

    def close(self) -> None:
        self.is_closed = True
        self.give_back(self.held)


@contextmanager
def pool_of(bank: Bank, *, delay: float = 0.0) -> Iterator[SlotPool]:
    pool = SlotPool(Account(bank, delay=delay))
    try:
        yield pool
    finally:
        pool.close()


def work(pool: SlotPool, calls: int, threads: int, seconds: float) -> float:
    """Make so many calls of that length in so many threads; how long it took."""
    began, left, lock = time.monotonic(), [calls], threading.Lock()

    def loop() -> None:
        while True:
            with lock:
                if left[0] == 0:
                    return
                left[0] -= 1
            assert pool.acquire()
            time.sleep(seconds)
            pool.release()

    workers = [threading.Thread(target=loop) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.monotonic() - began


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_no_more_than_granted_are_in_and_freed_slots_are_handed_over_without_asking():
    bank = Bank(4)
    with pool_of(bank, delay=0.05) as pool:
        work(pool, calls=40, threads=12, seconds=0.02)
    assert (bank.most, bank.taken) == (4, 0)
    assert bank.asked < 20, "as good as once for each call"


def test_idle_slots_are_given_back_and_taken_again():
    bank = Bank(4)
    with pool_of(bank) as pool:
        for _ in range(2):
            assert pool.acquire()
            assert bank.taken == 1
            pool.release()
            assert until(lambda: bank.taken == 0)


def test_a_short_pause_does_not_cost_the_slot():
    bank = Bank(4)
    with pool_of(bank) as pool:
        for _ in range(20):
            assert pool.acquire()
            pool.release()
        assert bank.asked == 1


def test_a_slot_freed_elsewhere_is_noticed():
    bank = Bank(1)
    with pool_of(bank) as here, pool_of(bank) as there:
        assert there.acquire()
        waiting = threading.Thread(target=here.acquire)
        waiting.start()
        time.sleep(0.1)
        assert waiting.is_alive()
        there.release()
        waiting.join(timeout=5)
        assert not waiting.is_alive()
        here.release()


def test_turns_let_others_in_while_there_are_waiters_here(monkeypatch):
    """One process with work for ever would otherwise keep the other out for ever."""
    monkeypatch.setattr(upstream, "TURN_SECONDS", 0.2)
    bank = Bank(4)
    with pool_of(bank) as greedy, pool_of(bank) as modest:
        busy = threading.Thread(target=work, args=(greedy, 400, 12, 0.02))
        busy.start()
        assert until(lambda: bank.taken == 4)
        assert modest.acquire()
        assert busy.is_alive()
        modest.release()
        busy.join()
    assert bank.most == 4


def test_a_stopped_wait_ends_soon_and_leaves_nothing():
    bank, stop = Bank(1), threading.Event()
    with pool_of(bank) as pool:
        assert pool.acquire()
        threading.Timer(0.05, stop.set).start()
        assert not pool.acquire(stop)
        pool.release()
        assert pool.acquire()
        pool.release()


def test_tasks_of_an_event_loop_wait_without_blocking_it_and_may_be_cancelled():
    bank = Bank(1)

    async def main(pool: SlotPool) -> int:
        await pool.acquire_async()
        waiting = [asyncio.create_task(pool.acquire_async()) for _ in range(3)]
        await asyncio.sleep(0.05)
        waiting[0].cancel()
        for task in waiting[1:]:
            pool.release()
            await asyncio.wait_for(task, 2)
        pool.release()
        return sum(task.cancelled() for task in waiting)

    with pool_of(bank) as pool:
        assert asyncio.run(main(pool)) == 1
        assert until(lambda: bank.taken == 0)


def test_a_wait_cancelled_at_the_moment_of_its_grant_hands_the_slot_on():
    bank = Bank(1)

    async def main(pool: SlotPool) -> None:
        await pool.acquire_async()
        waiting = asyncio.create_task(pool.acquire_async())
        await asyncio.sleep(0.05)
        pool.release()  # granted, but the task has not run yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(pool.acquire_async(), 2)
        pool.release()

    with pool_of(bank) as pool:
        asyncio.run(main(pool))


def test_closing_lets_everybody_through_and_gives_everything_back():
    bank = Bank(1)
    pool = SlotPool(account := Account(bank))
    assert pool.acquire()
    waiting = threading.Thread(target=pool.acquire)
    waiting.start()
    pool.close()
    waiting.join(timeout=5)
    assert not waiting.is_alive() and account.is_closed and bank.taken == 0
    assert pool.acquire()  # from here on, the machine's own limit is the only one


def test_an_upstream_that_breaks_keeps_nobody_waiting(recwarn):
    class Broken(Account):
        def take(self, slots: int) -> int:
            raise ZeroDivisionError("a bug")

    failed = []
    threading.excepthook, before = lambda args: failed.append(args.exc_type), threading.excepthook
    try:
        pool = SlotPool(Broken(Bank(1)))
        assert pool.acquire()
        pool.close()
    finally:
        threading.excepthook = before
    assert failed == [ZeroDivisionError]


def test_what_is_used_up_is_asked_for_as_it_is_needed():
    class Rate(Account):
        returns_slots = False

    bank = Bank(5)
    pool = SlotPool(Rate(bank))
    for _ in range(5):
        assert pool.acquire()
        pool.release()
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert not pool.acquire(stop)
    pool.close()

"""Limits within one process: threads, coroutines, blocks, and what is left behind."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from latent.errors import SettingsError, UsageError
from latent.limits import AdmissionStopped, UnknownLimitError, limit, limiter_for, observe, snapshot, stopping
from latent.limits.permit import held_permit
from latent.limits.worker import limit_worker
from tests.limits.conftest import until
from tests.limits.test_upstream import Bank, pool_of


class Gauge:
    """How many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.total = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.total += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


def test_threads_never_exceed_the_slots_and_use_all_of_them(make_limiter):
    limiter, gauge = make_limiter("concurrency = 3"), Gauge()

    def call(_: int) -> None:
        with limiter.acquire(), gauge:
            time.sleep(0.005)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(60)))
    assert (gauge.most, gauge.total) == (3, 60)


async def test_coroutines_never_exceed_the_slots(make_limiter):
    limiter, gauge = make_limiter("concurrency = 3"), Gauge()

    async def call() -> None:
        async with await limiter.acquire_async():
            with gauge:
                await asyncio.sleep(0.002)

    await asyncio.gather(*(call() for _ in range(60)))
    assert (gauge.most, gauge.total) == (3, 60)


def test_many_calls_do_not_touch_the_file(make_limiter):
    limiter = make_limiter("concurrency = 200")
    syncs = []
    store = limiter._store
    store.sync = lambda ask, sync=store.sync: (syncs.append(ask), sync(ask))[1]
    for _ in range(5_000):
        limiter.acquire().release()
    assert len(syncs) < 500


def test_limiter_is_served_once_however_many_threads_come_first(make_limiter):
    limiter, together = make_limiter("concurrency = 32"), threading.Barrier(32)

    def call(_: int) -> None:
        together.wait()
        limiter.acquire().release()

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(call, range(32)))
    assert limit_worker()._limits.count(limiter) == 1


def test_freed_slot_is_handed_to_the_waiters_in_their_order(make_limiter):
    limiter, order = make_limiter(), []
    first = limiter.acquire()

    def call(number: int) -> None:
        with limiter.acquire():
            order.append(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=call, args=(number,)))
        threads[-1].start()
        until(lambda count=number + 1: len(limiter._local_queue.queue) == count)
    first.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_stop_ends_the_wait(make_limiter):
    limiter, stop = make_limiter(), threading.Event()
    with limiter.acquire():
        threading.Timer(0.05, stop.set).start()
        with pytest.raises(AdmissionStopped, match="limit 'slots' was not begun"):
            limiter.acquire(stop=stop)
        with pytest.raises(AdmissionStopped):
            limiter.acquire(stop=stop)
    limiter.acquire().release()


def later(stop: threading.Event) -> None:
    threading.Timer(0.05, stop.set).start()


async def test_stop_ends_the_wait_of_coroutines(make_limiter):
    limiter, stop = make_limiter(), threading.Event()
    with limiter.acquire():
        later(stop)
        waiting = [limiter.acquire_async(stop=stop) for _ in range(5)]
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in ended] == [AdmissionStopped] * 5
    assert not limiter._local_queue.queue
    with pytest.raises(AdmissionStopped):
        await limiter.acquire_async(stop=stop)
    (await limiter.acquire_async(stop=threading.Event())).release()


async def test_stop_ends_the_wait_for_a_slot_of_the_server(make_limiter):
    limiter, bank = make_limiter("concurrency = 2"), Bank(0)
    with pool_of(bank) as pool:
        limiter.bind(pool)
        for acquire in (limiter.acquire_async, partial(asyncio.to_thread, limiter.acquire)):
            stop = threading.Event()
            later(stop)
            with pytest.raises(AdmissionStopped):
                await acquire(stop=stop)
        limiter.bind(None)
        assert not pool._waiters
    assert limiter._local_queue.in_use == 0


async def test_call_that_was_let_in_and_waits_to_go_is_not_made_once_it_is_stopped(make_limiter):
    limiter = make_limiter("requests_per_minute = 6000")
    for acquire in (limiter.acquire_async, partial(asyncio.to_thread, limiter.acquire)):
        limiter._local_queue._departures_full_at = time.monotonic() + 3600  # as after a long standstill
        stop = threading.Event()
        later(stop)
        with pytest.raises(AdmissionStopped):
            await acquire(stop=stop)
        assert (limiter._local_queue.in_use, limiter._local_queue._delayed) == (0, 0)


class CountingEvent(threading.Event):
    """An event that knows how often it was looked at."""

    looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return super().is_set()


async def test_stop_is_looked_at_once_for_all_coroutines_that_wait(make_limiter):
    """A hundred that wait for half a second: one look each at the start, then one for all every 0.1 s."""
    limiter, stop = make_limiter(), CountingEvent()
    async with await limiter.acquire_async():
        waiting = [asyncio.create_task(limiter.acquire_async(stop=stop)) for _ in range(100)]
        await asyncio.sleep(0.05)
        before = stop.looks
        await asyncio.sleep(0.5)
        assert 1 <= stop.looks - before <= 6
        stop.set()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert not stopping._watches, "nothing is left behind"


async def test_cancelled_coroutines_leak_no_slot(make_limiter):
    limiter = make_limiter("concurrency = 2")
    held = [await limiter.acquire_async() for _ in range(2)]
    waiting = [asyncio.create_task(limiter.acquire_async()) for _ in range(20)]
    await asyncio.sleep(0.02)
    for task in waiting[::2]:
        task.cancel()
    for permit in held:
        permit.release()
    for task in waiting[10::2]:  # some of these may just have been let in
        task.cancel()
    for task in waiting:
        try:
            (await task).release()
        except asyncio.CancelledError:
            continue
    assert until(lambda: limiter._local_queue.in_use == 0)
    (await limiter.acquire_async()).release()


async def test_cancelled_while_booked_leaves_the_time_to_others(make_limiter):
    """One in ten seconds, and the second is given up: the next one is booked for the same time."""
    limiter = make_limiter("requests_per_minute = 6")
    (await limiter.acquire_async()).release()
    starts = []
    for _ in range(2):
        waiting = asyncio.create_task(limiter.acquire_async())
        await asyncio.to_thread(until, lambda: limiter._local_queue._booked)
        starts.append(limiter._local_queue._booked[0][0])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(
            until, lambda: not limiter._local_queue.in_use and not limiter._local_queue._returned_requests
        )
    assert starts[0] == pytest.approx(starts[1], abs=0.001)


def test_permit_is_released_once_however_often_one_says_so(make_limiter):
    limiter = make_limiter("concurrency = 2")
    permit = limiter.acquire()
    permit.release()
    permit.release(error=ValueError())
    assert limiter._local_queue.in_use == 0


def test_block_inside_a_block_takes_no_second_slot_and_books_its_tokens(make_limiter):
    limiter = make_limiter("concurrency = 1\ntokens_per_minute = 600_000")
    with limit("slots", tokens=10) as outer, limit("slots", tokens=5) as inner:
        assert inner is not outer
        assert limiter._local_queue.in_use == 1
        inner.release(tokens_used=7)
        inner.release(tokens_used=70)
        assert limiter._local_queue.in_use == 1, "the outer block still holds it"
    assert limiter._local_queue.in_use == 0


async def test_task_begun_inside_a_block_does_not_go_on_its_place_once_that_is_given_back(make_limiter):
    limiter = make_limiter("concurrency = 1")
    in_use: list[int] = []

    async def later(ended: asyncio.Event) -> None:
        await ended.wait()
        async with limit("slots"):
            in_use.append(limiter._local_queue.in_use)

    ended = asyncio.Event()
    async with limit("slots") as permit:
        tasks = [asyncio.create_task(later(ended)) for _ in range(3)]
        permit.release()
        assert held_permit("slots") is None
    ended.set()
    await asyncio.gather(*tasks)
    assert in_use == [1, 1, 1]


async def test_block_is_asynchronous_too(make_limiter):
    limiter = make_limiter()
    async with limit("slots") as permit, limit("slots"):
        assert permit.waited_seconds >= 0
        assert limiter._local_queue.in_use == 1
    assert limiter._local_queue.in_use == 0


def test_slot_is_free_again_after_an_error(make_limiter):
    make_limiter()
    with pytest.raises(ValueError, match="boom"), limit("slots"):
        raise ValueError("boom")
    with limit("slots"):
        pass


def test_all_bounds_hold_together(make_limiter):
    """100 a second and 2 at once: 20 calls take 0.19 s at least, and never are 3 inside."""
    limiter, gauge = make_limiter("concurrency = 2\nrequests_per_minute = 6000\nburst = 1"), Gauge()
    began = []

    def call(_: int) -> None:
        with limiter.acquire(), gauge:
            began.append(time.monotonic())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(20)))
    assert gauge.most <= 2
    assert max(began) - min(began) >= 0.18


def test_tokens_hold_calls_back_and_corrections_count(make_limiter):
    """100 tokens a second, 10 at once: after a call of 20, one token is there 0.11 s later."""
    limiter = make_limiter("tokens_per_minute = 6000")
    limiter.acquire(tokens=100_000).release(tokens_used=0)
    until(lambda: limiter._local_queue._returned_tokens == 0)
    first = limiter.acquire(tokens=20)
    second = limiter.acquire(tokens=1)
    assert second._waiter.start_at - first._waiter.start_at >= 0.109
    first.release()
    second.release()


def test_negative_tokens_are_refused(make_limiter):
    with pytest.raises(ValueError, match="tokens=-1"):
        make_limiter().acquire(tokens=-1)


@pytest.mark.parametrize("tokens", ["x", None, float("nan")])
def test_tokens_that_are_no_number_are_refused(make_limiter, tokens):
    with pytest.raises(ValueError, match=f"tokens={tokens!r}: .* as a number"):
        make_limiter().acquire(tokens=tokens)


@pytest.mark.parametrize("name", [None, 5, ["slots"]])
def test_name_that_is_no_text_is_refused(make_workspace, name):
    """None is what a name is that comes from a setting that nobody set."""
    workspace = make_workspace({"config/latent.toml": "[limits.slots]"})
    with limit("slots"), pytest.raises(UsageError, match=r"A limit's name must be a string, not "):
        limit(name)
    with pytest.raises(UsageError, match=r"A limit's name must be a string, not "):
        limiter_for(workspace, name)


def test_unknown_limit_names_those_that_are_defined(make_workspace):
    workspace = make_workspace({"config/latent.toml": "[limits.openai-api]\n[limits.other]\n"})
    with pytest.raises(UnknownLimitError) as caught:
        limiter_for(workspace, "openai_api")
    assert str(caught.value) == (
        "There is no limit 'openai_api' in config/latent.toml (defined: openai-api, other): did you mean "
        "'openai-api'? Otherwise add the line [limits.openai_api] there; it needs nothing below it."
    )
    with pytest.raises(UnknownLimitError, match=r"api, other\): add the line \[limits.zzz\] there"):
        limit("zzz").__enter__()


def test_unknown_limit_where_there_are_none_says_what_to_write(make_workspace):
    with pytest.raises(UnknownLimitError) as caught:
        limiter_for(make_workspace({"config/latent.toml": ""}), "nope")
    assert str(caught.value) == (
        "There is no limit 'nope' in config/latent.toml (none is defined): add the line [limits.nope] there; "
        "it needs nothing below it."
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("concurrency = 0", "limits.slots.concurrency: Input should be greater than or equal to 1"),
        ("requests_per_minute = -5", "limits.slots.requests_per_minute: Input should be greater than 0"),
        ("requests_per_minute = inf", "limits.slots.requests_per_minute: Input should be a finite number"),
        ("tokens_per_minute = 0", "limits.slots.tokens_per_minute: Input should be greater than 0"),
        ("burst = 0", "limits.slots.burst: Input should be greater than or equal to 1"),
        ("concurency = 3", "limits.slots.concurency: unknown key, did you mean 'concurrency'?"),
    ],
)
def test_wrong_settings_are_clear_errors(make_workspace, setting, message):
    workspace = make_workspace({"config/latent.toml": f"[limits.slots]\n{setting}\n"})
    with pytest.raises(SettingsError) as caught:
        limiter_for(workspace, "slots")
    assert message in str(caught.value)


def test_edited_settings_hold_from_the_next_call_on(make_limiter):
    limiter = make_limiter("concurrency = 1")
    with limiter.acquire():
        assert make_limiter("concurrency = 2") is limiter
        limiter.acquire().release()


class RefusedError(Exception):
    """What an SDK raises for a 429."""

    def __init__(self, status: int = 429, **headers: str) -> None:
        super().__init__("refused")
        self.response = type("Response", (), {"status_code": status, "headers": headers, "_content": b"{}"})()


def status_of(name: str = "slots"):
    from latent.config import find_workspace

    return next(status for status in snapshot(find_workspace()) if status.name == name)


def test_refusals_are_counted_and_slow_the_limit_down(make_limiter):
    limiter = make_limiter("requests_per_minute = 6000")
    with pytest.raises(RefusedError), limit("slots") as permit:
        error = RefusedError()
        permit.observe(error)
        raise error
    limiter.acquire().release(error=TimeoutError())
    status = until(lambda: (found := status_of()).refused_last_minute and found)
    assert status.refused_last_minute == 1, "the same refusal, observed and raised, counts once"
    assert status.requests_per_minute == pytest.approx(0.92 * 6000, rel=0.05)


def test_limit_that_is_not_adaptive_stays_as_it_is(make_limiter):
    limiter = make_limiter("requests_per_minute = 6000\nadaptive = false")
    limiter.acquire().release(error=RefusedError())
    limiter.acquire().release()
    assert status_of().requests_per_minute == 6000


def test_headers_of_any_answer_teach_the_limit(make_limiter):
    make_limiter("")
    with limit("slots"):
        observe({"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599"})
    observe({"x-ratelimit-limit-requests": "60"})  # no call: nothing to teach
    status = until(lambda: (found := status_of()).stated_requests_per_minute and found)
    assert status.requests_per_minute == 600


def test_budget_of_a_day_paces_nothing_before_it_is_nearly_used_up(make_limiter):
    from latent.limits.permit import stated
    from latent.provider_errors.responses import answer_of

    def said(remaining: str, reset: str):
        headers = {"limit": "10000", "remaining": remaining, "reset": reset}
        answer = answer_of({f"x-ratelimit-{name}-requests": value for name, value in headers.items()})
        assert answer is not None
        return stated(answer)

    assert said("9900", "864s") is None
    assert said("50", "85968s").requests == pytest.approx(9950 / 85968)


def test_snapshot_tells_who_holds_and_who_waits(make_limiter):
    limiter = make_limiter()
    with limiter.acquire(run_id="run-1"):
        thread = threading.Thread(target=lambda: limiter.acquire(run_id="run-2").release())
        thread.start()
        status = until(lambda: (found := status_of()).in_use == found.waiting == 1 and found)
        assert status.holders[0].runs == {"run-1": (1, 0), "run-2": (0, 1)}
    thread.join()
    until(lambda: not status_of().holders)


def test_folder_that_cannot_be_made_is_replaced_by_the_workspaces_own(make_workspace, monkeypatch, caplog):
    workspace = make_workspace({"config/latent.toml": "[limits.slots]\nconcurrency = 1\n", "file": "x"})
    monkeypatch.setenv("LATENT_LIMITS_DIR", str(workspace.root / "file" / "below"))
    with caplog.at_level(logging.WARNING, "latent.limits"):
        for _ in range(2):
            limiter_for(workspace, "slots").acquire().release()
    assert [record.message.split(",")[0] for record in caplog.records] == [
        "Limits hold within this workspace only"
    ]
    assert (workspace.state_dir / "limits" / "limits.db").exists()


def test_further_blocks_inside_a_block_are_requests_that_later_calls_wait_for(make_limiter):
    limiter = make_limiter("requests_per_minute = 1_200\nburst = 1")
    began = time.monotonic()
    with limit("slots"):
        for _ in range(11):
            with limit("slots"):
                pass
        time.sleep(0.1)  # until it is told
    with limit("slots"):
        pass
    assert time.monotonic() - began > 0.45
    assert limiter._local_queue.in_use == 0

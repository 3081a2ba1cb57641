"""One limit within a process, step by step on a clock of its own: who is let in when, and when to ask."""

from __future__ import annotations

import heapq
import json
import random

import pytest

from latent.config import LimitSettings
from latent.limits.allocation import Grant
from latent.limits.controller import Overload, Refusal
from latent.limits.local_queue import BEAT_SECONDS, KEEP_SECONDS, NEVER, Action, LocalQueue, Plan
from latent.limits.waiting import FairQueue, Place, Waiter


class Caller(Waiter):
    """A waiter that nobody waits behind."""

    is_there = True

    def wake(self) -> bool:
        return self.is_there


def caller(now: float = 0.0, run_id: str = "", tokens: int = 0) -> Caller:
    return Caller(tokens, run_id, now)


def granted(owned: int, **other: object) -> Grant:
    known: dict[str, object] = {
        "owned": owned, "share": owned, "asked": 0, "free": 0, "others_wait": False, "starts": (),
        "capacity": 20, "rate": None, "is_paced": False, "members": 1, "others_in_use": 0, "version": 1,
    }  # fmt: skip
    return Grant(**(known | other))  # type: ignore[arg-type]


def queue_with(slots: int, **other: object) -> LocalQueue:
    """A queue that holds slots, all of them idle."""
    local_queue = LocalQueue("slots", LimitSettings(concurrency=20))
    local_queue.apply(Plan(Action.SYNC), granted(slots, **other), 0.0)
    return local_queue


def test_first_call_waits_for_the_limit_store_and_the_next_ones_do_not():
    local_queue = LocalQueue("slots", LimitSettings(concurrency=20))
    first = caller()
    assert not local_queue.enter(first, 0.0)
    plan = local_queue.plan(0.0)
    assert (plan.action, plan.ask and plan.ask.waiting) == (Action.SYNC, 1)
    local_queue.apply(plan, granted(3), 0.0)
    assert first.place is Place.IN
    assert local_queue.enter(caller(), 0.0)


def test_freed_slot_goes_to_the_next_waiter_at_once():
    local_queue = queue_with(1)
    first, second = caller(), caller()
    assert local_queue.enter(first, 0.0)
    assert not local_queue.enter(second, 0.0)
    local_queue.leave(first, 1.0, succeeded=True)
    assert (second.place, local_queue.in_use) == (Place.IN, 1)


def test_runs_take_turns_and_calls_of_one_run_are_first_come_first_served():
    queue = FairQueue()
    waiters = [caller(run_id=run) for run in ("a", "a", "a", "b")]
    for waiter in waiters:
        queue.append(waiter)
    order = [queue.pop() for _ in range(len(queue))]
    assert order == [waiters[0], waiters[3], waiters[1], waiters[2]]


def test_runs_are_told_how_many_wait_for_each():
    queue = FairQueue()
    waiters = [caller(run_id=run) for run in ("a", "b", "a")]
    for waiter in waiters:
        queue.append(waiter)
    assert queue.by_run() == {"a": 2, "b": 1}
    queue.remove(waiters[1])
    assert queue.by_run() == {"a": 2}


def test_ask_tells_who_is_in_and_who_waits_by_run_and_a_look_needs_none():
    local_queue = queue_with(1)
    for run in ("a", "a", "b"):
        local_queue.enter(caller(run_id=run), 0.0)
    ask = local_queue.ask()
    assert (ask.in_use, ask.waiting, json.loads(ask.runs)) == (1, 2, {"a": [1, 1], "b": [0, 1]})
    assert local_queue.plan(0.0) == Plan(Action.SYNC, ask), "more wait here than the limit store knows"
    local_queue.apply(Plan(Action.SYNC, ask), granted(1, asked=3), 0.0)
    assert local_queue.plan(0.001) == Plan(Action.CHECK), "nothing is made up each time that nothing is new"


def test_waiter_that_was_put_back_is_next_again():
    queue = FairQueue()
    waiters = [caller(run_id=run) for run in ("a", "b", "a")]
    for waiter in waiters:
        queue.append(waiter)
    queue.push_back(queue.pop())
    queue.remove(waiters[1])
    assert [queue.pop() for _ in range(2)] == [waiters[0], waiters[2]]


def test_slots_over_the_fair_share_are_not_handed_over_while_others_lack_theirs():
    local_queue = queue_with(2, share=1, others_wait=True)
    local_queue.in_use = 0
    first, second = caller(), caller()
    assert local_queue.enter(first, 0.0)
    assert not local_queue.enter(second, 0.0), "the second slot is another process's"
    plan = local_queue.plan(0.0)
    assert (plan.action, plan.ask and plan.ask.owned) == (Action.SYNC, 1), "it is given back"


def test_idle_slots_go_back_at_once_when_others_wait_and_stay_a_while_when_nobody_is_there():
    alone = queue_with(4)
    assert alone.plan(KEEP_SECONDS / 2).action is Action.CHECK
    assert alone.owned == 4
    assert alone.plan(KEEP_SECONDS).action is Action.SYNC
    assert alone.owned == 0
    assert queue_with(4, others_wait=True, share=0).plan(0.0).action is Action.SYNC


def test_process_without_calls_leaves_the_books_and_then_the_file():
    local_queue = queue_with(0)
    assert local_queue.plan(KEEP_SECONDS).action is Action.LEAVE
    local_queue.retire(1.0)
    assert local_queue.plan(2.0).action is Action.NONE
    assert local_queue.plan(1_000.0).action is Action.CLOSE
    local_queue.schedule(1_000.0)
    assert local_queue.due == NEVER, "a thread that is due at once, again and again, keeps a whole processor"


def test_calls_under_a_rate_begin_at_their_booked_times():
    local_queue = queue_with(0, capacity=None, is_paced=True, rate=10.0)
    waiters = [caller() for _ in range(3)]
    for waiter in waiters:
        assert not local_queue.enter(waiter, 0.0)
    plan = local_queue.plan(0.0)
    assert plan.booking == (waiters[0],), "at a low rate one is booked at a time"
    paced = {"capacity": None, "is_paced": True, "rate": 10.0}
    local_queue.apply(plan, granted(0, starts=(0.5,), **paced), 0.0)
    local_queue.schedule(0.0)
    assert (waiters[0].place, local_queue.due) == (Place.BOOKED, 0.5)
    local_queue.plan(0.5)
    assert waiters[0].place is Place.IN
    assert waiters[1].place is Place.BOOKED


@pytest.mark.parametrize(
    ("rate", "members", "booked"),
    [
        (50.0, 1, 2),  # a call each 20 ms, and the next one while it begins
        (50.0, 2, 2),  # 25 a second for each of the two
        (50.0, 4, 1),  # 12.5 for each of four: all have 4 booked, not 8
        (500.0, 4, 6),  # 3 in 20 ms for each, and the next 3
    ],
)
def test_processes_look_ahead_by_their_part_of_the_rate(rate, members, booked):
    """What all have booked may begin at one moment, after the machine stood still."""
    local_queue = queue_with(0, capacity=None, is_paced=True, rate=rate, members=members)
    for _ in range(20):
        local_queue.enter(caller(), 0.0)
    assert len(local_queue.plan(0.0).booking) == booked


def test_call_that_was_booked_at_a_crawl_is_booked_again_once_the_rate_is_back():
    paced = {"capacity": None, "is_paced": True}
    local_queue = queue_with(0, **paced, rate=1 / 120)
    waiters = [caller() for _ in range(3)]
    for waiter in waiters:
        local_queue.enter(waiter, 0.0)
    local_queue.apply(local_queue.plan(0.0), granted(0, starts=(120.0,), rate=1 / 120, **paced), 0.0)
    local_queue.apply(Plan(Action.SYNC), granted(0, rate=1 / 110, **paced), 1.0)
    assert waiters[0].place is Place.BOOKED, "a little faster is no reason"
    local_queue.apply(Plan(Action.SYNC), granted(0, rate=50.0, **paced), 2.0)
    assert (waiters[0].place, local_queue.in_use) == (Place.QUEUED, 0)
    plan = local_queue.plan(2.0)
    assert plan.booking == tuple(waiters[:2])
    assert local_queue.with_news(plan.ask).returned == (1, 0.0), "what was booked for it is there again"


def test_cancelled_calls_give_back_what_they_held_or_had_booked():
    local_queue = queue_with(0, capacity=None, is_paced=True, rate=10.0)
    waiter = caller(tokens=7)
    local_queue.enter(waiter, 0.0)
    plan = local_queue.plan(0.0)
    paced = {"capacity": None, "is_paced": True, "rate": 10.0}
    local_queue.apply(plan, granted(0, starts=(0.5,), **paced), 0.0)
    local_queue.give_up(waiter, 0.1)
    plan = local_queue.plan(0.2)
    assert plan.action in (Action.NONE, Action.SYNC)
    told = local_queue.with_news(local_queue.plan(1.0).ask or plan.ask)  # type: ignore[arg-type]
    assert (local_queue.in_use, told.returned) == (0, (1, 7.0))


def test_slot_of_a_caller_whose_event_loop_is_gone_goes_to_the_next():
    local_queue = queue_with(1)
    first, gone, third = caller(), caller(), caller()
    gone.is_there = False
    for waiter in (first, gone, third):
        local_queue.enter(waiter, 0.0)
    local_queue.leave(first, 1.0, succeeded=True)
    assert (gone.place, third.place, local_queue.in_use) == (Place.GONE, Place.IN, 1)


def test_sync_that_fails_leaves_the_order_of_waiters_as_it_was():
    local_queue = queue_with(0, capacity=None, is_paced=True, rate=1_000.0)
    waiters = [caller() for _ in range(3)]
    for waiter in waiters:
        local_queue.enter(waiter, 0.0)
    plan = local_queue.plan(0.0)
    assert plan.booking == tuple(waiters)
    assert plan.ask is not None
    local_queue.abandon(plan, plan.ask, 0.0)
    assert local_queue.in_use == 0
    assert local_queue.plan(0.0).booking == tuple(waiters)


def test_what_was_told_on_a_sync_that_failed_is_told_on_the_next():
    local_queue = queue_with(1)
    waiter = caller()
    assert local_queue.enter(waiter, 0.0)
    local_queue.tell(Refusal(0.1, 10.0, 1), 0.1)
    local_queue.book(-5, -1, 0.1)
    local_queue.leave(waiter, 0.2, succeeded=True)
    plan = local_queue.plan(0.3)
    told = local_queue.with_news(plan.ask or local_queue.ask())
    assert (told.begun, told.returned, len(told.news)) == (1, (1, 5.0), 2)
    local_queue.abandon(plan, told, 0.3)
    local_queue.tell(Overload(0.4), 0.4)
    local_queue.book(-2, 0, 0.4)
    again = local_queue.with_news(local_queue.ask())
    assert (again.begun, again.returned) == (1, (1, 7.0))
    assert again.news == (*told.news, Overload(0.4))
    assert local_queue.with_news(local_queue.ask()).news == ()


def test_sync_that_failed_is_made_again_for_what_it_had_to_tell():
    local_queue = queue_with(0, capacity=None)
    local_queue.book(-5, 0, 0.0)
    plan = local_queue.plan(0.2)
    assert plan.action is Action.SYNC
    local_queue.abandon(plan, local_queue.with_news(plan.ask or local_queue.ask()), 0.2)
    local_queue.schedule(0.2)
    assert local_queue.plan(0.2 + BEAT_SECONDS).action is Action.SYNC


def test_calls_that_are_woken_late_do_not_begin_all_at_once():
    """A stalled event loop gets a second's worth of calls in one moment; the provider must not."""
    local_queue = LocalQueue("sim", LimitSettings(requests_per_minute=600, burst=4))
    late = [caller() for _ in range(10)]
    for place, waiter in enumerate(late):
        waiter.start_at, waiter.rate = place / 10, 10.0
    pauses = [local_queue.depart(waiter, 5.0) for waiter in late]
    # By hand: three quarters of the burst, 3 calls, at once, then one every tenth of a second.
    assert pauses == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert [waiter.began_at for waiter in late[:3]] == [5.0] * 3
    assert local_queue.depart(late[3], 5.05) == pytest.approx(0.05), (
        "woken too soon, it waits for the same moment"
    )
    assert local_queue.depart(late[3], 5.125) == 0.0
    # Who overslept takes what is there: the bucket was full again, and holds 3.
    assert [local_queue.depart(waiter, 9.0) for waiter in late[4:]] == pytest.approx(
        [0.0, 0.0, 0.0, 0.1, 0.1, 0.1]
    )
    assert late[6].began_at == 9.0
    # All three look again at that moment, and one of them goes.
    assert [local_queue.depart(waiter, 9.125) for waiter in late[7:]] == pytest.approx([0.0, 0.075, 0.075])


def test_call_that_comes_while_others_wait_goes_when_it_is_awake_at_the_right_moment():
    """10 a second, 3 at once: the fourth is to go at 5.1 and oversleeps; the fifth, awake at 5.15, goes."""
    local_queue = LocalQueue("sim", LimitSettings(requests_per_minute=600, burst=4))
    calls = [caller() for _ in range(5)]
    for waiter in calls:
        waiter.start_at, waiter.rate = 0.0, 10.0
    assert [local_queue.depart(waiter, 5.0) for waiter in calls[:4]] == pytest.approx([0.0, 0.0, 0.0, 0.1])
    assert local_queue.depart(calls[4], 5.15) == 0.0
    assert local_queue.depart(calls[3], 5.16) == pytest.approx(0.04)
    assert local_queue.depart(calls[3], 5.21) == 0.0


def test_call_that_went_at_a_crawl_does_not_hold_up_others_once_the_rate_is_back():
    paced = {"capacity": None, "is_paced": True}
    local_queue = queue_with(0, **paced, rate=1 / 120)
    first, second = caller(), caller()
    for waiter in (first, second):
        waiter.start_at, waiter.rate = 0.0, 1 / 120
    assert local_queue.depart(first, 10.0) == 0.0
    assert local_queue.depart(second, 10.0) == pytest.approx(120.0)
    local_queue.apply(Plan(Action.SYNC), granted(0, **paced, rate=50.0), 11.0)
    # By hand: one call less a 120th is missing, and the bucket holds 7.5 at 50 a second.
    assert local_queue.depart(second, 11.0) == 0.0
    assert local_queue._departures_full_at == pytest.approx(11.0 + (2 - 1 / 120) / 50)


def test_cancelled_call_does_not_lengthen_the_line_of_those_that_may_go():
    local_queue = LocalQueue("sim", LimitSettings(requests_per_minute=600, burst=4))
    calls = [caller() for _ in range(7)]
    for waiter in calls:
        waiter.start_at, waiter.rate, waiter.place = 0.0, 10.0, Place.IN
        local_queue._hold(waiter)
    assert [local_queue.depart(waiter, 5.0) for waiter in calls[3:]] == pytest.approx([0.0, 0.0, 0.0, 0.1])
    local_queue.give_up(calls[6], 5.0)
    assert local_queue.depart(calls[0], 5.0) == pytest.approx(0.1), "the place of the cancelled one"


def test_calls_that_are_always_woken_late_still_use_the_whole_rate():
    """50 a second, each wake-up up to 60 ms late: 500 calls take 10 s, and never more than 8 come at once."""
    local_queue, dice = LocalQueue("sim", LimitSettings(requests_per_minute=3000, burst=10)), random.Random(1)
    looks, gone = [], []
    for place in range(500):
        waiter = caller()
        waiter.start_at, waiter.rate = place / 50, 50.0
        looks.append((place / 50 + dice.uniform(0, 0.06), place, waiter))
    heapq.heapify(looks)
    while looks:
        now, place, waiter = heapq.heappop(looks)
        if (pause := local_queue.depart(waiter, now)) > 0:
            heapq.heappush(looks, (now + pause + dice.uniform(0, 0.06), place, waiter))
        else:
            gone.append(now)
    assert gone[-1] < 10.1
    most = max(
        end - begin + 1 - 50 * (gone[end] - gone[begin]) for begin in range(500) for end in range(begin, 500)
    )
    assert most <= 7.5 + 1e-6, "they fit a bucket of three quarters of the burst"

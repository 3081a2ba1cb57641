"""One limit within a process, step by step on a clock of its own: who is let in when, and when to ask."""

from __future__ import annotations

import heapq
import json
import random

import pytest

from latent.config import LimitSettings
from latent.limits.controller import Overload, Refusal
from latent.limits.desk import BEAT_SECONDS, KEEP_SECONDS, NEVER, Desk, Errand, Plan
from latent.limits.ledger import Grant
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


def desk_with(slots: int, **other: object) -> Desk:
    """A desk that holds slots, all of them idle."""
    desk = Desk("slots", LimitSettings(concurrency=20))
    desk.apply(Plan(Errand.VISIT), granted(slots, **other), 0.0)
    return desk


def test_first_call_waits_for_the_governor_and_the_next_ones_do_not():
    desk = Desk("slots", LimitSettings(concurrency=20))
    first = caller()
    assert not desk.enter(first, 0.0)
    plan = desk.plan(0.0)
    assert (plan.errand, plan.ask and plan.ask.waiting) == (Errand.VISIT, 1)
    desk.apply(plan, granted(3), 0.0)
    assert first.place is Place.IN
    assert desk.enter(caller(), 0.0)


def test_freed_slot_goes_to_the_next_waiter_at_once():
    desk = desk_with(1)
    first, second = caller(), caller()
    assert desk.enter(first, 0.0)
    assert not desk.enter(second, 0.0)
    desk.leave(first, 1.0, succeeded=True)
    assert (second.place, desk.in_use) == (Place.IN, 1)


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
    desk = desk_with(1)
    for run in ("a", "a", "b"):
        desk.enter(caller(run_id=run), 0.0)
    ask = desk.ask()
    assert (ask.in_use, ask.waiting, json.loads(ask.runs)) == (1, 2, {"a": [1, 1], "b": [0, 1]})
    assert desk.plan(0.0) == Plan(Errand.VISIT, ask), "more wait here than the governor knows"
    desk.apply(Plan(Errand.VISIT, ask), granted(1, asked=3), 0.0)
    assert desk.plan(0.001) == Plan(Errand.LOOK), "nothing is made up each time that nothing is new"


def test_waiter_that_was_put_back_is_next_again():
    queue = FairQueue()
    waiters = [caller(run_id=run) for run in ("a", "b", "a")]
    for waiter in waiters:
        queue.append(waiter)
    queue.push_back(queue.pop())
    queue.remove(waiters[1])
    assert [queue.pop() for _ in range(2)] == [waiters[0], waiters[2]]


def test_slots_over_the_fair_share_are_not_handed_over_while_others_lack_theirs():
    desk = desk_with(2, share=1, others_wait=True)
    desk.in_use = 0
    first, second = caller(), caller()
    assert desk.enter(first, 0.0)
    assert not desk.enter(second, 0.0), "the second slot is somebody else's"
    plan = desk.plan(0.0)
    assert (plan.errand, plan.ask and plan.ask.owned) == (Errand.VISIT, 1), "it is given back"


def test_idle_slots_go_back_at_once_when_others_wait_and_stay_a_while_when_nobody_is_there():
    alone = desk_with(4)
    assert alone.plan(KEEP_SECONDS / 2).errand is Errand.LOOK
    assert alone.owned == 4
    assert alone.plan(KEEP_SECONDS).errand is Errand.VISIT
    assert alone.owned == 0
    assert desk_with(4, others_wait=True, share=0).plan(0.0).errand is Errand.VISIT


def test_process_without_calls_leaves_the_books_and_then_the_file():
    desk = desk_with(0)
    assert desk.plan(KEEP_SECONDS).errand is Errand.LEAVE
    desk.retire(1.0)
    assert desk.plan(2.0).errand is Errand.NONE
    assert desk.plan(1_000.0).errand is Errand.CLOSE
    desk.schedule(1_000.0)
    assert desk.due == NEVER, "a thread that is due at once, again and again, keeps a whole processor"


def test_calls_under_a_rate_begin_at_their_booked_times():
    desk = desk_with(0, capacity=None, is_paced=True, rate=10.0)
    waiters = [caller() for _ in range(3)]
    for waiter in waiters:
        assert not desk.enter(waiter, 0.0)
    plan = desk.plan(0.0)
    assert plan.booking == (waiters[0],), "at a low rate one is booked at a time"
    paced = {"capacity": None, "is_paced": True, "rate": 10.0}
    desk.apply(plan, granted(0, starts=(0.5,), **paced), 0.0)
    desk.schedule(0.0)
    assert (waiters[0].place, desk.due) == (Place.BOOKED, 0.5)
    desk.plan(0.5)
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
    desk = desk_with(0, capacity=None, is_paced=True, rate=rate, members=members)
    for _ in range(20):
        desk.enter(caller(), 0.0)
    assert len(desk.plan(0.0).booking) == booked


def test_call_that_was_booked_at_a_crawl_is_booked_anew_once_the_rate_is_back():
    paced = {"capacity": None, "is_paced": True}
    desk = desk_with(0, **paced, rate=1 / 120)
    waiters = [caller() for _ in range(3)]
    for waiter in waiters:
        desk.enter(waiter, 0.0)
    desk.apply(desk.plan(0.0), granted(0, starts=(120.0,), rate=1 / 120, **paced), 0.0)
    desk.apply(Plan(Errand.VISIT), granted(0, rate=1 / 110, **paced), 1.0)
    assert waiters[0].place is Place.BOOKED, "a little faster is no reason"
    desk.apply(Plan(Errand.VISIT), granted(0, rate=50.0, **paced), 2.0)
    assert (waiters[0].place, desk.in_use) == (Place.QUEUED, 0)
    plan = desk.plan(2.0)
    assert plan.booking == tuple(waiters[:2])
    assert desk.with_news(plan.ask).returned == (1, 0.0), "what was booked for it is there again"


def test_cancelled_calls_give_back_what_they_held_or_had_booked():
    desk = desk_with(0, capacity=None, is_paced=True, rate=10.0)
    waiter = caller(tokens=7)
    desk.enter(waiter, 0.0)
    plan = desk.plan(0.0)
    paced = {"capacity": None, "is_paced": True, "rate": 10.0}
    desk.apply(plan, granted(0, starts=(0.5,), **paced), 0.0)
    desk.give_up(waiter, 0.1)
    plan = desk.plan(0.2)
    assert plan.errand in (Errand.NONE, Errand.VISIT)
    told = desk.with_news(desk.plan(1.0).ask or plan.ask)  # type: ignore[arg-type]
    assert (desk.in_use, told.returned) == (0, (1, 7.0))


def test_slot_of_a_caller_whose_event_loop_is_gone_goes_to_the_next():
    desk = desk_with(1)
    first, gone, third = caller(), caller(), caller()
    gone.is_there = False
    for waiter in (first, gone, third):
        desk.enter(waiter, 0.0)
    desk.leave(first, 1.0, succeeded=True)
    assert (gone.place, third.place, desk.in_use) == (Place.GONE, Place.IN, 1)


def test_visit_that_fails_leaves_the_order_of_waiters_as_it_was():
    desk = desk_with(0, capacity=None, is_paced=True, rate=1_000.0)
    waiters = [caller() for _ in range(3)]
    for waiter in waiters:
        desk.enter(waiter, 0.0)
    plan = desk.plan(0.0)
    assert plan.booking == tuple(waiters)
    assert plan.ask is not None
    desk.abandon(plan, plan.ask, 0.0)
    assert desk.in_use == 0
    assert desk.plan(0.0).booking == tuple(waiters)


def test_what_was_told_on_a_visit_that_failed_is_told_on_the_next():
    desk = desk_with(1)
    waiter = caller()
    assert desk.enter(waiter, 0.0)
    desk.tell(Refusal(0.1, 10.0, 1), 0.1)
    desk.book(-5, -1, 0.1)
    desk.leave(waiter, 0.2, succeeded=True)
    plan = desk.plan(0.3)
    told = desk.with_news(plan.ask or desk.ask())
    assert (told.begun, told.returned, len(told.news)) == (1, (1, 5.0), 2)
    desk.abandon(plan, told, 0.3)
    desk.tell(Overload(0.4), 0.4)
    desk.book(-2, 0, 0.4)
    again = desk.with_news(desk.ask())
    assert (again.begun, again.returned) == (1, (1, 7.0))
    assert again.news == (*told.news, Overload(0.4))
    assert desk.with_news(desk.ask()).news == ()


def test_visit_that_failed_is_made_again_for_what_it_had_to_tell():
    desk = desk_with(0, capacity=None)
    desk.book(-5, 0, 0.0)
    plan = desk.plan(0.2)
    assert plan.errand is Errand.VISIT
    desk.abandon(plan, desk.with_news(plan.ask or desk.ask()), 0.2)
    desk.schedule(0.2)
    assert desk.plan(0.2 + BEAT_SECONDS).errand is Errand.VISIT


def test_calls_that_are_woken_late_do_not_begin_all_at_once():
    """A stalled event loop gets a second's worth of calls in one moment; the provider must not."""
    desk = Desk("sim", LimitSettings(requests_per_minute=600, burst=4))
    late = [caller() for _ in range(10)]
    for place, waiter in enumerate(late):
        waiter.start_at, waiter.rate = place / 10, 10.0
    pauses = [desk.depart(waiter, 5.0) for waiter in late]
    # By hand: three quarters of the burst, 3 calls, at once, then one every tenth of a second.
    assert pauses == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert [waiter.began_at for waiter in late[:3]] == [5.0] * 3
    assert desk.depart(late[3], 5.05) == pytest.approx(0.05), "woken too soon, it waits for the same moment"
    assert desk.depart(late[3], 5.125) == 0.0
    # Who overslept takes what is there: the bucket was full again, and holds 3.
    assert [desk.depart(waiter, 9.0) for waiter in late[4:]] == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.1, 0.1])
    assert late[6].began_at == 9.0
    # All three look again at that moment, and one of them goes.
    assert [desk.depart(waiter, 9.125) for waiter in late[7:]] == pytest.approx([0.0, 0.075, 0.075])


def test_call_that_comes_while_others_wait_goes_when_it_is_awake_at_the_right_moment():
    """10 a second, 3 at once: the fourth is to go at 5.1 and oversleeps; the fifth, awake at 5.15, goes."""
    desk = Desk("sim", LimitSettings(requests_per_minute=600, burst=4))
    calls = [caller() for _ in range(5)]
    for waiter in calls:
        waiter.start_at, waiter.rate = 0.0, 10.0
    assert [desk.depart(waiter, 5.0) for waiter in calls[:4]] == pytest.approx([0.0, 0.0, 0.0, 0.1])
    assert desk.depart(calls[4], 5.15) == 0.0
    assert desk.depart(calls[3], 5.16) == pytest.approx(0.04)
    assert desk.depart(calls[3], 5.21) == 0.0


def test_call_that_went_at_a_crawl_does_not_hold_up_others_once_the_rate_is_back():
    paced = {"capacity": None, "is_paced": True}
    desk = desk_with(0, **paced, rate=1 / 120)
    first, second = caller(), caller()
    for waiter in (first, second):
        waiter.start_at, waiter.rate = 0.0, 1 / 120
    assert desk.depart(first, 10.0) == 0.0
    assert desk.depart(second, 10.0) == pytest.approx(120.0)
    desk.apply(Plan(Errand.VISIT), granted(0, **paced, rate=50.0), 11.0)
    # By hand: one call less a 120th is missing, and the bucket holds 7.5 at 50 a second.
    assert desk.depart(second, 11.0) == 0.0
    assert desk._departures_full_at == pytest.approx(11.0 + (2 - 1 / 120) / 50)


def test_cancelled_call_does_not_lengthen_the_line_of_those_that_may_go():
    desk = Desk("sim", LimitSettings(requests_per_minute=600, burst=4))
    calls = [caller() for _ in range(7)]
    for waiter in calls:
        waiter.start_at, waiter.rate, waiter.place = 0.0, 10.0, Place.IN
        desk._hold(waiter)
    assert [desk.depart(waiter, 5.0) for waiter in calls[3:]] == pytest.approx([0.0, 0.0, 0.0, 0.1])
    desk.give_up(calls[6], 5.0)
    assert desk.depart(calls[0], 5.0) == pytest.approx(0.1), "the place of the cancelled one"


def test_calls_that_are_always_woken_late_still_use_the_whole_rate():
    """50 a second, each wake-up up to 60 ms late: 500 calls take 10 s, and never more than 8 come at once."""
    desk, dice = Desk("sim", LimitSettings(requests_per_minute=3000, burst=10)), random.Random(1)
    looks, gone = [], []
    for place in range(500):
        waiter = caller()
        waiter.start_at, waiter.rate = place / 50, 50.0
        looks.append((place / 50 + dice.uniform(0, 0.06), place, waiter))
    heapq.heapify(looks)
    while looks:
        now, place, waiter = heapq.heappop(looks)
        if (pause := desk.depart(waiter, now)) > 0:
            heapq.heappush(looks, (now + pause + dice.uniform(0, 0.06), place, waiter))
        else:
            gone.append(now)
    assert gone[-1] < 10.1
    most = max(
        end - begin + 1 - 50 * (gone[end] - gone[begin]) for begin in range(500) for end in range(begin, 500)
    )
    assert most <= 7.5 + 1e-6, "they fit a bucket of three quarters of the burst"

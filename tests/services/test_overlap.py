"""Which due run of a deployment goes: by hand, from tables of runs and their times."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from latent.config import DeploymentSettings
from latent.services.overlap import CLAIM_LOST, Candidate, decide, decide_to_go_on, may_go_on

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def due(minutes, *, by_hand=False):
    return Candidate(f"s{minutes:03}", f"due-{minutes}", at(minutes), "scheduled", is_by_hand=by_hand)


def claimed(minutes, since, *, by_hand=False):
    return Candidate(f"c{minutes:03}", f"claimed-{minutes}", at(minutes), "claimed", at(since), by_hand)


def begun(minutes, since=None):
    return Candidate(f"b{minutes:03}", f"begun-{minutes}", at(minutes), "begun", at(since or minutes))


def settings(overlap="skip", catch_up="latest"):
    return DeploymentSettings(flow="f", name="n", overlap=overlap, catch_up=catch_up, late_after="15m")


def verdicts(runs, now, **chosen):
    """The verdict on each scheduled run, in the order of the runs."""
    return [
        decide(run, runs, settings(**chosen), at(now)).verdict for run in runs if run.stage == "scheduled"
    ]


@pytest.mark.parametrize(
    ("runs", "now", "chosen", "expected"),
    [
        # One run, nothing else.
        ([due(0)], -1, {}, ["wait"]),
        ([due(0)], 0, {}, ["go"]),
        ([due(0)], 600, {}, ["go"]),  # ten hours late, and the newest
        # No worker was there for a while: the newest goes.
        ([due(0), due(10), due(20)], 25, {}, ["skip", "skip", "go"]),
        ([due(0), due(10), due(20)], 15, {}, ["skip", "go", "wait"]),  # the third is not due yet
        ([due(0), due(10), due(20)], 25, {"overlap": "queue"}, ["skip", "skip", "go"]),
        ([due(0), due(10), due(20)], 25, {"catch_up": "none"}, ["skip", "skip", "go"]),
        ([due(0), due(10), due(20)], 60, {"catch_up": "none"}, ["skip", "skip", "skip"]),
        ([due(0), due(10), due(20)], 60, {"catch_up": "all"}, ["go", "wait", "wait"]),
        ([due(0), due(10), due(20)], 22, {"overlap": "allow"}, ["skip", "go", "go"]),  # the first is late
        ([due(0), due(10), due(20)], 60, {"overlap": "allow"}, ["skip", "skip", "go"]),
        ([due(0), due(10), due(20)], 60, {"overlap": "allow", "catch_up": "none"}, ["skip"] * 3),
        ([due(0), due(10), due(20)], 60, {"overlap": "allow", "catch_up": "all"}, ["go", "wait", "wait"]),
        # Another one runs.
        ([begun(0), due(10)], 10, {}, ["skip"]),
        ([begun(0), due(10)], 10, {"overlap": "queue"}, ["wait"]),
        ([begun(0), due(10), due(20)], 20, {"overlap": "queue"}, ["skip", "wait"]),
        ([begun(0), due(10)], 10, {"overlap": "allow"}, ["go"]),
        ([begun(0), due(10)], 10, {"catch_up": "all"}, ["skip"]),  # due while it ran: not missed
        ([begun(0, since=30), due(10), due(20)], 31, {"catch_up": "all"}, ["wait", "wait"]),
        ([begun(0, since=30), due(10), due(40)], 41, {"catch_up": "all"}, ["wait", "skip"]),
        ([begun(20, since=30), due(10)], 31, {}, ["skip"]),  # left over from the time before it began
        # Another one is about to: its process starts.
        ([claimed(0, since=1), due(10)], 10, {}, ["skip"]),
        ([claimed(0, since=10), due(10)], 10, {"overlap": "queue"}, ["wait"]),
        ([claimed(0, since=20), due(10)], 20, {}, ["go"]),  # claimed together: the older one gives way
        ([claimed(0, since=1), due(30)], 30, {}, ["go"]),  # half an hour, and it never began
        # By hand: never skipped.
        ([due(0, by_hand=True), due(10)], 60, {}, ["go", "skip"]),
        ([due(0, by_hand=True)], 600, {"catch_up": "none"}, ["go"]),
        ([begun(0), due(10, by_hand=True)], 10, {}, ["wait"]),
        ([begun(0), due(10, by_hand=True)], 10, {"overlap": "allow"}, ["go"]),
        ([due(0, by_hand=True), due(1, by_hand=True)], 10, {}, ["go", "wait"]),
        ([claimed(0, since=1, by_hand=True), due(1, by_hand=True)], 2, {}, ["wait"]),
    ],
)  # fmt: skip
def test_the_newest_due_run_goes_and_the_others_as_the_settings_say(runs, now, chosen, expected):
    assert verdicts(runs, now, **chosen) == expected


def test_a_run_that_is_skipped_says_what_superseded_it():
    old, new = due(0), due(10)
    assert decide(old, [new], settings(), at(11)).reason == (
        "Superseded by run 'due-10', which was due at 2027-03-01 12:10:00 UTC."
    )
    assert decide(new, [begun(0)], settings(), at(11)).reason == "run 'begun-0' still ran when it was due."
    assert "more than 15m ago" in decide(old, [], settings(catch_up="none"), at(30)).reason


def test_of_runs_that_a_foreign_worker_claimed_at_once_only_the_newest_goes():
    runs = [claimed(minutes, since=30) for minutes in (0, 10, 20)]
    decisions = [decide(run, runs, settings(), at(31)).verdict for run in runs]
    assert decisions == ["skip", "skip", "go"]


def test_a_run_that_was_claimed_is_not_superseded_by_what_is_due_later():
    mine = claimed(0, since=1)
    assert decide(mine, [due(2)], settings(), at(3)).verdict == "go"


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        (5, None, True),
        (5, 4, False),  # it began earlier, and goes on
        (5, 6, True),  # it began a minute later, so it sees this one
        (5, 5, False),  # at once: both give way
    ],
)
def test_of_two_runs_that_begin_at_once_no_two_go_on(mine, other, expected):
    run = begun(5, since=mine)
    others = [] if other is None else [begun(0, since=other)]
    assert may_go_on(run, others, settings()) is expected
    assert may_go_on(run, others, settings(overlap="allow"))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("overlap", ["skip", "queue"])
@pytest.mark.parametrize("catch_up", ["latest", "none", "all"])
def test_in_fifty_due_times_with_workers_that_come_and_go_nothing_is_lost_or_ended_early(
    overlap, catch_up, seed
):
    """A thousand due times over all seeds: each run ends or goes, none before its time, never two at once."""
    draw = random.Random(seed)
    chosen = settings(overlap, catch_up)
    waiting = {minute: due(minute) for minute in range(50)}
    running: tuple[Candidate, int] | None = None
    went, skipped, has_worker = [], [], True
    for now in range(200):
        if draw.random() < 0.1:
            has_worker = not has_worker or now > 150
        if running is not None and now >= running[1]:
            running = None
        for minute in draw.sample(sorted(waiting), len(waiting)) if has_worker else ():
            active = [running[0]] if running else []
            decision = decide(waiting[minute], [*waiting.values(), *active], chosen, at(now))
            if decision.verdict == "wait":
                continue
            assert minute <= now, f"run {minute} was decided at {now}"
            del waiting[minute]
            if decision.verdict == "skip":
                skipped.append(minute)
            else:
                assert running is None, "two at once"
                running = begun(minute, since=now), now + draw.choice((0, 1, 3, 20)) + 1
                went.append(minute)
    assert not waiting or catch_up == "all"
    assert len(went) + len(skipped) + len(waiting) == 50
    assert went == sorted(went)
    if overlap == "queue" and catch_up == "latest":
        assert 49 in went  # the newest one is never lost


def test_a_run_whose_worker_was_stopped_goes_on_before_others_begin():
    mine = Candidate("a", "mine", at(0), "interrupted", at(1))
    assert decide(due(10), [mine], settings(), at(10)).verdict == "skip"
    assert decide(due(10), [mine], settings("queue"), at(10)).verdict == "wait"
    assert decide_to_go_on(mine, [due(10)], settings()).verdict == "go"
    assert decide_to_go_on(mine, [begun(5)], settings()).verdict == "wait"
    assert decide_to_go_on(mine, [begun(5)], settings("allow")).verdict == "go"
    second = Candidate("b", "second", at(1), "interrupted", at(1))
    assert decide_to_go_on(mine, [second], settings()).verdict == "go"
    assert decide_to_go_on(second, [mine], settings()).verdict == "wait"


def test_a_claim_that_led_to_nothing_does_not_hold_up_the_deployment_for_ever():
    lost = claimed(0, since=0)
    later = Candidate("x", "later", at(0) + CLAIM_LOST, "scheduled")
    assert decide(later, [lost], settings(), later.due - timedelta(seconds=1)).verdict == "wait"
    assert decide(later, [lost], settings(), later.due).verdict == "go"

"""Global concurrency limits: slots, decay, leases, and waking those who wait."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from latent.prefect.api.limits import GlobalLimit, GlobalLimits
from latent.prefect.api.memory import MemoryApi
from latent.prefect.api.messages import Answer, RefusalError, Request
from latent.prefect.api.slots import Slots

BASE = "v2/concurrency_limits"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(clock: Clock) -> MemoryApi:
    return MemoryApi(GlobalLimits(clock=clock))


def ask(api: MemoryApi, path: str, method: str = "POST", **body: Any) -> Any:
    return api.answer(Request(method, f"{BASE}/{path}" if path else BASE, body=json.dumps(body).encode()))


def content(answer: Any) -> Any:
    assert isinstance(answer, Answer)
    return answer.content


def taken(api: MemoryApi, name: str = "calls") -> int:
    return next(limit["active_slots"] for limit in api.limits() if limit["name"] == name)


def acquire(api: MemoryApi, slots: int = 1, **more: Any) -> Any:
    return ask(api, "increment-with-lease", **{"names": ["calls"], "slots": slots, **more})


def test_limits_can_be_there_from_the_start(api: MemoryApi) -> None:
    api.define_limits([GlobalLimit("calls", 3), GlobalLimit("rate", 5, slot_decay_per_second=2.0)])
    acquire(api, 2)
    api.define_limits([GlobalLimit("calls", 2)])
    found = {
        limit["name"]: (limit["limit"], limit["active_slots"], limit["slot_decay_per_second"])
        for limit in api.limits()
    }
    assert found == {"calls": (2, 2, 0.0), "rate": (5, 0, 2.0)}


def test_all_named_limits_are_taken_or_none(api: MemoryApi) -> None:
    api.define_limits([GlobalLimit("calls", 1), GlobalLimit("other", 1)])
    acquire(api)
    waiting = acquire(api, names=["other", "calls"])
    assert not isinstance(waiting, Answer)
    waiting.close()
    assert taken(api, "other") == 0


def test_an_expired_lease_frees_its_slots(api: MemoryApi, clock: Clock) -> None:
    api.define_limits([GlobalLimit("calls", 1)])
    first = content(acquire(api, lease_duration=60))["lease_id"]
    clock.now += 59
    assert ask(api, f"leases/{first}/renew", lease_duration=60).status == 204
    clock.now += 59
    assert taken(api) == 1
    clock.now += 2
    assert taken(api) == 0
    second = content(acquire(api))
    assert second["limits"][0]["name"] == "calls"
    assert ask(api, "decrement-with-lease", lease_id=first).status == 204
    assert taken(api) == 1, "an expired lease must not free slots that belong to another by now"
    with pytest.raises(RefusalError, match="410"):
        ask(api, f"leases/{first}/renew")


def test_an_inactive_limit_limits_nothing(api: MemoryApi) -> None:
    api.define_limits([GlobalLimit("calls", 1)])
    ask(api, "calls", "PATCH", active=False)
    for _ in range(3):
        assert content(acquire(api, 5))["limits"]
    assert taken(api) == 0


def test_a_deleted_limit_lets_everyone_pass(api: MemoryApi) -> None:
    api.define_limits([GlobalLimit("calls", 1)])
    ask(api, "calls", "DELETE")
    assert content(acquire(api))["limits"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"names": [], "slots": 1},
        {"names": ["calls"]},
        {"names": ["calls"], "slots": 0},
        {"names": "calls", "slots": 1},
    ],
)
def test_a_request_for_slots_must_be_complete(api: MemoryApi, body: dict[str, Any]) -> None:
    with pytest.raises(RefusalError, match="422"):
        ask(api, "increment", **body)


async def test_a_freed_slot_wakes_the_next_at_once() -> None:
    api = MemoryApi()
    api.define_limits([GlobalLimit("calls", 1)])
    lease = content(acquire(api))["lease_id"]
    waiting = asyncio.ensure_future(acquire(api))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    ask(api, "decrement-with-lease", lease_id=lease)
    answer = await asyncio.wait_for(waiting, 0.05)
    assert answer.content["limits"]
    assert taken(api) == 1


async def test_a_longer_wait_ends_with_when_to_ask_again() -> None:
    api = MemoryApi(GlobalLimits(hold_seconds=0.05))
    api.define_limits([GlobalLimit("calls", 1)])
    acquire(api)
    answer = await acquire(api)
    assert answer.status == 423
    # Prefect starts with the estimate that a slot is held for 2 seconds.
    assert 1.5 < float(answer.headers["Retry-After"]) < 2.0


async def test_a_caller_who_hangs_up_takes_no_slot() -> None:
    api = MemoryApi()
    api.define_limits([GlobalLimit("calls", 1)])
    lease = content(acquire(api))["lease_id"]
    waiting = asyncio.ensure_future(acquire(api))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    ask(api, "decrement-with-lease", lease_id=lease)
    assert taken(api) == 0


async def test_a_decaying_slot_is_handed_on_when_it_is_due() -> None:
    api = MemoryApi()
    api.define_limits([GlobalLimit("calls", 1, slot_decay_per_second=20.0)])
    ask(api, "increment", names=["calls"], slots=1, mode="rate_limit")
    answer = await asyncio.wait_for(ask(api, "increment", names=["calls"], slots=1, mode="rate_limit"), 1)
    assert [limit["name"] for limit in answer.content] == ["calls"]


def test_slots_decay_one_by_one_and_lose_no_time() -> None:
    slots = Slots(limit=10, decay_per_second=2.0, taken=4)
    counts = []
    for step in range(1, 10):
        slots.settle(step * 0.3)
        counts.append(slots.taken)
    # By hand: one slot each half second, so 0.5, 1.0, 1.5 and 2.0 s end one each.
    assert counts == [4, 3, 3, 2, 1, 1, 0, 0, 0]


def test_slots_know_when_there_will_be_room() -> None:
    slots = Slots(limit=4, decay_per_second=2.0, taken=4)
    assert slots.seconds_until(1, 0.0) == 0.5
    assert slots.seconds_until(3, 0.0) == 1.5
    assert slots.seconds_until(1, 0.4) == pytest.approx(0.1)
    assert Slots(limit=1, taken=1).seconds_until(1, 0.0) == float("inf")
    assert Slots(limit=2, taken=1).seconds_until(1, 0.0) == 0.0


def test_slots_learn_how_long_they_are_held() -> None:
    slots = Slots(limit=1, taken=1)
    slots.give_back(1, 6.0)
    # By hand: 2 + (6 - 2) / (1 * 2)
    assert slots.occupancy_seconds == 4.0
    slots.give_back(5, None)
    assert slots.taken == 0

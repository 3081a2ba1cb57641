"""When a failed attempt is made again, and after how long; and that Prefect's engine follows."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.tasks import exponential_backoff

from latent.config import find_workspace
from latent.errors import DatasetLoadError, FailedRowsError, RegistryError, TaskExecutionError
from latent.prefect import flow, task
from latent.prefect.retries import follow, policy_of
from latent.prefect.retry_policy import (
    Backoff,
    ListedPauses,
    RetryPolicy,
    matchers,
    next_delay,
    why_everything_stops,
)

BACKOFF = Backoff(base_seconds=1.0, max_seconds=60.0)


class HTTPStatusError(Exception):
    """An error that carries a provider's answer, as httpx's does."""

    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        super().__init__(f"HTTP {status}")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = b"" if body is None else json.dumps(body).encode()
        self.response = SimpleNamespace(status_code=status, headers=named, _content=content)


def policy(**changes: Any) -> RetryPolicy:
    given: dict[str, Any] = {"retries": 5, "backoff": BACKOFF, **changes}
    for name in ("retry_on", "no_retry_on"):
        if name in given:
            given[name] = matchers("Task 'ask'", name, given[name])
    return RetryPolicy(**given)


def delay(
    error: BaseException, attempt: int = 1, *, chance: float = 0.0, waited: float = 0.0, **changes: Any
) -> float | None:
    return next_delay(policy(**changes), attempt, error, waited_seconds=waited, random=lambda: chance)


# -- after how long ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0)])
def test_pauses_double_and_full_jitter_takes_any_part_of_them(attempt, longest):
    assert delay(ValueError("x"), attempt) == longest
    assert delay(ValueError("x"), attempt, chance=0.25) == pytest.approx(0.75 * longest)
    assert delay(ValueError("x"), attempt, chance=1.0) == 0.0


@pytest.mark.parametrize(
    ("jitter", "chance", "expected"), [(0.0, 0.7, 2.0), (0.5, 1.0, 1.0), (0.5, 0.5, 1.5), (1.0, 0.5, 1.0)]
)
def test_jitter_is_the_share_of_a_pause_that_is_left_to_chance(jitter, chance, expected):
    assert delay(ValueError("x"), 2, chance=chance, backoff=Backoff(1.0, 60.0, jitter)) == expected


@pytest.mark.parametrize(("attempt", "expected"), [(6, 32.0), (7, 60.0), (5_000, 60.0)])
def test_no_pause_is_longer_than_the_cap(attempt, expected):
    assert delay(ValueError("x"), attempt, retries=10_000) == expected


def test_retries_end_with_their_number():
    assert delay(ValueError("x"), 5) is not None
    assert delay(ValueError("x"), 6) is None
    assert delay(ValueError("x"), 1, retries=0) is None


@pytest.mark.parametrize(("waited", "expected"), [(0.0, 4.0), (6.0, 4.0), (6.1, None)])
def test_a_pause_that_would_end_after_the_cap_on_all_of_them_is_not_begun(waited, expected):
    assert delay(ValueError("x"), 3, waited=waited, max_total_seconds=10.0) == expected


@pytest.mark.parametrize(
    ("attempt", "expected"), [(1, 2.0), (2, 5.0), (3, 10.0), (4, 30.0), (5, 60.0), (6, 60.0), (9, 60.0)]
)
def test_listed_pauses_are_exact_and_the_last_one_is_repeated(attempt, expected):
    listed = ListedPauses((2.0, 5.0, 10.0, 30.0, 60.0))
    assert delay(ValueError("x"), attempt, chance=0.5, retries=9, listed=listed) == expected


@pytest.mark.parametrize("factor", [0.3, 1.0])
def test_prefects_jitter_factor_bounds_listed_pauses_as_prefect_does(factor):
    from prefect.utilities.math import lower_clamp_multiple

    listed = ListedPauses((10.0,), factor)
    lower, upper = (delay(ValueError("x"), chance=chance, listed=listed) for chance in (0.0, 1.0))
    assert upper == pytest.approx(10.0 * (1 + factor))
    assert lower == pytest.approx(10.0 * lower_clamp_multiple(1 + factor))


@pytest.mark.parametrize(
    ("error", "attempt", "chance", "expected"),
    [
        (HTTPStatusError(429, retry_after="20"), 1, 0.0, 20.0),
        (HTTPStatusError(503, retry_after="20"), 1, 0.0, 20.0),
        (HTTPStatusError(429, retry_after="20"), 1, 1.0, 22.0),  # never shorter, and not all at once
        (HTTPStatusError(429, retry_after="90"), 1, 0.0, 90.0),  # longer than any pause of our own
        (HTTPStatusError(429, retry_after="1"), 4, 0.0, 8.0),  # our own pause is longer
        (HTTPStatusError(429, retry_after="0"), 2, 0.0, 2.0),
        (HTTPStatusError(429, retry_after_ms="250"), 1, 1.0, 0.275),
        (HTTPStatusError(429, retry_after="soon"), 1, 0.0, 1.0),
    ],
)
def test_a_providers_wait_is_kept_in_full(error, attempt, chance, expected):
    assert delay(error, attempt, chance=chance) == pytest.approx(expected)


def test_a_providers_wait_is_exact_without_jitter():
    error = HTTPStatusError(429, retry_after="20")
    assert delay(error, chance=1.0, backoff=Backoff(1.0, 60.0, jitter=0.0)) == 20.0


def test_a_providers_wait_beyond_the_cap_on_all_pauses_ends_the_call_at_once():
    error = HTTPStatusError(429, retry_after="3600")
    assert delay(error, max_total_seconds=600.0) is None
    assert delay(error, max_total_seconds=3600.0) == 3600.0


def test_without_pauses_only_a_providers_answer_is_given_time():
    """`retries=2` alone means no pauses, as in Prefect."""
    none = ListedPauses(())
    assert delay(ValueError("x"), 3, listed=none) == 0.0
    assert delay(ConnectionError("x"), 3, listed=none) == 0.0
    assert delay(HTTPStatusError(429), 3, listed=none) == 4.0
    assert delay(HTTPStatusError(429), 3, listed=ListedPauses((0.0,))) == 0.0


# -- whether ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [(HTTPStatusError(status), True) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)]
    + [(HTTPStatusError(status), False) for status in (400, 401, 402, 403, 404, 405, 413, 422)]
    + [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (ValueError("bad answer"), True),
        (HTTPStatusError(200), True),  # an answer, but not one that could be read
        (RegistryError("two of one name"), False),
        (DatasetLoadError("data", "json.JSONDataset", None, "gone"), False),
    ],
)
def test_what_can_succeed_later_is_retried(error, is_retried):
    assert (delay(error) is not None) == is_retried
    for _ in range(2):  # a nested task's failure counts as what failed innermost
        error = TaskExecutionError.of("inner", error, {})
        assert (delay(error) is not None) == is_retried


def test_the_answer_behind_a_users_own_error_decides():
    error = ValueError("The model refused.")
    error.__cause__ = HTTPStatusError(400)
    assert delay(error) is None
    error.__cause__ = HTTPStatusError(429, retry_after="7")
    assert delay(error) == 7.0


BROKE = HTTPStatusError(429, {"error": {"code": "insufficient_quota", "message": "No money."}})


@pytest.mark.parametrize(
    "changes", [{}, {"retry_on": Exception}, {"condition": lambda error: True}, {"retry_on": 429}]
)
def test_an_exhausted_quota_is_never_retried(changes):
    assert delay(BROKE, **changes) is None


def test_an_exhausted_quota_stops_everything_and_says_why():
    nested = TaskExecutionError.of("ask", BROKE, {})
    said = why_everything_stops(nested)
    assert said == why_everything_stops(BROKE)
    assert not any(map(why_everything_stops, (HTTPStatusError(429), HTTPStatusError(401), ValueError())))
    assert said is not None
    assert "quota is used up (HTTP 429: No money.)" in said and "is kept" in said


class FlakyError(ValueError):
    pass


@pytest.mark.parametrize(
    ("changes", "error", "is_retried"),
    [
        ({"retry_on": TimeoutError}, TimeoutError(), True),
        ({"retry_on": TimeoutError}, ValueError(), False),
        ({"retry_on": ValueError}, FlakyError(), True),
        ({"retry_on": (TimeoutError, FlakyError)}, FlakyError(), True),
        ({"retry_on": [429]}, HTTPStatusError(429), True),
        ({"retry_on": [429]}, HTTPStatusError(500), False),
        ({"retry_on": 404}, HTTPStatusError(404), True),  # what one names is retried, whatever it is
        ({"retry_on": DatasetLoadError}, DatasetLoadError("d", "t", None, "r"), True),
        ({"retry_on": lambda error: "busy" in str(error)}, ValueError("busy"), True),
        ({"retry_on": lambda error: "busy" in str(error)}, ValueError("no"), False),
        ({"retry_on": ()}, ValueError(), False),
        ({"no_retry_on": FlakyError}, FlakyError(), False),
        ({"no_retry_on": FlakyError}, ValueError(), True),
        ({"no_retry_on": FlakyError}, HTTPStatusError(404), False),
        ({"no_retry_on": {429, 500}}, HTTPStatusError(429), False),
        ({"retry_on": ValueError, "no_retry_on": FlakyError}, FlakyError(), False),
        ({"retry_on": FlakyError}, ExceptionGroup("tasks", [KeyError(), FlakyError()]), True),
        # Prefect's condition is asked first. Where it agrees, it replaces our judgement, not the user's.
        ({"condition": lambda error: False}, ValueError(), False),
        ({"condition": lambda error: False, "retry_on": ValueError}, ValueError(), False),
        ({"condition": lambda error: True}, HTTPStatusError(404), True),
        ({"condition": lambda error: True, "no_retry_on": 404}, HTTPStatusError(404), False),
        ({"condition": lambda error: True, "retry_on": 404}, ValueError(), False),
    ],
)
def test_users_say_what_is_retried(changes, error, is_retried):
    assert (delay(error, **changes) is not None) == is_retried
    assert (delay(TaskExecutionError.of("inner", error, {}), **changes) is not None) == is_retried


@pytest.mark.parametrize("option", ["retry_on", "no_retry_on"])
@pytest.mark.parametrize("given", ["TimeoutError", int, 42, True, [TimeoutError, "x"], 3.5, {"a": 1}])
def test_what_cannot_be_an_error_is_refused_when_the_task_is_made(option, given):
    with pytest.raises(RegistryError, match=f"Task 'ask': `{option}` names errors by exception classes"):

        @task("ask", **{option: given})
        def ask():
            pass


# -- a task's policy -----------------------------------------------------------------------------------------


SETTINGS = """
[tasks]
retries = 4
retry_delay_seconds = 0.5
retry_max_delay_seconds = 8
retry_max_total_seconds = 100
retry_jitter = 0.2
"""


def made(make_workspace, **options):
    make_workspace({"config/latent.toml": SETTINGS})

    @task(**options)
    def ask():
        pass

    return policy_of(ask, find_workspace().settings)


OURS = Backoff(0.5, 8.0, 0.2)


@pytest.mark.parametrize(
    ("options", "retries", "listed"),
    [
        ({}, 4, None),
        ({"retry": False}, 0, None),
        ({"retries": 2}, 2, ListedPauses(())),
        ({"retry": False, "retries": 2}, 2, ListedPauses(())),
        ({"retries": 2, "retry_delay_seconds": 3}, 2, ListedPauses((3,))),
        ({"retry_delay_seconds": [2, 5, 10, 30, 60]}, 4, ListedPauses((2, 5, 10, 30, 60))),
        (
            {"retries": 3, "retry_delay_seconds": [1, 2], "retry_jitter_factor": 0.5},
            3,
            ListedPauses((1, 2), 0.5),
        ),
        ({"retry_delay_seconds": exponential_backoff(2)}, 4, ListedPauses((2, 4, 8, 16))),
        ({"retries": 2, "retry_delay_seconds": exponential_backoff(2)}, 2, ListedPauses((2, 4))),
    ],
)
def test_a_task_takes_prefects_options_first_and_the_settings_else(make_workspace, options, retries, listed):
    policy = made(make_workspace, **options)
    assert (policy.retries, policy.listed, policy.backoff) == (retries, listed, OURS)


@pytest.mark.parametrize(
    ("delays", "total"),
    [
        (None, 100.0),
        ([10, 20], 100.0),
        ([60, 600], 660.0 + 2 * 600.0),  # four retries: the last one three times
        (300, 1200.0),
    ],
)
def test_the_cap_on_all_pauses_leaves_a_users_own_list_alone(make_workspace, delays, total):
    options = {} if delays is None else {"retry_delay_seconds": delays}
    assert made(make_workspace, **options).max_total_seconds == total


def test_options_survive_with_options_and_can_be_taken_back(make_workspace):
    make_workspace({"config/latent.toml": SETTINGS})

    @task(retry_on=TimeoutError)
    def ask():
        pass

    settings = find_workspace().settings
    changed = ask.with_options(no_retry_on=404)
    assert policy_of(changed, settings).retry_on == (TimeoutError,)
    assert policy_of(changed, settings).no_retry_on == (404,)
    assert policy_of(changed.with_options(retry_on=None), settings).retry_on is None
    assert policy_of(ask.with_options(retries=1), settings).retries == 1


@pytest.mark.parametrize("name", ["plain", "async", "broken"])
def test_prefects_condition_can_be_asked_about_an_error_alone(make_workspace, caplog, name):
    """As rows inside a batch do, which have no task run of their own."""
    seen = []

    def plain(task, task_run, state):
        seen.append(state.data)
        return True

    async def asynchronous(task, task_run, state):
        return plain(task, task_run, state)

    def broken(task, task_run, state):
        raise ZeroDivisionError("in the condition")

    condition = {"plain": plain, "async": asynchronous, "broken": broken}[name]
    policy = made(make_workspace, retry_condition_fn=condition)
    error = HTTPStatusError(404)
    again = next_delay(policy, 1, error, waited_seconds=0.0, random=lambda: 0.0)
    assert (again is None, seen) == ((True, []) if name == "broken" else (False, [error]))


def test_the_decision_can_be_sent_to_a_worker(make_workspace):
    import cloudpickle

    make_workspace({"config/latent.toml": SETTINGS})

    @task(retry_on=(429, lambda error: "busy" in str(error)))
    def ask():
        pass

    engine = ask.with_options()
    follow(engine, policy_of(ask, find_workspace().settings))
    condition = pickle.loads(cloudpickle.dumps(engine.retry_condition_fn))
    there = SimpleNamespace(retries=4, limit=None, name="ask", retry_delay_seconds=[])
    failed = SimpleNamespace(data=HTTPStatusError(429, retry_after="7"), message="")
    assert condition(there, None, failed)
    assert 7.0 <= there.retry_delay_seconds[0] <= 7.7


# -- in Prefect's engine ------------------------------------------------------------------------------------


class Provider(ThreadingHTTPServer):
    """Refuses as often as it was told, then answers; knows when it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusals: list[tuple[int, dict[str, str], Any]] = []
        self.asked_at: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked_at.append(time.monotonic())
        refusals = self.server.refusals
        status, headers, body = refusals.pop(0) if refusals else (200, {}, {"data": []})
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815  # the standard library's name

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(url: str) -> int:
    import httpx

    return httpx.get(url).raise_for_status().status_code


async def fetch_async(url: str) -> int:
    import httpx

    async with httpx.AsyncClient() as client:
        return (await client.get(url)).raise_for_status().status_code


def pauses(provider: Provider) -> list[float]:
    asked = provider.asked_at
    return [later - earlier for earlier, later in pairwise(asked)]


@pytest.mark.parametrize("way", ["direct", "submit", "map", "direct async", "submit async", "outside"])
def test_a_task_run_waits_as_long_as_its_provider_asks(make, provider, way):
    """The workspace's own pauses are 0 here. No upper bounds: a busy machine takes its time."""
    make({})
    provider.refusals = [
        (429, {"Retry-After": "0.3"}, {}),
        (503, {}, {}),
        (529, {"retry-after-ms": "150"}, {}),
    ]
    ask = task("ask", cache=False)(fetch_async if "async" in way else fetch)

    @flow
    def main():
        if way == "map":
            return ask.map([provider.url]).result()[0]
        return ask.submit(provider.url).result() if "submit" in way else ask(provider.url)

    @flow
    async def main_async():
        return await ask(provider.url)

    if way == "direct async":
        import asyncio

        assert asyncio.run(main_async()) == 200
    else:
        assert (ask(provider.url) if way == "outside" else main()) == 200
    first, _, third = pauses(provider)
    assert first >= 0.3 and third >= 0.15


@pytest.mark.parametrize("options", [{}, {"retries": 3}, {"retry_delay_seconds": [0, 0, 0]}])
@pytest.mark.parametrize("refusal", [(404, {}, {}), (429, {}, {"error": {"code": "insufficient_quota"}})])
def test_what_a_provider_refuses_is_asked_once(make, provider, options, refusal):
    make({})
    provider.refusals = [refusal] * 5
    ask = task("ask", cache=False, **options)(fetch)

    @flow
    def main():
        ask(provider.url)

    with pytest.raises(TaskExecutionError):
        main()
    assert len(provider.asked_at) == 1


def test_rows_that_are_task_runs_stop_for_an_exhausted_quota_too(make):
    make({})
    broke, calls = threading.Event(), []

    @task("ask")
    def ask(row):
        calls.append(row)
        if row == 0:
            broke.set()
            raise BROKE
        broke.wait(10)
        time.sleep(0.2)  # row 0 is accounted for by now
        raise ConnectionError("tried again, were there any use")

    @flow
    def main():
        ask.map(range(4)).result()

    with pytest.raises(FailedRowsError, match="quota is used up"):
        main()
    assert len(calls) == len(set(calls))  # none was tried again


def test_retry_on_and_prefects_condition_hold_in_the_engine(make, provider):
    make({})
    provider.refusals = [(404, {}, {}), (404, {}, {}), (500, {}, {})]
    seen = []

    async def condition(task, task_run, state):
        seen.append((task.name, task_run.run_count))
        return True

    ask = task("ask", cache=False, retry_on=404, retry_condition_fn=condition)(fetch)

    @flow
    def main():
        ask(provider.url)

    with pytest.raises(TaskExecutionError, match="500"):
        main()
    assert (len(provider.asked_at), seen) == (3, [("ask", 1), ("ask", 2), ("ask", 3)])


def test_listed_delays_are_kept_exactly_by_the_engine(make, provider):
    make({})
    provider.refusals = [(500, {}, {})] * 2
    ask = task("ask", cache=False, retries=2, retry_delay_seconds=[0.1, 0.3])(fetch)

    @flow
    def main():
        return ask(provider.url)

    assert main() == 200
    first, second = pauses(provider)
    assert first >= 0.1 and second >= 0.3  # no shorter; a busy machine makes them longer


def test_a_wait_beyond_all_patience_fails_the_call_at_once(make, provider):
    make({"config/latent.toml": "[tasks]\nretry_max_total_seconds = 5\n[tracking]\nenabled = false\n"})
    provider.refusals = [(429, {"Retry-After": "6"}, {})]
    ask = task("ask", cache=False)(fetch)

    @flow
    def main():
        ask(provider.url)

    with pytest.raises(TaskExecutionError, match="429"):
        main()
    assert len(provider.asked_at) == 1


def test_a_failed_state_that_a_task_returns_is_retried(make):
    from prefect.states import Failed

    make({})
    calls = []

    @task("decide", cache=False)
    def decide():
        calls.append(1)
        return Failed(message="not yet") if len(calls) < 3 else "done"

    @flow
    def main():
        return decide()

    assert (main(), len(calls)) == ("done", 3)


def test_a_call_that_fails_for_ever_ends_with_the_cap_on_all_its_pauses():
    """1 + 2 + 4 + 8 + 16 + 32 = 63 seconds, then 60 each: eight of those end within 600 seconds."""
    given = policy(retries=1_000, max_total_seconds=600.0)
    waited, failed = 0.0, 1
    while (
        pause := next_delay(given, failed, ValueError(), waited_seconds=waited, random=lambda: 0.0)
    ) is not None:
        waited, failed = waited + pause, failed + 1
    assert (waited, failed) == (63.0 + 8 * 60.0, 15)

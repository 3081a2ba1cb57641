"""
Flows that both APIs have to treat alike.

Each scenario runs against whatever API Prefect's settings name and returns what it saw. It makes
its flows again, with a `mark` in every name, since a server remembers and a process does not.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from itertools import product
from typing import Any
from uuid import UUID

import prefect.states as states
from prefect import allow_failure, flow, get_run_logger, tags, task, unmapped
from prefect.artifacts import (
    Artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import ArtifactCollectionFilter, FlowRunFilter
from prefect.concurrency.asyncio import concurrency as async_concurrency
from prefect.concurrency.sync import concurrency, rate_limit
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run as runtime
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.transactions import transaction
from prefect.variables import Variable

from tests.prefect.api.observe import ending, outcome, story

Scenario = Callable[[str], Any]
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


def current_run() -> UUID:
    return UUID(str(runtime.id))


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def fail(message: str = "no") -> None:
    raise ValueError(message)


@scenario
def success_with_parameters_and_tags(mark: str) -> Any:
    seen: list[UUID] = []

    @flow(name=f"success-{mark}")
    def adds(a: int, b: int = 2) -> int:
        seen.append(current_run())
        return add(a, b)

    with tags("one", "two"):
        result = adds(1)
    return result, story(seen[0])


@scenario
def failure_raises_the_original_error(mark: str) -> Any:
    seen: list[UUID] = []

    @flow(name=f"failure-{mark}")
    def fails() -> None:
        seen.append(current_run())
        fail()

    return outcome(fails), ending(fails(return_state=True)), story(seen[0])


@scenario
def wrong_parameters_fail_before_the_flow_starts(mark: str) -> Any:
    @flow(name=f"wrong-{mark}")
    def counts(n: int) -> int:
        return n

    state = counts("many", return_state=True)
    return state.type, state.name, story(state.state_details.flow_run_id)


@scenario
def flow_is_retried_until_it_succeeds(mark: str) -> Any:
    attempts: list[UUID] = []

    @flow(name=f"retried-{mark}", retries=2)
    def unsteady() -> int:
        attempts.append(current_run())
        if len(attempts) < 3:
            raise ValueError(f"attempt {len(attempts)}")
        return runtime.run_count

    return unsteady(), len(attempts), story(attempts[0])


@scenario
def flow_waits_before_its_retry(mark: str) -> Any:
    attempts: list[float] = []
    seen: list[UUID] = []

    @flow(name=f"delayed-{mark}", retries=1, retry_delay_seconds=1)
    def unsteady() -> None:
        attempts.append(time.monotonic())
        seen.append(current_run())
        raise ValueError("always")

    return outcome(unsteady), len(attempts), attempts[-1] - attempts[0] >= 0.9, story(seen[0])


@scenario
def task_is_retried_and_tells_its_hooks(mark: str) -> Any:
    heard: list[tuple[str, str]] = []

    def hook(task_: Any, run: Any, state: Any) -> None:
        heard.append((state.type, state.name))

    calls: list[int] = []

    @task(retries=2, on_running=[hook], on_completion=[hook], on_failure=[hook])
    def unsteady(limit: int) -> int:
        calls.append(1)
        if len(calls) < limit:
            raise ValueError("again")
        return len(calls)

    @flow(name=f"task-retry-{mark}")
    def run(limit: int) -> int:
        return unsteady(limit)

    result = run(3)
    calls.clear()
    return result, outcome(run, 9), heard


@scenario
def retry_condition_sees_the_original_error(mark: str) -> Any:
    asked: list[str] = []

    def only_values(task_: Any, run: Any, state: Any) -> bool:
        try:
            state.result()
        except ValueError as error:
            asked.append(str(error))
            return True
        except Exception as error:
            asked.append(type(error).__name__)
        return False

    @task(retries=1, retry_condition_fn=only_values)
    def raises(error: Exception) -> None:
        raise error

    @flow(name=f"condition-{mark}")
    def run() -> list[Any]:
        return [
            raises.with_options(name=name)(error, return_state=True).name
            for name, error in (("value", ValueError("v")), ("key", KeyError("k")))
        ]

    return outcome(run), asked


@scenario
def subflow_is_tied_to_its_parent(mark: str) -> Any:
    seen: list[UUID] = []

    @flow(name=f"child-{mark}")
    def child(x: int) -> int:
        seen.append(current_run())
        return x * 2

    @flow(name=f"parent-{mark}")
    def parent() -> tuple[int, bool, bool]:
        seen.append(current_run())
        result = child(4)
        with get_client(sync_client=True) as client:
            child_run = client.read_flow_run(seen[-1])
            stand_in = client.read_task_run(child_run.parent_task_run_id)
        assert stand_in.state is not None
        same_child = stand_in.state.state_details.child_flow_run_id == seen[-1]
        return result, stand_in.flow_run_id == seen[0], same_child

    return parent(), story(seen[0]), story(seen[1])


@scenario
def failed_subflow_can_be_caught(mark: str) -> Any:
    seen: list[UUID] = []

    @flow(name=f"bad-child-{mark}")
    def child() -> None:
        seen.append(current_run())
        raise ValueError("child")

    @flow(name=f"calm-parent-{mark}")
    def parent() -> Any:
        state = child(return_state=True)
        return outcome(child), state.name

    return parent(), [story(run) for run in seen]


@scenario
def subflow_of_a_retried_parent_runs_again(mark: str) -> Any:
    children: list[UUID] = []
    parents: list[UUID] = []

    @flow(name=f"again-child-{mark}")
    def child() -> int:
        children.append(current_run())
        if len(children) == 1:
            raise ValueError("first")
        return 7

    @flow(name=f"again-parent-{mark}", retries=1)
    def parent() -> int:
        parents.append(current_run())
        return child()

    return parent(), len(set(children)), len(set(parents)), story(parents[0])


@scenario
def async_subflows_run_side_by_side(mark: str) -> Any:
    seen: list[UUID] = []

    @task
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return x * 2

    @flow(name=f"async-leaf-{mark}")
    async def leaf(x: int) -> int:
        return await double(x)

    @flow(name=f"async-middle-{mark}")
    async def middle(x: int) -> list[int]:
        return await asyncio.gather(leaf(x), leaf(x + 1))

    @flow(name=f"async-root-{mark}", retries=1)
    async def root() -> Any:
        seen.append(current_run())
        if len(seen) == 1:
            raise ValueError("async retry")
        return await asyncio.gather(middle(1), leaf(10))

    return asyncio.run(root()), story(seen[0])


@scenario
def async_flow_reads_artifacts_variables_and_limits(mark: str) -> Any:
    _limit(f"async-{mark}", 1)

    @flow(name=f"async-asks-{mark}")
    async def asks() -> Any:
        await Variable.aset(f"async_{_word(mark)}", {"a": [1]})
        await create_markdown_artifact("# hi", key=f"async-{mark}")
        async with async_concurrency(f"async-{mark}", strict=True):
            taken = _taken(f"async-{mark}")
        found = await Artifact.aget(f"async-{mark}")
        return await Variable.aget(f"async_{_word(mark)}"), found and found.data, taken

    return asyncio.run(asks()), _taken(f"async-{mark}")


@scenario
def submit_map_and_wait_for(mark: str) -> Any:
    order: list[str] = []

    @task
    def note(word: str) -> str:
        order.append(word)
        return word

    @flow(name=f"map-{mark}", task_runner=ThreadPoolTaskRunner(max_workers=4))
    def run() -> Any:
        first = note.submit("first")
        second = note.submit("second", wait_for=[first])
        sums = add.map(range(5), unmapped(10))
        chained = add.map(sums, 1)
        return first.result(), second.result(), sums.result(), chained.result()

    return run(), order


@scenario
def failing_upstream_leaves_downstream_not_ready(mark: str) -> Any:
    @flow(name=f"upstream-{mark}")
    def run() -> Any:
        bad = fail.submit("upstream")
        after = add.submit(bad, 1)
        waits = add.submit(1, 1, wait_for=[bad])
        anyway = add.submit(1, 1, wait_for=[allow_failure(bad)])
        for future in (bad, after, waits, anyway):
            future.wait()
        found = [(future.state.type, future.state.name) for future in (bad, after, waits, anyway)]
        return states.Completed(data=found)

    seen = ending(run(return_state=True))
    return seen[0], seen[3]


@scenario
def timeouts_of_flow_and_task(mark: str) -> Any:
    seen: list[UUID] = []

    @flow(name=f"slow-{mark}", timeout_seconds=0.2)
    def slow() -> None:
        seen.append(current_run())
        for _ in range(200):
            time.sleep(0.02)

    @flow(name=f"slow-async-{mark}", timeout_seconds=0.2)
    async def slow_async() -> None:
        seen.append(current_run())
        await asyncio.sleep(9)

    @task(timeout_seconds=0.2)
    def slow_task() -> None:
        for _ in range(200):
            time.sleep(0.02)

    @flow(name=f"slow-task-{mark}")
    def run() -> Any:
        return ending(slow_task(return_state=True))

    return (
        outcome(slow),
        outcome(lambda: asyncio.run(slow_async())),
        outcome(run),
        [story(run) for run in seen],
    )


@scenario
def returned_states_decide_the_end(mark: str) -> Any:
    seen: list[UUID] = []
    wanted = [
        states.Completed(message="fine"),
        states.Failed(message="bad"),
        states.Cancelled(message="off"),
        states.Completed(name="Odd"),
    ]

    @flow(name=f"returns-{mark}")
    def run(number: int) -> Any:
        seen.append(current_run())
        return wanted[number]

    ends = [run(number, return_state=True) for number in range(len(wanted))]
    return [(end.type, end.name, end.message) for end in ends], [story(run_id) for run_id in seen]


@scenario
def run_that_is_cancelling_can_only_be_cancelled(mark: str) -> Any:
    seen: list[UUID] = []
    hooks: list[str] = []

    @flow(name=f"cancelling-{mark}", on_cancellation=[lambda f, r, s: hooks.append(s.name)])
    def run() -> int:
        seen.append(current_run())
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(seen[0], states.Cancelling())
        return 1

    state = run(return_state=True)
    with get_client(sync_client=True) as client:
        after = client.set_flow_run_state(seen[0], states.Cancelled())
    return state.type, after.status, hooks, story(seen[0])


@scenario
def interruption_is_a_crash(mark: str) -> Any:
    seen: list[UUID] = []
    hooks: list[str] = []

    @flow(name=f"crash-{mark}", retries=3, on_crashed=[lambda f, r, s: hooks.append(s.name)])
    def run() -> None:
        seen.append(current_run())
        raise KeyboardInterrupt

    try:
        run()
    except KeyboardInterrupt:
        hooks.append("raised")
    return hooks, story(seen[0])


@scenario
def flow_hooks_are_called_in_order(mark: str) -> Any:
    heard: list[tuple[str, str]] = []

    def hook(name: str) -> Callable[[Any, Any, Any], None]:
        def listen(flow_: Any, run: Any, state: Any) -> None:
            heard.append((name, state.name))

        return listen

    @flow(
        name=f"hooks-{mark}",
        retries=1,
        on_running=[hook("running")],
        on_completion=[hook("completion")],
        on_failure=[hook("failure")],
    )
    def run(bad: bool) -> None:
        if bad:
            raise ValueError("hooked")

    return outcome(run, False), outcome(run, True), heard


@scenario
def names_are_made_from_parameters(mark: str) -> Any:
    @task(task_run_name="task-{x}")
    def named(x: int) -> str:
        from prefect.runtime import task_run

        return str(task_run.name)

    @flow(name=f"named-{mark}", flow_run_name="run-{x}", version="7", description="d")
    def run(x: int) -> tuple[str, str]:
        return str(runtime.name), named(x)

    state = run(5, return_state=True)
    with get_client(sync_client=True) as client:
        kept = client.read_flow_run(state.state_details.flow_run_id)
    return state.result(), kept.name, kept.flow_version


@scenario
def renamed_and_labelled_runs_are_found_again(mark: str) -> Any:
    @flow(name=f"found-{mark}")
    def run() -> int:
        return 1

    run_id = run(return_state=True).state_details.flow_run_id
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(run_id, f"renamed-{mark}")
        client.update_flow_run_labels(run_id, {"team": "evals"})
        client.update_flow_run(run_id, tags=["late"], flow_version="9")
        kept = client.read_flow_run(run_id)
        by_name = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"name": {"like_": mark}})
        )
        by_flow = client.read_flow_by_name(f"found-{mark}")
        by_state = {"id": {"any_": [run_id]}, "state": {"name": {"any_": ["Completed"]}}}
        counted = client.count_flow_runs(flow_run_filter=FlowRunFilter.model_validate(by_state))
        client.delete_flow_run(run_id)
        gone = outcome(client.read_flow_run, run_id)[0]
    return (
        kept.name == f"renamed-{mark}",
        kept.labels.get("team"),
        kept.tags,
        kept.flow_version,
        len(by_name),
        by_flow.id == kept.flow_id,
        counted,
        gone,
    )


@scenario
def prints_and_loggers_work(mark: str) -> Any:
    @task(log_prints=True)
    def talks() -> None:
        print("from the task")
        get_run_logger().warning("logged")

    @flow(name=f"prints-{mark}", log_prints=True)
    def run() -> str:
        print("from the flow")
        talks()
        return "said"

    return run()


@scenario
def artifacts_are_kept_and_found(mark: str) -> Any:
    key = f"report-{mark}"
    made: dict[str, Any] = {}

    @task
    def publish() -> UUID:
        return create_table_artifact({"a": [1, 2]}, key=key, description="a table")

    @flow(name=f"artifacts-{mark}")
    def run() -> None:
        made["markdown"] = create_markdown_artifact("# one", key=key)
        made["table"] = publish()
        made["link"] = create_link_artifact("https://example.org", link_text="there")
        made["progress"] = create_progress_artifact(10.0)
        update_progress_artifact(made["progress"], 60.0)
        made["run"] = current_run()

    run()
    latest = Artifact.get(key)
    with get_client(sync_client=True) as client:
        mine = client.read_artifacts(
            flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [made["run"]]}}),
            sort="ID_DESC",
        )
        keyed = ArtifactCollectionFilter.model_validate({"key": {"any_": [key]}})
        collection = client.read_latest_artifacts(artifact_filter=keyed)
        client.delete_artifact(made["link"])
        missing = outcome(client.delete_artifact, made["link"])[0]
    assert latest is not None
    return (
        (latest.type, latest.description, latest.data, latest.task_run_id is not None),
        sorted((artifact.type or "", str(artifact.data).removesuffix(".0")) for artifact in mine),
        [(item.key == key, item.type, item.latest_id == made["table"]) for item in collection],
        missing,
        Artifact.get(f"nothing-{mark}"),
    )


@scenario
def variables_are_set_read_and_removed(mark: str) -> Any:
    name = f"v_{_word(mark)}"
    seen = [Variable.get(name), Variable.get(name, default=5)]
    Variable.set(name, {"deep": [1, None, "x"]}, tags=["t"])
    seen += [Variable.get(name), outcome(Variable.set, name, 2)[0]]
    Variable.set(name, 3, overwrite=True)
    seen += [Variable.get(name), Variable.unset(name), Variable.unset(name), Variable.get(name)]
    return seen


@scenario
def limits_that_do_not_exist(mark: str) -> Any:
    @flow(name=f"no-limit-{mark}")
    def run() -> Any:
        with concurrency(f"none-{mark}", occupy=3):
            inside = "ran"

        def strictly() -> None:
            with concurrency(f"strictly-none-{mark}", strict=True):
                raise AssertionError("a limit that does not exist was acquired")

        return inside, outcome(strictly)[0], outcome(rate_limit, f"no-rate-{mark}")

    return run()


@scenario
def limit_holds_across_threads(mark: str) -> Any:
    name = f"two-{mark}"
    _limit(name, 2)
    inside: list[int] = [0, 0]
    lock = threading.Lock()

    @task
    def work(number: int) -> int:
        with concurrency(name, strict=True):
            with lock:
                inside[0] += 1
                inside[1] = max(inside)
            time.sleep(0.05)
            with lock:
                inside[0] -= 1
        return number

    @flow(name=f"limit-{mark}", task_runner=ThreadPoolTaskRunner(max_workers=4))
    def run() -> list[int]:
        return work.map(range(3)).result()

    return run(), inside[1] <= 2, _taken(name)


@scenario
def limits_refuse_what_cannot_be(mark: str) -> Any:
    name = f"small-{mark}"
    _limit(name, 1)

    def acquire(**options: Any) -> str:
        with concurrency(name, **options):
            return "acquired"

    def acquire_twice(**options: Any) -> str:
        with concurrency(name), concurrency([name], **options):
            return "acquired twice"

    too_many = outcome(acquire, occupy=2)
    no_decay = outcome(rate_limit, name)
    late = outcome(acquire_twice, timeout_seconds=0.3)[0]
    tired = outcome(acquire_twice, max_retries=0)[0]
    short = outcome(acquire, lease_duration=1)[0]
    return too_many[0], no_decay[0], late, tired, short, outcome(acquire), _taken(name)


@scenario
def rate_limit_lets_slots_decay(mark: str) -> Any:
    name = f"rate-{mark}"
    _limit(name, 1, slot_decay_per_second=4.0)
    rate_limit(name)
    before = time.monotonic()
    rate_limit(name)
    return time.monotonic() - before > 0.1


@scenario
def limits_can_be_changed_and_removed(mark: str) -> Any:
    name = f"changed-{mark}"
    _limit(name, 1)
    with get_client(sync_client=True) as client:
        twice = outcome(_limit, name, 1)[0]
        client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=5, active=False))
        changed = client.read_global_concurrency_limit_by_name(name)
        listed = [limit.name for limit in client.read_global_concurrency_limits() if limit.name == name]
        client.delete_global_concurrency_limit_by_name(name)
        gone = outcome(client.read_global_concurrency_limit_by_name, name)[0]
    return twice, changed.limit, changed.active, changed.active_slots, len(listed), gone


@scenario
def leases_are_renewed_and_revoked(mark: str) -> Any:
    name = f"lease-{mark}"
    _limit(name, 3)
    with get_client(sync_client=True) as client:
        lease = client.increment_concurrency_slots_with_lease(
            names=[name, f"other-{mark}"], slots=2, mode="concurrency", lease_duration=60
        ).json()
        lease_id = UUID(lease["lease_id"])
        names = [limit["name"] == name for limit in lease["limits"]]
        client.renew_concurrency_lease(lease_id, lease_duration=60)
        taken = _taken(name)
        client.release_concurrency_slots_with_lease(lease_id)
        client.release_concurrency_slots_with_lease(lease_id)
        lost = outcome(client.renew_concurrency_lease, lease_id, lease_duration=60)[0]
        client.increment_concurrency_slots(names=[name], slots=3, mode="concurrency")
        full = _taken(name)
        client.release_concurrency_slots(names=[name], slots=1, occupancy_seconds=0.5)
    return names, taken, lost, full, _taken(name)


@scenario
def tagged_tasks_share_a_limit(mark: str) -> Any:
    _limit(f"tag:busy-{mark}", 1)
    inside: list[int] = [0, 0]

    @task(tags=[f"busy-{mark}"])
    def work(number: int) -> int:
        inside[0] += 1
        inside[1] = max(inside)
        time.sleep(0.05)
        inside[0] -= 1
        return number

    @flow(name=f"tagged-{mark}", task_runner=ThreadPoolTaskRunner(max_workers=2))
    def run() -> list[int]:
        return work.map(range(2)).result()

    return run(), inside[1], _taken(f"tag:busy-{mark}")


@scenario
def persisted_results_survive(mark: str) -> Any:
    calls: list[int] = []

    @task(persist_result=True, cache_key_fn=lambda context, arguments: f"key-{mark}-{arguments['x']}")
    def costly(x: int) -> int:
        calls.append(x)
        return x * 2

    @flow(name=f"persisted-{mark}", persist_result=True)
    def run() -> tuple[int, str]:
        return costly(4), costly(4, return_state=True).name

    state = run(return_state=True)
    run_id = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        kept = client.read_flow_run(run_id).state
        again = client.set_flow_run_state(run_id, states.Running())
        lost = client.set_flow_run_state(run_id, states.Completed(), force=True)
    assert kept is not None
    return calls, state.result(), kept.result(), again.status, lost.status, again.details, lost.details


@scenario
def failed_transaction_rolls_back(mark: str) -> Any:
    undone: list[str] = []

    @task
    def write() -> str:
        return "written"

    @write.on_rollback
    def undo(txn: Any) -> None:
        undone.append("write")

    @flow(name=f"transaction-{mark}")
    def run() -> None:
        with transaction():
            write()
            raise ValueError("undo it")

    return outcome(run), undone


@scenario
def scheduled_run_waits_for_its_time(mark: str) -> Any:
    from datetime import UTC, datetime, timedelta

    with get_client(sync_client=True) as client:

        @flow(name=f"scheduled-{mark}")
        def nothing() -> None: ...

        soon = states.Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
        run = client.create_flow_run(nothing, state=soon)
        early = client.set_flow_run_state(run.id, states.Running())
        pending = client.set_flow_run_state(run.id, states.Pending())
        still_early = client.set_flow_run_state(run.id, states.Running())
        kept = client.read_flow_run(run.id)
    waits = [3590 <= found.details.delay_seconds <= 3600 for found in (early, still_early)]
    return early.status, pending.status, waits, kept.state_name, kept.next_scheduled_start_time is None


@scenario
def lost_answers_can_be_asked_for_again(mark: str) -> Any:
    """A client that repeats a transition gets the state that it has already made."""

    @flow(name=f"repeated-{mark}")
    def nothing() -> None: ...

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(nothing, name=f"once-{mark}")
        proposed = states.to_state_create(states.Running()).model_dump(mode="json")
        proposed["state_details"]["transition_id"] = str(UUID(int=7))
        answers = [
            client.request(
                "POST", "/flow_runs/{id}/set_state", path_params={"id": run.id}, json={"state": proposed}
            ).json()
            for _ in range(2)
        ]
        missing = outcome(client.set_flow_run_state, UUID(int=1), states.Running())[0]
    same = answers[0]["state"]["id"] == answers[1]["state"]["id"]
    return (
        [(answer["status"], answer["details"]) for answer in answers],
        same,
        missing,
        story(run.id)["run_count"],
    )


@scenario
def missing_things_are_not_found(mark: str) -> Any:
    nobody = UUID(int=3)
    with get_client(sync_client=True) as client:
        asked = [
            outcome(client.read_flow_run, nobody)[0],
            outcome(client.delete_flow_run, nobody)[0],
            outcome(client.read_flow_by_name, f"nobody-{mark}")[0],
            outcome(client.read_variable_by_name, f"nobody_{_word(mark)}"),
            outcome(client.delete_variable_by_name, f"nobody_{_word(mark)}")[0],
            outcome(client.read_global_concurrency_limit_by_name, f"nobody-{mark}")[0],
        ]
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [nobody]}}))
    return asked, runs, ObjectNotFound.__name__


TYPES = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING")


@scenario
def every_transition_is_judged_alike(mark: str) -> Any:
    @flow(name=f"transitions-{mark}")
    def nothing() -> None: ...

    judged = {}
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(nothing)
        for initial, proposed, force in product(TYPES, TYPES, (False, True)):
            if force and initial not in {"COMPLETED", "SCHEDULED"}:
                continue
            start = {"flow_id": str(flow_id), "state": {"type": initial}}
            run_id = UUID(client.request("POST", "/flow_runs/", json=start).json()["id"])
            found = client.set_flow_run_state(run_id, states.State(type=proposed), force=force)
            ended = found.state and (found.state.type, found.state.name)
            judged[initial, proposed, force] = (found.status, found.details, ended)
    return judged


def _limit(name: str, limit: int, slot_decay_per_second: float = 0.0) -> None:
    wanted = GlobalConcurrencyLimitCreate(name=name, limit=limit, slot_decay_per_second=slot_decay_per_second)
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(wanted)


def _taken(name: str) -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(name).active_slots


def _word(mark: str) -> str:
    return mark.replace("-", "_")

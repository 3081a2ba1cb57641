"""Flows and their runs: create, read, rename, move through states."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from latent.prefect.api.filters import Fields, count, select
from latent.prefect.api.messages import Answer, RefusalError, Request, Route, needs_server
from latent.prefect.api.records import Record, Table, new_record, parse_id, utc_now
from latent.prefect.api.task_runs import TaskRuns
from latent.prefect.api.transitions import (
    TERMINAL,
    Decision,
    Proposal,
    State,
    decide,
    enter_state,
    new_run_columns,
    new_state,
)

_STATES_KEPT = 1_000
"""States remembered of one run; a run that waits for a retry makes a few a second at most."""

_CHANGEABLE = frozenset(
    {"name", "flow_version", "parameters", "empirical_policy", "tags", "infrastructure_pid", "job_variables"}
)


class FlowRuns:
    """The flows and flow runs of this process."""

    def __init__(self, task_runs: TaskRuns) -> None:
        self._task_runs = task_runs
        self.flows = Table("Flow")
        self.runs = Table(
            "Flow run",
            may_go=lambda run: run["state_type"] in TERMINAL,
            on_gone=self._forget,
        )
        self._flow_ids: dict[str, str] = {}
        self._history: dict[str, deque[State]] = {}

    def routes(self) -> list[Route]:
        """Return what this part of the API answers."""
        return [
            ("POST", "flows", self._create_flow),
            ("GET", "flows/{id}", self._read_flow),
            ("GET", "flows/name/{name}", self._read_flow_by_name),
            ("POST", "flow_runs", self._create),
            ("POST", "flow_runs/filter", self._filter),
            ("POST", "flow_runs/count", self._count),
            ("GET", "flow_runs/{id}", self._read),
            ("PATCH", "flow_runs/{id}", self._update),
            ("DELETE", "flow_runs/{id}", self._delete),
            ("PATCH", "flow_runs/{id}/labels", self._label),
            ("POST", "flow_runs/{id}/set_state", self._set_state),
            ("GET", "flow_run_states", self._read_states),
            ("GET", "flow_run_states/{id}", self._read_state),
        ]

    def states(self, run_id: str) -> list[State]:
        """Return the states that a flow run went through, oldest first."""
        return list(self._history.get(run_id, ()))

    def _create_flow(self, request: Request) -> Answer:
        body = request.mapping()
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise RefusalError(422, "A flow needs a name.")
        if (known := self.flows.get(self._flow_ids.get(name, ""))) is not None:
            return Answer(200, known)
        fields = {"name": name, "tags": body.get("tags") or [], "labels": body.get("labels") or {}}
        flow = self.flows.add(new_record(fields, utc_now()), len(request.body))
        self._flow_ids[name] = flow["id"]
        return Answer(201, flow)

    def _read_flow(self, request: Request) -> Answer:
        return Answer(200, self.flows.read(request.params["id"]))

    def _read_flow_by_name(self, request: Request) -> Answer:
        name = request.params["name"]
        if (flow := self.flows.get(self._flow_ids.get(name, ""))) is None:
            raise RefusalError(404, f"Flow {name!r} not found.")
        return Answer(200, flow)

    def _create(self, request: Request) -> Answer:
        body = request.mapping()
        if body.get("work_pool_name") is not None:
            raise needs_server("A flow run in a work pool")
        flow = self.flows.read(str(body.get("flow_id")))
        if (key := body.get("idempotency_key")) is not None:
            for run in self.runs:
                if run["idempotency_key"] == key and run["flow_id"] == flow["id"]:
                    return Answer(200, _view(run, utc_now()))
        at = utc_now()
        run = self.runs.add(_new_flow_run(body, flow["id"], at), len(request.body))
        state = body.get("state") or {"type": "PENDING"}
        self._enter(run, new_state(state.pop("type"), at, **state))
        return Answer(201, _view(run, at))

    def _read(self, request: Request) -> Answer:
        return Answer(200, _view(self.runs.read(request.params["id"]), utc_now()))

    def _update(self, request: Request) -> Answer:
        run = self.runs.read(request.params["id"])
        run.update({name: value for name, value in request.mapping().items() if name in _CHANGEABLE})
        run["updated"] = utc_now()
        return Answer(204)

    def _label(self, request: Request) -> Answer:
        run = self.runs.read(request.params["id"])
        run["labels"] = {**run["labels"], **request.mapping()}
        run["updated"] = utc_now()
        return Answer(204)

    def _delete(self, request: Request) -> Answer:
        self.runs.remove(self.runs.read(request.params["id"])["id"])
        return Answer(204)

    def _filter(self, request: Request) -> Answer:
        at = utc_now()
        chosen = select(self.runs, request.mapping(), self._filters(), "flow runs")
        return Answer(200, [_view(run, at) for run in chosen])

    def _count(self, request: Request) -> Answer:
        return Answer(200, count(self.runs, request.mapping(), self._filters(), "flow runs"))

    def _set_state(self, request: Request) -> Answer:
        run = self.runs.read(request.params["id"])
        body = request.mapping()
        wanted = body.get("state")
        if not isinstance(wanted, dict) or "type" not in wanted:
            raise RefusalError(422, "A state needs a type.")
        at = utc_now()
        proposed = new_state(wanted.pop("type"), at, **wanted)
        decision = decide(Proposal(run, run["state"], proposed, at), force=bool(body.get("force")))
        run["empirical_policy"] = {**run["empirical_policy"], **decision.policy}
        if decision.state is not None:
            self._enter(run, decision.state)
        return Answer(201 if decision.state else 200, _orchestration_result(decision, run))

    def _read_states(self, request: Request) -> Answer:
        run_id = parse_id(parse_qs(request.query).get("flow_run_id", [""])[0])
        return Answer(200, self.states(run_id))

    def _read_state(self, request: Request) -> Answer:
        wanted = parse_id(request.params["id"])
        for states in self._history.values():
            for state in states:
                if state["id"] == wanted:
                    return Answer(200, state)
        raise RefusalError(404, f"Flow run state {wanted} not found.")

    def _enter(self, run: Record, state: State) -> None:
        """Write a state, and show it on the parent's task run that stands for a subflow."""
        state["state_details"]["flow_run_id"] = run["id"]
        if run["parent_task_run_id"] is not None:
            state["state_details"]["task_run_id"] = run["parent_task_run_id"]
        enter_state(run, state)
        self._history.setdefault(run["id"], deque(maxlen=_STATES_KEPT)).append(state)
        if run["parent_task_run_id"] is not None:
            self._task_runs.mirror(run["parent_task_run_id"], run["id"], state)

    def _forget(self, run: Record) -> None:
        self._history.pop(run["id"], None)
        self._task_runs.forget_run(run["id"])

    def _filters(self) -> Mapping[str, Fields]:
        return {"flow_runs": {**_FLOW_RUN_FIELDS, "parent_flow_run_id": self._parent}, "flows": self._flow}

    @property
    def _flow(self) -> Fields:
        return {"id": lambda run: run["flow_id"], "name": lambda run: self.flows.read(run["flow_id"])["name"]}

    def _parent(self, run: Record) -> str | None:
        return self._task_runs.flow_run_of(run["parent_task_run_id"])


def _field(name: str) -> Any:
    return lambda run: run[name]


_FLOW_RUN_FIELDS: Fields = {
    **{
        name: _field(name)
        for name in (
            "id",
            "name",
            "tags",
            "deployment_id",
            "flow_version",
            "start_time",
            "end_time",
            "expected_start_time",
            "next_scheduled_start_time",
            "parent_task_run_id",
            "idempotency_key",
            "work_queue_name",
        )
    },
    "state": lambda run: {"type": run["state_type"], "name": run["state_name"]},
}


def _new_flow_run(body: Mapping[str, Any], flow_id: str, at: datetime) -> Record:
    from prefect.utilities.names import generate_slug

    fields: Record = {
        "name": body.get("name") or generate_slug(2),
        "flow_id": flow_id,
        "flow_version": body.get("flow_version"),
        "deployment_id": None,
        "deployment_version": None,
        "parameters": body.get("parameters") or {},
        "context": body.get("context") or {},
        "empirical_policy": body.get("empirical_policy") or {},
        "tags": body.get("tags") or [],
        "labels": {"prefect.flow.id": flow_id, **(body.get("labels") or {})},
        "parent_task_run_id": body.get("parent_task_run_id"),
        "idempotency_key": body.get("idempotency_key"),
        "job_variables": body.get("job_variables"),
        "infrastructure_pid": None,
        "work_queue_name": None,
        "work_pool_name": None,
        "auto_scheduled": False,
        "created_by": None,
    }
    return new_record({**fields, **new_run_columns()}, at)


def _view(run: Record, at: datetime) -> Record:
    """Return a flow run with the two figures that depend on when it is read."""
    state, start, expected = run["state"], run["start_time"], run["expected_start_time"]
    running = (at - state["timestamp"]).total_seconds() if state["type"] == "RUNNING" else 0.0
    late_until = start or (at if state["type"] not in TERMINAL else expected)
    late = (late_until - expected).total_seconds()
    return {
        **run,
        "estimated_run_time": run["total_run_time"] + max(running, 0.0),
        "estimated_start_time_delta": max(late, 0.0),
    }


def _orchestration_result(decision: Decision, run: Record) -> Record:
    details: Record = {"type": f"{decision.status.lower()}_details"}
    if decision.status != "ACCEPT":
        details["reason"] = decision.reason
    if decision.status == "WAIT":
        details["delay_seconds"] = decision.delay_seconds
    return {"status": decision.status, "state": run["state"], "details": details}

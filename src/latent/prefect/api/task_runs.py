"""
Task runs that the API has to know: those that stand for a subflow in its parent.

Prefect's engine keeps all other task runs to itself and only reports them as events, which nobody
receives here.
"""

from __future__ import annotations

from typing import Any

from latent.prefect.api.messages import Answer, RefusalError, Request, Route
from latent.prefect.api.records import Record, Table, new_record, utc_now
from latent.prefect.api.transitions import State, enter_state, new_run_columns, new_state


class TaskRuns:
    """The task runs that were created through the API."""

    def __init__(self) -> None:
        # Rows leave with their flow run; alone they are few and small.
        self.runs = Table("Task run", max_rows=100_000, on_gone=self._forget)
        self._by_key: dict[tuple[str | None, str, str], str] = {}
        self._by_flow_run: dict[str | None, set[str]] = {}

    def routes(self) -> list[Route]:
        """Return what this part of the API answers."""
        return [
            ("POST", "task_runs", self._create),
            ("GET", "task_runs/{id}", self._read),
            ("POST", "task_runs/{id}/set_state", self._set_state),
        ]

    def mirror(self, task_run_id: str, flow_run_id: str, state: State) -> None:
        """Bring the task run that stands for a subflow into the subflow's state."""
        if (run := self.runs.get(task_run_id)) is None:
            return
        fields = {name: value for name, value in state.items() if name not in {"id", "type", "timestamp"}}
        fields["state_details"] = {**state["state_details"], "child_flow_run_id": flow_run_id}
        self._enter(run, new_state(state["type"], state["timestamp"], **fields))

    def flow_run_of(self, task_run_id: str | None) -> str | None:
        """Return the id of the flow run that a task run belongs to."""
        run = self.runs.get(task_run_id) if task_run_id is not None else None
        return run["flow_run_id"] if run is not None else None

    def forget_run(self, flow_run_id: str) -> None:
        """Forget the task runs of a flow run that is gone."""
        for task_run_id in self._by_flow_run.pop(flow_run_id, set()):
            if self.runs.get(task_run_id) is not None:
                self.runs.remove(task_run_id)

    def _create(self, request: Request) -> Answer:
        body = request.mapping()
        key = _key(body)
        # A retried flow creates the task runs of its subflows again, and must get the same ones.
        if (known := self._by_key.get(key)) is not None:
            return Answer(200, self.runs.read(known))
        at = utc_now()
        run = self.runs.add(new_record(_fields(body), at), len(request.body))
        self._by_key[key] = run["id"]
        self._by_flow_run.setdefault(run["flow_run_id"], set()).add(run["id"])
        state = body.get("state") or {"type": "PENDING"}
        self._enter(run, new_state(state.pop("type"), at, **state))
        return Answer(201, run)

    def _read(self, request: Request) -> Answer:
        # "Not found" and not "needs a server": the engine asks for the upstream tasks of a task that
        # is submitted before they end, and takes this answer for "not finished yet".
        return Answer(200, self.runs.read(request.params["id"]))

    def _set_state(self, request: Request) -> Answer:
        run = self.runs.read(request.params["id"])
        wanted = request.mapping().get("state")
        if not isinstance(wanted, dict) or "type" not in wanted:
            raise RefusalError(422, "A state needs a type.")
        self._enter(run, new_state(wanted.pop("type"), utc_now(), **wanted))
        content = {"status": "ACCEPT", "state": run["state"], "details": {"type": "accept_details"}}
        return Answer(201, content)

    def _enter(self, run: Record, state: State) -> None:
        state["state_details"]["task_run_id"] = run["id"]
        state["state_details"]["flow_run_id"] = run["flow_run_id"]
        enter_state(run, state)

    def _forget(self, run: Record) -> None:
        self._by_key.pop(_key(run), None)
        self._by_flow_run.get(run["flow_run_id"], set()).discard(run["id"])


def _key(fields: Record) -> tuple[str | None, str, str]:
    return fields.get("flow_run_id"), str(fields.get("task_key")), str(fields.get("dynamic_key"))


def _fields(body: Record) -> dict[str, Any]:
    from prefect.utilities.names import generate_slug

    return {
        "name": body.get("name") or generate_slug(2),
        "flow_run_id": body.get("flow_run_id"),
        "task_key": body.get("task_key"),
        "dynamic_key": body.get("dynamic_key"),
        "cache_key": body.get("cache_key"),
        "cache_expiration": body.get("cache_expiration"),
        "task_version": body.get("task_version"),
        "empirical_policy": body.get("empirical_policy") or {},
        "tags": body.get("tags") or [],
        "labels": body.get("labels") or {},
        "task_inputs": body.get("task_inputs") or {},
        "flow_run_run_count": 0,
        "estimated_run_time": 0.0,
        "estimated_start_time_delta": 0.0,
        **new_run_columns(),
    }

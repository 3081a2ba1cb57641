"""Artifacts: what flows and tasks publish beside their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from latent.prefect.api.filters import Fields, count, select
from latent.prefect.api.messages import Answer, RefusalError, Request, Route
from latent.prefect.api.records import Record, Table, new_record, utc_now


class Artifacts:
    """The artifacts of this process; the oldest are forgotten beyond the table's bounds."""

    def __init__(self) -> None:
        self.artifacts = Table("Artifact")

    def routes(self) -> list[Route]:
        """Return what this part of the API answers."""
        return [
            ("POST", "artifacts", self._create),
            ("POST", "artifacts/filter", self._filter),
            ("POST", "artifacts/count", self._count),
            ("POST", "artifacts/latest/filter", self._filter_latest),
            ("POST", "artifacts/latest/count", self._count_latest),
            ("GET", "artifacts/{id}", self._read),
            ("GET", "artifacts/{key}/latest", self._read_latest),
            ("PATCH", "artifacts/{id}", self._update),
            ("DELETE", "artifacts/{id}", self._delete),
        ]

    def _create(self, request: Request) -> Answer:
        body = request.mapping()
        fields = {name: body.get(name) for name in _FIELDS}
        return Answer(201, self.artifacts.add(new_record(fields, utc_now()), len(request.body)))

    def _read(self, request: Request) -> Answer:
        return Answer(200, self.artifacts.read(request.params["id"]))

    def _read_latest(self, request: Request) -> Answer:
        key = request.params["key"]
        if (latest := self._latest().get(key)) is None:
            raise RefusalError(404, f"Artifact {key!r} not found.")
        return Answer(200, latest)

    def _filter(self, request: Request) -> Answer:
        return Answer(200, select(self.artifacts, request.mapping(), _FILTERS, "artifacts"))

    def _count(self, request: Request) -> Answer:
        return Answer(200, count(self.artifacts, request.mapping(), _FILTERS, "artifacts"))

    def _filter_latest(self, request: Request) -> Answer:
        latest = list(self._latest().values())
        chosen = select(latest, request.mapping(), _LATEST_FILTERS, "artifacts")
        return Answer(200, [{**artifact, "latest_id": artifact["id"]} for artifact in chosen])

    def _count_latest(self, request: Request) -> Answer:
        latest = list(self._latest().values())
        return Answer(200, count(latest, request.mapping(), _LATEST_FILTERS, "artifacts"))

    def _update(self, request: Request) -> Answer:
        artifact = self.artifacts.read(request.params["id"])
        body = request.mapping()
        artifact.update({name: body[name] for name in ("data", "description", "metadata_") if name in body})
        artifact["updated"] = utc_now()
        return Answer(204)

    def _delete(self, request: Request) -> Answer:
        self.artifacts.remove(self.artifacts.read(request.params["id"])["id"])
        return Answer(204)

    def _latest(self) -> dict[str, Record]:
        """Return the newest artifact of each key."""
        return {artifact["key"]: artifact for artifact in self.artifacts if artifact["key"] is not None}


_FIELDS = ("key", "type", "description", "data", "metadata_", "flow_run_id", "task_run_id")


def _field(name: str) -> Callable[[Record], Any]:
    return lambda artifact: artifact[name]


_ARTIFACT_FIELDS: Fields = {
    name: _field(name) for name in ("id", "key", "flow_run_id", "task_run_id", "type")
}
_FILTERS: Mapping[str, Fields] = {
    "artifacts": _ARTIFACT_FIELDS,
    "flow_runs": {"id": _field("flow_run_id")},
    "task_runs": {"id": _field("task_run_id")},
}
_LATEST_FILTERS: Mapping[str, Fields] = {
    **_FILTERS,
    "artifacts": {**_ARTIFACT_FIELDS, "latest_id": _field("id")},
}

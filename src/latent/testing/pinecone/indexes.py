"""Indexes in memory: vectors by namespace and id, and what Pinecone says of each request about them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def fits(condition: Mapping[str, Any] | None, metadata: Mapping[str, Any]) -> bool:
    """Whether metadata fulfils a filter; every metadata fulfils none."""
    return all(_holds(name, value, metadata) for name, value in (condition or {}).items())


def _holds(name: str, value: Any, metadata: Mapping[str, Any]) -> bool:
    if name == "$and":
        return all(fits(part, metadata) for part in value)
    if name == "$or":
        return any(fits(part, metadata) for part in value)
    wanted = value if isinstance(value, Mapping) else {"$eq": value}
    return all(_compares(metadata.get(name), how, what) for how, what in wanted.items())


def _compares(found: Any, how: str, wanted: Any) -> bool:
    members = found if isinstance(found, list) else [found]
    if how == "$exists":
        return (found is not None) == bool(wanted)
    if how in _COMPARED:
        return any(_is_number(each) and _COMPARED[how](each, wanted) for each in members)
    listed = wanted if how in ("$in", "$nin") else [wanted]
    is_among = any(
        (each == one and type(each) is not bool) or each is one for each in members for one in listed
    )
    return not is_among if how in ("$ne", "$nin") else is_among


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


DEFAULT_NAMESPACE = "__default__"
PAGE = 100
"""Ids of one page of a listing."""
LARGEST_UPSERT = 1_000
METADATA_BYTES = 40_960
LONGEST_ID = 512
LARGEST_TOP_K = 10_000

Vectors = dict[str, dict[str, Any]]


class Refusal(Exception):  # noqa: N818  # an answer, and no error of ours
    """An answer with an error status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def refuse(message: str) -> Refusal:
    """The answer to a request that makes no sense."""
    return Refusal(400, "INVALID_ARGUMENT", message)


@dataclass
class Index:
    """One index."""

    name: str
    dimension: int
    metric: str
    cloud: str
    region: str
    namespaces: dict[str, Vectors] = field(default_factory=dict)

    def describe(self, host: str) -> dict[str, Any]:
        """As the control plane shows it, in the words of version 2026-07 and of those before."""
        values = {"type": "dense_vector", "dimension": self.dimension, "metric": self.metric}
        return {
            "name": self.name,
            "host": host,
            "status": {"ready": True, "state": "Ready"},
            "schema": {"fields": {"_values": values | {"description": None}}},
            "deployment": {"deployment_type": "managed", "cloud": self.cloud, "region": self.region},
            "deletion_protection": "disabled",
            "tags": None,
            "dimension": self.dimension,
            "metric": self.metric,
            "vector_type": "dense",
            "spec": {"serverless": {"cloud": self.cloud, "region": self.region}},
        }

    def upsert(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /vectors/upsert: all of the vectors, or none."""
        vectors = body.get("vectors")
        if not isinstance(vectors, list) or not vectors:
            raise refuse("vectors: at least one is required")
        if len(vectors) > LARGEST_UPSERT:
            raise refuse(f"Too many vectors: at most {LARGEST_UPSERT} in a request, got {len(vectors)}")
        for vector in vectors:
            self._check(vector)
        space = self.namespaces.setdefault(namespace_of(body), {})
        for vector in vectors:
            space[vector["id"]] = {name: vector.get(name) for name in ("id", "values", "metadata")}
        return {"upsertedCount": len(vectors)}

    def query(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /query: the nearest vectors, the nearest first."""
        top_k, space = body.get("topK"), self.namespaces.get(namespace_of(body), {})
        if not isinstance(top_k, int) or not 1 <= top_k <= LARGEST_TOP_K:
            raise refuse(f"topK must be between 1 and {LARGEST_TOP_K}")
        wanted = body.get("vector") or space.get(str(body.get("id")), {}).get("values")
        if wanted is None:
            raise refuse("a vector or the id of one is required")
        self._check_length(wanted)
        score = _SCORES[self.metric]
        found = [
            {"id": each["id"], "score": score(wanted, each["values"])}
            | ({"values": each["values"]} if body.get("includeValues") else {})
            | ({"metadata": each["metadata"]} if body.get("includeMetadata") and each["metadata"] else {})
            for each in space.values()
            if fits(body.get("filter"), each["metadata"] or {})
        ]
        found.sort(key=lambda each: each["score"], reverse=self.metric != "euclidean")
        return {
            "matches": found[:top_k],
            "namespace": str(body.get("namespace") or ""),
            "usage": {"readUnits": 1},
        }

    def delete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /vectors/delete: by ids, by a filter, or all."""
        name = namespace_of(body)
        if name not in self.namespaces:
            raise Refusal(404, "NOT_FOUND", f"Namespace not found: {name}")
        space = self.namespaces[name]
        if body.get("deleteAll"):
            space.clear()
        elif (condition := body.get("filter")) is not None:
            for id in [id for id, each in space.items() if fits(condition, each["metadata"] or {})]:
                del space[id]
        else:
            for id in body.get("ids") or ():
                space.pop(id, None)
        return {}

    def fetch(self, ids: Iterable[str], namespace: str) -> dict[str, Any]:
        """GET /vectors/fetch: those of the ids that exist."""
        space = self.namespaces.get(namespace or DEFAULT_NAMESPACE, {})
        found = {id: {k: v for k, v in space[id].items() if v is not None} for id in ids if id in space}
        return {"vectors": found, "namespace": namespace, "usage": {"readUnits": 1}}

    def page(self, namespace: str, prefix: str, limit: int, token: str) -> dict[str, Any]:
        """GET /vectors/list: ids in alphabetical order, a page at a time."""
        space = self.namespaces.get(namespace or DEFAULT_NAMESPACE, {})
        ids = sorted(id for id in space if id.startswith(prefix) and id > token)
        page = ids[: min(limit, PAGE)]
        answer: dict[str, Any] = {"vectors": [{"id": id} for id in page], "namespace": namespace}
        return answer | ({"pagination": {"next": page[-1]}} if len(page) < len(ids) else {})

    def stats(self) -> dict[str, Any]:
        """POST /describe_index_stats."""
        counts = {name: {"vectorCount": len(space)} for name, space in self.namespaces.items() if space}
        return {
            "namespaces": counts,
            "dimension": self.dimension,
            "metric": self.metric,
            "vectorType": "dense",
            "indexFullness": 0.0,
            "totalVectorCount": sum(len(space) for space in self.namespaces.values()),
        }

    def _check(self, vector: Any) -> None:
        if not isinstance(vector, Mapping) or not isinstance(vector.get("id"), str) or not vector["id"]:
            raise refuse("each vector needs an id")
        if len(vector["id"]) > LONGEST_ID:
            raise refuse(f"an id has at most {LONGEST_ID} characters")
        self._check_length(vector.get("values"))
        if not any(vector["values"]):
            raise refuse("Dense vectors must contain at least one non-zero value")
        check_metadata(vector["id"], vector.get("metadata") or {})

    def _check_length(self, values: Any) -> None:
        if not isinstance(values, list) or len(values) != self.dimension:
            length = len(values) if isinstance(values, list) else 0
            raise refuse(
                f"Vector dimension {length} does not match the dimension of the index {self.dimension}"
            )


def check_metadata(id: str, metadata: Mapping[str, Any]) -> None:
    """Hold metadata against what Pinecone takes: texts, numbers, truth values and lists of texts, 40 kB."""
    import orjson

    for name, value in metadata.items():
        many = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if not many and not isinstance(value, (str, int, float, bool)):
            raise refuse(
                f"Metadata value must be a string, number, boolean or list of strings, got {name!r} of {id}"
            )
    size = len(orjson.dumps(dict(metadata)))
    if size > METADATA_BYTES:
        raise refuse(
            f"Metadata size is {size} bytes, which exceeds the limit of {METADATA_BYTES} bytes per vector"
        )


def namespace_of(body: Mapping[str, Any]) -> str:
    """The namespace that a request means."""
    return str(body.get("namespace") or DEFAULT_NAMESPACE)


def _dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _cosine(one: list[float], other: list[float]) -> float:
    return _dot(one, other) / math.sqrt(_dot(one, one) * _dot(other, other))


def _euclidean(one: list[float], other: list[float]) -> float:
    return math.fsum((a - b) ** 2 for a, b in zip(one, other, strict=True))


_SCORES: Mapping[str, Callable[[list[float], list[float]], float]] = {
    "cosine": _cosine,
    "dotproduct": _dot,
    "euclidean": _euclidean,
}

"""Pinecone's metadata filters, as far as its documentation describes them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
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

"""Prefect's filters and sort orders, on rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from latent.prefect.api.messages import needs_server
from latent.prefect.api.records import Record, parse_time

DEFAULT_LIMIT = 200
"""Rows in one answer when the request names no limit, as on Prefect's server."""

Fields = Mapping[str, Callable[[Record], Any]]
"""What a filter may ask of a row, by the filter's name for it."""


def select(
    records: Iterable[Record], body: Mapping[str, Any], filters: Mapping[str, Fields], what: str
) -> list[Record]:
    """
    Return the rows that a request's body asks for, sorted and cut to its page.

    `filters` maps each part of the body that filters (`flow_runs`, `flows`) to what it may ask. A
    filter that is not known here is refused, since leaving it out would return wrong rows.
    """
    _check_parts(body, filters, what)
    kept = [
        record
        for record in records
        if all(matches(record, body.get(part), fields, what) for part, fields in filters.items())
    ]
    kept = sort(kept, body.get("sort") or "ID_DESC", what)
    offset = body.get("offset") or 0
    limit = body.get("limit")
    return kept[offset : offset + (DEFAULT_LIMIT if limit is None else limit)]


def count(
    records: Iterable[Record], body: Mapping[str, Any], filters: Mapping[str, Fields], what: str
) -> int:
    """Return how many rows a request's filters let through."""
    _check_parts(body, filters, what)
    return sum(
        all(matches(record, body.get(part), fields, what) for part, fields in filters.items())
        for record in records
    )


def _check_parts(body: Mapping[str, Any], filters: Mapping[str, Fields], what: str) -> None:
    for part, criteria in body.items():
        if part not in filters and part not in {"sort", "limit", "offset"} and criteria is not None:
            raise needs_server(f"Filtering {what} by {part!r}")


def matches(record: Record, criteria: Mapping[str, Any] | None, fields: Fields, what: str) -> bool:
    """Return whether a row meets Prefect's filter object: `{"name": {"any_": [...]}, ...}`."""
    if criteria is None:
        return True
    found = []
    for name, test in criteria.items():
        if name == "operator" or test is None:
            continue
        if name not in fields:
            raise needs_server(f"Filtering {what} by {name!r}")
        found.append(_passes(fields[name](record), test, what))
    return (any(found) or not found) if criteria.get("operator") == "or_" else all(found)


def _passes(value: Any, test: Mapping[str, Any], what: str) -> bool:
    found = []
    for operator, operand in test.items():
        if operator == "operator" or operand is None:
            continue
        if isinstance(operand, Mapping):  # `state` nests its tests: {"type": {...}, "name": {...}}
            found.append(_passes((value or {}).get(operator), operand, what))
        elif operator in _OPERATORS:
            found.append(_OPERATORS[operator](value, operand))
        else:
            raise needs_server(f"The filter {operator!r} on {what}")
    return (any(found) or not found) if test.get("operator") == "or_" else all(found)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq_": lambda value, wanted: bool(value == wanted),
    "any_": lambda value, wanted: bool(set(_several(value)) & set(wanted)),
    "not_any_": lambda value, wanted: not set(_several(value)) & set(wanted),
    "all_": lambda value, wanted: set(wanted) <= set(_several(value)),
    "is_null_": lambda value, wanted: (value in (None, [])) == wanted,
    "like_": lambda value, wanted: value is not None and wanted.lower() in value.lower(),
    "before_": lambda value, wanted: value is not None and value <= parse_time(wanted),
    "after_": lambda value, wanted: value is not None and value >= parse_time(wanted),
}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def sort(records: list[Record], order: str, what: str) -> list[Record]:
    """Return the rows in one of Prefect's orders: `START_TIME_ASC`, `NAME_DESC`, `ID_DESC`."""
    field, _, direction = order.lower().rpartition("_")
    if field == "id":  # Prefect's ids grow with time, and so does the order of the rows.
        return records[::-1] if direction == "desc" else records
    if any(field not in record for record in records):
        raise needs_server(f"Sorting {what} by {order}")
    known = [record for record in records if record[field] is not None]
    unknown = [record for record in records if record[field] is None]
    # A stable sort of the newest first: of two rows with one time stamp the later one wins.
    newest_first = known[::-1] if direction == "desc" else known
    return sorted(newest_first, key=lambda record: record[field], reverse=direction == "desc") + unknown

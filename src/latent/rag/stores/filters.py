"""
Conditions on records, in the language of Pinecone's filters, for every store alike.

    {"source": "docs/a.md"}                              equal
    {"chunk_index": {"$gte": 2, "$lt": 5}}               compared
    {"lang": {"$in": ["en", "de"]}, "draft": {"$ne": True}}   both
    {"$or": [{"lang": "en"}, {"lang": {"$exists": False}}]}   either

A name is `id` (not in Pinecone), `source`, `chunk_index`, `start`, `end` or a key of the metadata; inside of
a mapping it is `meta.lang`. Where the value is a list, one of its members must fit. A number is also compared
with texts that are numbers, as the columns of a CSV are (not in Pinecone). A record that lacks the name fits
`$ne`, `$nin` and `{"$exists": False}` only.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from latent.errors.text import did_you_mean

COLUMNS = ("id", "source", "chunk_index", "start", "end")
"""Names that are not keys of the metadata."""

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
NUMBER: Final = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?"
"""A text that is a number: one that begins with a zero is more likely a code."""
_NUMBER = re.compile(NUMBER)
MOST_NESTED = 20
"""Databases have limits of their own, further on, which they tell in their own words."""
OPERATORS = ("$eq", "$ne", *_COMPARED, "$in", "$nin", "$exists")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of one value."""

    name: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Clause:
    """Conditions of which all hold, or any."""

    parts: tuple[Clause | Condition, ...]
    is_any: bool = False

    def conditions(self) -> Iterator[Condition]:
        """All comparisons, however deep they stand."""
        for part in self.parts:
            yield from part.conditions() if isinstance(part, Clause) else (part,)


def parse_filter(filter: Mapping[str, Any] | None, depth: int = 0) -> Clause:
    """
    A filter, understood; one without conditions holds for all records.

    Raises:
        ValueError: It says what the language cannot.
    """
    if filter is None:
        return Clause(())
    if not isinstance(filter, Mapping):
        raise ValueError(f"a filter is a mapping such as {{'source': 'docs/a.md'}}, not {filter!r}")
    if depth > MOST_NESTED:
        raise ValueError(f"$and and $or are nested more than {MOST_NESTED} deep")
    return Clause(tuple(part for name, value in filter.items() for part in _parsed(name, value, depth)))


def holds(clause: Clause, values: Mapping[str, Any]) -> bool:
    """Whether a record with these values, metadata and columns side by side, fits."""
    if clause.is_any:
        return any(_part_holds(part, values) for part in clause.parts)
    return all(_part_holds(part, values) for part in clause.parts)


def _part_holds(part: Clause | Condition, values: Mapping[str, Any]) -> bool:
    return holds(part, values) if isinstance(part, Clause) else _condition_holds(part, values)


def _condition_holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    found, wanted = value_of(values, condition.name), condition.value
    members = found if isinstance(found, (list, tuple)) else (found,)
    match condition.operator:
        case "$exists":
            return (found is not None) is wanted
        case "$ne":
            return not any(_equal(member, wanted) for member in members)
        case "$nin":
            return not any(_equal(member, each) for member in members for each in wanted)
        case "$in":
            return any(_equal(member, each) for member in members for each in wanted)
        case "$eq":
            return any(_equal(member, wanted) for member in members)
    compare = _COMPARED[condition.operator]
    return any((number := number_of(member)) is not None and compare(number, wanted) for member in members)


def value_of(values: Mapping[str, Any], name: str) -> Any:
    """What a record has under a name, also inside of mappings; None where it has nothing."""
    if name in values or "." not in name:
        return values.get(name)
    found: Any = values
    for step in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(step)
    return found


def number_of(value: object) -> int | float | None:
    """A number, also one that is written as a text; None for everything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _parsed(name: str, value: Any, depth: int) -> Iterator[Clause | Condition]:
    if not isinstance(name, str):
        raise ValueError(f"names are texts, and {name!r} is none")
    if name in ("$and", "$or"):
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"{name} takes a list of filters, not {value!r}")
        yield Clause(tuple(parse_filter(part, depth + 1) for part in value), is_any=name == "$or")
    elif name.startswith("$"):
        hint = did_you_mean(name, ("$and", "$or"), "there are $and and $or.")
        raise ValueError(f"{name!r} cannot stand around filters: {hint.rstrip('.')}")
    elif isinstance(value, Mapping):
        if not value:
            raise ValueError(f"{name!r} is compared with nothing: write {{{name!r}: 'a value'}}")
        yield from (_condition(name, each, wanted) for each, wanted in value.items())
    else:
        yield _condition(name, "$eq", value)


def _condition(name: str, operator: str, value: Any) -> Condition:
    if operator not in OPERATORS:
        raise ValueError(f"{name!r} is compared with {operator!r}: there are {', '.join(OPERATORS)}")
    if operator in ("$in", "$nin"):
        if not isinstance(value, (list, tuple)) or not all(map(_is_plain, value)):
            raise ValueError(
                f"{name!r}: {operator} takes a list of texts, numbers or truth values, not {value!r}"
            )
    elif operator in _COMPARED:
        if not _is_number(value):
            raise ValueError(f"{name!r}: {operator} takes a number, not {value!r}")
    elif operator == "$exists":
        if not isinstance(value, bool):
            raise ValueError(f"{name!r}: $exists takes True or False, not {value!r}")
    elif not _is_plain(value):
        raise ValueError(f"{name!r} is compared with a text, a number or a truth value, not {value!r}")
    return Condition(name, operator, value)


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, str) and _is_number(wanted):
        return bool(number_of(found) == wanted)
    # True is not a 1 here, as in JSON.
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, int, float, bool))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

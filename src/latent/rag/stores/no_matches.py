"""Why a filter found nothing: a key that no record has, or values that it can never be compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

from latent.errors import StoreUsageError
from latent.prefect.logs import warn_once
from latent.rag.stores.filters import COLUMNS, Clause, Condition, number_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_RECORDS = 20_000
"""So many records are looked at; that the store found none is known of the others too."""
_SLIP = 0.75
"""How like another a key must be to be a slip (`difflib`): `topic` is one of `topics`."""
_FOR_ABSENT = ("$ne", "$nin", "$exists")
"""What a record that lacks the name fits, or is asked about."""
_KINDS = {str: "a text", bool: "a truth value", int: "a number", float: "a number", dict: "a mapping"}


def explain_no_matches(
    store: str,
    index: str,
    clause: Clause,
    records: Iterable[Mapping[str, Any]],
    *,
    reads_numbers: bool = True,
) -> None:
    """
    Tell the user where a filter that found nothing cannot ever find anything.

    What looks like a slip is an error: a misspelled key, values of another kind. A key that simply no record
    has is told in the log, since there may be such records another time.

    Args:
        records: Metadata and columns of each, side by side.
        reads_numbers: Whether the store compares numbers with texts that are numbers.

    Raises:
        StoreUsageError: The filter is most likely a slip.
    """
    seen = list(islice(records, MOST_RECORDS))
    for condition in _needed(clause):
        if not seen or condition.operator in _FOR_ABSENT:
            continue
        found = [value for each in seen if (value := value_of(each, condition.name)) is not None]
        if found:
            if (why := _never_compared(condition, found, reads_numbers)) is not None:
                raise StoreUsageError(store, index, f"the filter can never hold: {why}.")
            continue
        names = _names(seen)
        lacking = f"none of {len(seen):,} records has {condition.name!r}"
        if (near := _meant(condition.name, [*names, *COLUMNS])) is not None:
            reason = f"the filter found nothing, and {lacking}: did you mean {near!r}?"
            raise StoreUsageError(store, index, reason)
        known = ", ".join(map(repr, names[:10])) or "none"
        warn_once(
            f"filter:{store}:{index}:{condition.name}",
            f"Index {index!r} of {store}: a filter found nothing, and {lacking} (there are: {known}).",
        )


def _needed(clause: Clause) -> Iterator[Condition]:
    """The conditions without which a clause cannot hold."""
    if clause.is_any and len(clause.parts) > 1:
        return
    for part in clause.parts:
        if isinstance(part, Clause):
            yield from _needed(part)
        else:
            yield part


def _never_compared(condition: Condition, found: Sequence[Any], reads_numbers: bool) -> str | None:
    """Why none of the values that there are can fit, by their kinds."""
    wanted = condition.value if condition.operator == "$in" else [condition.value]
    kinds = {_kind(each) for each in wanted}
    members = [each for value in found for each in (value if isinstance(value, list | tuple) else [value])]
    if not kinds or any(_kind(each) in kinds for each in members):
        return None
    if "a number" in kinds and reads_numbers and any(number_of(each) is not None for each in members):
        return None
    counts = Counter(map(_kind, members))
    if not counts:
        return None
    kind = counts.most_common(1)[0][0]
    example = next(each for each in members if _kind(each) == kind)
    if isinstance(example, Mapping):
        inner = next(iter(example), "key")
        return f"{condition.name!r} is a mapping: write {condition.name + '.' + str(inner)!r}"
    asked, where = " or ".join(sorted(kinds)), "all records" if len(counts) == 1 else "most records"
    return (
        f"{condition.name!r} is {kind} in {where} that have it, such as {example!r:.60}, and it is compared "
        f"with {asked} ({condition.operator} {condition.value!r:.60})"
    )


def _kind(value: object) -> str:
    return next((words for cls, words in _KINDS.items() if isinstance(value, cls)), type(value).__name__)


def _names(seen: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of the metadata of records, those inside of mappings too, the most frequent first."""
    counts = Counter(name for each in seen for name in _paths(each) if name not in COLUMNS)
    return [name for name, _ in counts.most_common()]


def _paths(values: Mapping[str, Any], above: str = "", depth: int = 0) -> Iterator[str]:
    for name, value in values.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(value, Mapping) and depth < 4:
            yield from _paths(value, path, depth + 1)
        elif value is not None:
            yield path


def _meant(name: str, names: Sequence[str]) -> str | None:
    """The key that a misspelled one means, or one of this name inside of a mapping."""
    inside = (each for each in names if each.rpartition(".")[2] == name)
    return next(iter(get_close_matches(name, names, n=1, cutoff=_SLIP)), None) or next(inside, None)

"""The rows of an evaluation: named for good, and checked first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors import EvaluationDataError
from latent.errors.text import did_you_mean
from latent.evals.reading import read_rows

if TYPE_CHECKING:
    from latent.catalog import Catalog
    from latent.config import Workspace

Data = Any
"""A dataset's name, a path, a frame or Arrow table, or a list of mappings."""

MADE_ID_CHARS = 10

SHOWN_NAMES = 20
"""Messages list so many columns; of data with more, how many there are beside."""


def some_of(names: Sequence[str]) -> str:
    """Names as a message lists them."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the data."""

    id: str
    """Names it for good: from its column, else made of its content."""
    values: Mapping[str, Any]
    """Its columns; what is missing is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """The rows of an evaluation, in the order of the data."""

    source: str
    """How messages name the data."""
    fingerprint: str
    """Of all rows' content."""
    rows: Sequence[Item]
    expected: str
    """The column of the expected answers, whether or not there is one."""

    @property
    def columns(self) -> list[str]:
        """The columns of any row."""
        return list(dict.fromkeys(name for item in self.rows for name in item.values))

    def has(self, column: str) -> bool:
        """Whether any row has a value in a column."""
        return any(item.values.get(column) is not None for item in self.rows)

    def error(self, reason: str) -> EvaluationDataError:
        """An error that names the data."""
        return EvaluationDataError(self.source, reason)

    def check_column(self, column: str, purpose: str) -> None:
        """
        See that a column is there.

        Raises:
            EvaluationDataError: No row has it; with the nearest one that some have.
        """
        if column not in self.columns:
            hint = did_you_mean(column, self.columns, f"there are {some_of(self.columns)}.")
            raise self.error(f"{purpose} needs a column {column!r}, which no row has: {hint}")


def load_items(
    data: Data, *, workspace: Workspace, catalog: Catalog | None, row_id: str, expected: str
) -> Items:
    """
    The rows of `data`.

    Args:
        catalog: Where datasets are looked up by their names.
        row_id: The column of ids; where no row has it, ids are made of the content.
        expected: The column of expected answers.

    Raises:
        EvaluationDataError: There are no rows, one is not a mapping, or ids are missing or stand twice.
        DatasetNotFoundError: There is neither a file nor a dataset of this name.
        DatasetLoadError: The file cannot be read.
    """
    from latent.cache import code_identity, stable_hash

    source, rows = read_rows(data, workspace, catalog)
    if not rows:
        raise EvaluationDataError(source, "it has no rows.")
    identity = code_identity(workspace.root)
    ids = _ids(source, rows, row_id, expected, lambda row: stable_hash(row, identity))
    return Items(
        source=source,
        fingerprint=stable_hash(rows, identity),
        rows=[Item(name, row) for name, row in zip(ids, rows, strict=True)],
        expected=expected,
    )


def _ids(
    source: str, rows: Sequence[Mapping[str, Any]], row_id: str, expected: str, digest: Any
) -> list[str]:
    known = [row.get(row_id) for row in rows]
    if all(each is None for each in known):
        return _made_ids(rows, expected, digest)
    names = []
    for place, each in enumerate(known):
        if each is None:
            raise EvaluationDataError(source, f"row {place} has no {row_id!r}, and others have: give it one.")
        names.append(str(each))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [place for place, name in enumerate(names) if name == twice[0]]
        raise EvaluationDataError(
            source,
            f"rows {places[0]} and {places[1]} have the same {row_id!r}, {twice[0]!r}"
            + (f", and {len(twice) - 1:,} other ids stand twice" if len(twice) > 1 else "")
            + ": ids name rows for good, so make them unique.",
        )
    return names


def _made_ids(rows: Sequence[Mapping[str, Any]], expected: str, digest: Any) -> list[str]:
    """Ids from what rows ask: a row that is put in between changes no other's; equal rows are numbered."""
    seen: Counter[str] = Counter()
    names = []
    for row in rows:
        name = digest({key: value for key, value in row.items() if key != expected})[:MADE_ID_CHARS]
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names

"""The rows of an evaluation: read from wherever they lie, named for good, and checked first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.errors import EvaluationDataError, did_you_mean

if TYPE_CHECKING:
    from latent.catalog import Catalog
    from latent.config import Workspace

Data = Any
"""A dataset's name, a path, a frame or Arrow table, or a list of mappings."""

MADE_ID_CHARS = 10


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
            hint = did_you_mean(column, self.columns, f"there are {', '.join(self.columns)}.")
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
        EvaluationDataError: There are no rows, one is no mapping, or ids are missing or stand twice.
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


def read_rows(data: Data, workspace: Workspace, catalog: Catalog | None) -> tuple[str, list[dict[str, Any]]]:
    """How messages name the data, and its rows."""
    source, loaded = _loaded(data, workspace, catalog)
    return source, _mappings(source, loaded)


def _loaded(data: Data, workspace: Workspace, catalog: Catalog | None) -> tuple[str, Any]:
    """How messages name the data, and the data."""
    if not isinstance(data, str | Path):
        return f"The {type(data).__name__} of rows", data
    name = str(data)
    if catalog is not None and isinstance(data, str) and name in catalog:
        return f"Dataset {name!r}", catalog.load_data(name)
    path = Path(name) if Path(name).is_file() else workspace.root / name
    if not path.is_file() and "://" not in name:
        if catalog is not None and not Path(name).suffix:
            catalog.dataset(name)  # says which name comes near
        raise EvaluationDataError(repr(name), f"there is no such file in {Path.cwd()} or {workspace.root}.")
    return repr(name), _read(name if "://" in name else path.resolve(), name, workspace)


def _read(place: str | Path, name: str, workspace: Workspace) -> Any:
    """The data of a file that the caller names: it may lie anywhere, unlike those that a catalog names."""
    from latent.catalog import Catalog
    from latent.config import Workspace as AnyFolder

    if isinstance(place, Path):
        workspace, place = AnyFolder(place.parent, found=False), place.name
    reader = Catalog(workspace, "", None, {name: ("the call", place)}, "the call")
    return reader.load_data(name)


def _mappings(source: str, loaded: Any) -> list[dict[str, Any]]:
    if isinstance(loaded, Mapping):  # rows by their id, as JSON and YAML files often have them
        loaded = [{"id": key, **row} if isinstance(row, Mapping) else row for key, row in loaded.items()]
    elif hasattr(loaded, "to_dicts"):  # polars
        loaded = loaded.to_dicts()
    elif hasattr(loaded, "to_dict") and hasattr(loaded, "columns"):
        loaded = [_without_gaps(row) for row in loaded.to_dict("records")]
    elif hasattr(loaded, "to_pylist"):
        loaded = loaded.to_pylist()
    if isinstance(loaded, str | bytes) or not hasattr(loaded, "__iter__"):
        raise EvaluationDataError(source, f"it holds a {type(loaded).__name__}, and not rows.")
    rows = list(loaded)
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise EvaluationDataError(source, f"row {place} is a {type(row).__name__}, and no mapping.")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _without_gaps(row: Mapping[Any, Any]) -> dict[Any, Any]:
    """A frame's row with None where it has no value: NaN, NaT and NA are how pandas writes that."""
    return {name: None if _is_gap(value) else value for name, value in row.items()}


def _is_gap(value: Any) -> bool:
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # NA is neither, and an array is many
        return type(value).__name__ == "NAType"


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

"""The arguments of each row, from iterables, frames, tables and values that all rows share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State
from prefect.exceptions import MappingLengthMismatch, MappingMissingIterable
from prefect.futures import PrefectFuture
from prefect.utilities.annotations import BaseAnnotation, unmapped
from prefect.utilities.collections import isiterable

from latent.errors import UsageError
from latent.errors.text import did_you_mean
from latent.prefect.rows.options import NAMES as ROW_OPTIONS
from latent.prefect.upstream import has_futures, resolved, runs_behind, without_idle_annotations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prefect.client.schemas.objects import RunInput

    from latent.prefect.rows.options import RowId
    from latent.prefect.tasks import Task


class Columns:
    """
    What a map was given, by argument: columns with a value for each row, and values that all rows share.

    Args:
        variadic: The function's `**kwargs` parameter and the names that were passed to it, if any.
        first: The index of the first row; not 0 in a part of a stream.
        private: Columns that were made for the map, of a frame, say: nobody else has their rows.
    """

    def __init__(
        self,
        columns: Mapping[str, Sequence[Any]],
        shared: Mapping[str, Any],
        variadic: tuple[str, set[str]] | None = None,
        *,
        first: int = 0,
        private: Iterable[str] = (),
    ) -> None:
        self.columns, self.shared, self._variadic = columns, shared, variadic
        self.private = frozenset(private)
        self.whole: dict[str, set[RunInput]] = {}
        """The task runs of which a column is the result, by argument."""
        self.in_order = list(columns.values())
        """The columns without their names."""
        self.rows = range(first, first + len(next(iter(columns.values()))))
        self.have_futures = any(map(has_futures, (*columns.values(), *shared.values())))
        """Whether results of other tasks are among the arguments."""

    @classmethod
    def of(cls, task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Columns:
        """
        The columns of a call of `task.map`.

        Raises:
            MappingMissingIterable: No argument has rows.
            MappingLengthMismatch: Arguments have different numbers of rows.
        """
        arguments = task.bind(args, kwargs, options=ROW_OPTIONS)
        given = [name for name in task.bind(args, kwargs, defaults=False) if name != "self"]
        name = next(
            (p.name for p in task.binder.signature.parameters.values() if p.kind is p.VAR_KEYWORD), None
        )
        extra = arguments.pop(name, {}) if name is not None else {}
        mapped = {key: arguments[key] for key in given if key in arguments} | extra
        columns = {
            key: column for key, value in mapped.items() if (column := _column(task, key, value)) is not None
        }
        _check_lengths(task, mapped, columns)
        shared = {key: _shared(value) for key, value in (arguments | extra).items() if key not in columns}
        made = cls(
            columns,
            without_idle_annotations(shared),
            (name, set(extra)) if name is not None and extra else None,
            private=[key for key in columns if is_table(mapped[key])],
        )
        tops = {key: mapped[key] for key in columns if isinstance(mapped[key], (PrefectFuture, State))}
        made.whole = runs_behind(tops)
        return made

    def upstream(self, index: int) -> dict[str, set[RunInput]]:
        """The task runs whose results a row works with, by argument."""
        if not self.have_futures and not self.whole:
            return {}
        own = runs_behind(self.arguments(index)) if self.have_futures else {}
        return {name: own.get(name, set()) | self.whole.get(name, set()) for name in own.keys() | self.whole}

    def arguments(self, index: int) -> dict[str, Any]:
        """The arguments of a row by parameter name."""
        row = {**self.shared, **self.own(index)}
        if self._variadic is None:
            return row
        name, inside = self._variadic
        return {key: row[key] for key in row if key not in inside} | {name: {key: row[key] for key in inside}}

    def ready(self, index: int) -> dict[str, Any]:
        """The arguments of a row; results in the place of futures, which have all ended by now."""
        arguments = self.arguments(index)
        return resolved(arguments) if self.have_futures else arguments

    @property
    def are_flat(self) -> bool:
        """Whether a row's arguments are its columns and what all share, none of them in `**kwargs`."""
        return self._variadic is None

    def values(self, index: int) -> list[Any]:
        """The mapped arguments of a row, in the order of the columns."""
        place = index - self.rows.start
        return [column[place] for column in self.in_order]

    def own(self, index: int) -> dict[str, Any]:
        """The mapped arguments of a row."""
        place = index - self.rows.start
        return {name: column[place] for name, column in self.columns.items()}

    def picture(self, index: int) -> Mapping[str, Any]:
        """
        A row as expressions and `row_id` functions see it.

        Its mapped arguments; where the only one is a mapping, that mapping.
        """
        own = self.own(index)
        if len(own) == 1 and isinstance(only := next(iter(own.values())), Mapping):
            return only
        return own

    def ids(self, task: Task[..., Any], row_id: RowId) -> list[str]:
        """
        The users' ids of all rows.

        Raises:
            UsageError: Two rows have the same id, or a row has none, or there are not as many ids as rows.
        """
        if not isinstance(row_id, str) and not callable(row_id) and len(row_id) != len(self.rows):
            numbers = f"{len(row_id):,} ids for {len(self.rows):,} rows"
            raise UsageError(f"{task.label}: `row_id` has {numbers}: give one for each.")
        seen: dict[str, int] = {}
        for index in self.rows:
            name = self._id_of_row(task, row_id, index)
            if (first := seen.setdefault(name, index)) != index:
                raise same_id(task, first, index, name)
        return list(seen)

    def _id_of_row(self, task: Task[..., Any], row_id: RowId, index: int) -> str:
        value = self._given_id(task, row_id, index)
        if _is_missing(value):
            raise UsageError(
                f"{task.label}: row {index} has no id: `row_id` gives {value!r} for it. Give every row one "
                "of its own, or leave `row_id` out."
            )
        return str(value)

    def _given_id(self, task: Task[..., Any], row_id: RowId, index: int) -> object:
        if not isinstance(row_id, str) and not callable(row_id):
            return row_id[index - self.rows.start]
        picture = self.picture(index)
        if callable(row_id):
            try:
                return row_id(picture)
            except Exception as error:
                error.add_note(f"{task.label}: its `row_id` function raised this for row {index}.")
                raise
        for known in (picture, self.own(index)):
            if row_id in known:
                return known[row_id]
        hint = did_you_mean(row_id, map(str, picture), f"it has {', '.join(map(repr, picture))}.")
        raise UsageError(f"{task.label}: `row_id` names {row_id!r}, which row {index} does not have: {hint}")


def _is_missing(value: object) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True  # as pandas' NA, which is neither equal to itself nor unequal


def _check_lengths(
    task: Task[..., Any], mapped: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]
) -> None:
    if not columns:
        raise MappingMissingIterable(
            f"{task.label}: map needs at least one argument with rows (a list, a frame, a range, ...); "
            f"got {', '.join(f'{name}={type(value).__name__}' for name, value in mapped.items()) or 'none'}."
        )
    if len({len(column) for column in columns.values()}) > 1:
        listed = ", ".join(f"{name} has {len(column):,}" for name, column in columns.items())
        raise MappingLengthMismatch(
            f"{task.label}: all mapped arguments need the same number of rows, but {listed}. "
            "Wrap what every row shares in unmapped(...)."
        )


def _check_columns(task: Task[..., Any], name: str, frame: Any) -> None:
    """A row is a mapping, which has room for one value under each name."""
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UsageError(
            f"{task.label}: the frame for {name!r} has more than one column {twice[0]!r}, of which each row "
            "would keep the last. Give every column a name of its own."
        )


def _column(task: Task[..., Any], name: str, value: Any) -> Sequence[Any] | None:
    """The rows that an argument holds; None for a value that all rows share."""
    if isinstance(value, unmapped):
        return None
    if isinstance(value, BaseAnnotation):
        return _annotated(task, name, value)
    if isinstance(value, (PrefectFuture, State)):
        value = resolved(value)
    if hasattr(value, "to_dicts"):  # polars
        return list(value.to_dicts())
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        _check_columns(task, name, value)
        return list(value.to_dict("records"))
    if hasattr(value, "to_pylist"):
        return list(value.to_pylist())
    if not isiterable(value):
        return None
    rows: list[Any] = []
    try:
        rows.extend(value)
    except Exception as error:
        error.add_note(
            f"{task.label}: the iterable for {name!r} raised this after {len(rows):,} rows. None was "
            "started; map_stream works on the rows before such an error."
        )
        raise
    return rows


def _annotated(task: Task[..., Any], name: str, value: Any) -> Sequence[Any] | None:
    """The rows inside of an annotation, each annotated where it holds something to resolve."""
    inside = value.unwrap()
    if isinstance(inside, (PrefectFuture, State)):
        return None  # as in Prefect, where it stands for the one result that all rows get
    rows = _column(task, name, inside)
    return None if rows is None else [value.rewrap(row) if has_futures(row) else row for row in rows]


def _shared(value: Any) -> Any:
    """What each row gets of a value that is not mapped over."""
    if isinstance(value, unmapped):
        return value.unwrap()
    inside: Any = value.unwrap() if isinstance(value, BaseAnnotation) else None
    return value.rewrap(inside.unwrap()) if isinstance(inside, unmapped) else value


def is_table(value: Any) -> bool:
    """Whether rows are made of a value: of a frame or Arrow table, not of a list that holds them."""
    has_columns = hasattr(value, "to_dict") and hasattr(value, "columns")
    return has_columns or hasattr(value, "to_dicts") or hasattr(value, "to_pylist")


def same_id(task: Task[..., Any], first: int, second: int, name: str) -> UsageError:
    """The error about two rows with one id."""
    return UsageError(
        f"{task.label}: rows {first} and {second} have the same id {name!r}. Ids name rows for good: make "
        "them unique, or leave `row_id` out."
    )

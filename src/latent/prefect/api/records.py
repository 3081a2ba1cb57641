"""Rows of the API's tables: plain mappings with an id and times, kept in bounded tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from latent.prefect.api.messages import RefusalError

Record = dict[str, Any]
"""One row, shaped as Prefect's JSON: ids as text, times as datetimes, time spans as seconds."""

# How many of the oldest rows are looked at for one that may go.
_EVICTION_REACH = 100


def utc_now() -> datetime:
    """Return the current time, with its zone."""
    return datetime.now(UTC)


def new_record(fields: Mapping[str, Any], at: datetime) -> Record:
    """Return a row with its own id, created now."""
    return {"id": str(uuid4()), "created": at, "updated": at, **fields}


def parse_id(text: str) -> str:
    """Return an id in its normal form; RefusalError when it is none."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise RefusalError(422, f"{text!r} is not an id.") from error


def parse_time(value: datetime | str | None) -> datetime | None:
    """Return a time from JSON; a time without zone counts as UTC."""
    if value is None or isinstance(value, datetime):
        return value
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        raise RefusalError(422, f"{value!r} is not a time.") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


class Table:
    """
    Rows by id, oldest first, of which the oldest that may go are forgotten beyond a bound.

    Args:
        kind: What a row is called in messages: "Flow run".
        max_rows: How many rows are kept.
        max_bytes: How many bytes of request bodies the rows may stem from.
        may_go: Whether a row can be forgotten; rows still in use stay whatever the bound.
        on_gone: Told about each row that left, forgotten or removed.
    """

    def __init__(
        self,
        kind: str,
        *,
        max_rows: int = 10_000,
        max_bytes: int = 64 * 1024 * 1024,
        may_go: Callable[[Record], bool] = lambda record: True,
        on_gone: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self._kind = kind
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._may_go = may_go
        self._on_gone = on_gone
        self._rows: dict[str, Record] = {}
        self._sizes: dict[str, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._rows.values()))

    def add(self, record: Record, size_bytes: int = 0) -> Record:
        """Keep a new row, and forget old ones where the bounds ask for it."""
        self._rows[record["id"]] = record
        self._sizes[record["id"]] = size_bytes
        self._bytes += size_bytes
        while len(self._rows) > self._max_rows or self._bytes > self._max_bytes:
            oldest = islice(self._rows.values(), min(len(self._rows) - 1, _EVICTION_REACH))
            if (gone := next((row for row in oldest if self._may_go(row)), None)) is None:
                break
            self.remove(gone["id"])
        return record

    def get(self, record_id: str) -> Record | None:
        """Return the row of that id, or None."""
        return self._rows.get(record_id)

    def read(self, record_id: str) -> Record:
        """Return the row of that id; RefusalError when there is none."""
        record_id = parse_id(record_id)
        if (record := self._rows.get(record_id)) is None:
            raise RefusalError(404, f"{self._kind} {record_id} not found.")
        return record

    def remove(self, record_id: str) -> None:
        """Forget a row."""
        record = self._rows.pop(record_id)
        self._bytes -= self._sizes.pop(record_id)
        self._on_gone(record)

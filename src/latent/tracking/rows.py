"""
The table of rows of one run, as Parquet parts: what a million rows leave behind.

Everything here runs on the spool's thread, and pyarrow is imported there. The last part is written again,
with more rows in it, until it is full: so there are few parts, each is whole whenever it is read, and
none ever has to be merged.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from latent.config import ensure_private_dir
from latent.files import replace_file
from latent.tracking.arrow import table_from
from latent.tracking.folders import RunFolder
from latent.tracking.records import RowRecord

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

    from latent.config import Masker

PART_ROWS = 20_000
"""Rows in a full part."""
PART_BYTES = 16_000_000
"""Long error messages fill a part sooner, in bytes of memory."""
CHUNK_ROWS = 5_000
"""Rows that wait as Python objects; more become Arrow columns, which take a fraction of the memory."""
SAVE_SECONDS = 3.0
"""Rows are on disk at most so long after they were told."""
MAX_WAITING_ROWS = 500_000
"""While the disk takes nothing, so many are kept in memory."""
_SHARE_OF_TIME = 0.02
"""Writing takes at most this share of the thread: slow disks get larger steps."""

COLUMNS = {
    "task": "string",
    "index": "int64",
    "id": "string",
    "outcome": "string",
    "attempts": "int32",
    "started_at": "float64",
    "duration_seconds": "float64",
    "queue_seconds": "float64",
    "key": "string",
    "error_type": "string",
    "error": "string",
    "reason": "string",
    "cost_usd": "float64",
}
"""The columns of the table with their Arrow types; times are seconds."""


class RowParts:
    """
    The rows of one run on their way to `rows/part-*.parquet`.

    Args:
        folder: The run's.
        masker: Gives what hides secrets in ids and messages.
    """

    def __init__(self, folder: RunFolder, masker: Callable[[], Masker]) -> None:
        self._folder = folder
        self._masker = masker
        self._waiting: list[RowRecord] = []
        self._packed: list[pa.Table] = []
        """Rows that wait, older than those in `_waiting`."""
        self._part: list[pa.Table] = []
        """What the part that is being filled holds; the same as its file, except for what is unsaved."""
        self._number: int | None = None
        self._is_unsaved = False
        self._due = 0.0

    @property
    def has_unsaved(self) -> bool:
        """Whether rows were told that are not on disk yet."""
        return bool(self._waiting or self._packed) or self._is_unsaved

    def add(self, records: Sequence[RowRecord]) -> int:
        """Take rows; returns how many had to be given up, since the disk takes nothing for too long."""
        # While rows run there is time for it; at the end the user waits.
        import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401

        if not self.has_unsaved:
            self._due = max(self._due, time.monotonic() + SAVE_SECONDS)
        room = max(MAX_WAITING_ROWS - self._rows_waiting(), 0) if self._is_unsaved else len(records)
        for start in range(0, min(room, len(records)), CHUNK_ROWS):
            self._waiting.extend(records[start : min(start + CHUNK_ROWS, room)])
            if len(self._waiting) >= CHUNK_ROWS:
                self._pack()
        return max(len(records) - room, 0)

    def save(self, *, now: bool = False) -> None:
        """
        Write what is due, or with `now` everything.

        Raises:
            OSError: The disk is full or the folder cannot be written; nothing is lost, and nothing is halved.
            WorkspaceError: The same, for the folder.
        """
        is_due = now or time.monotonic() >= self._due or self._rows_waiting() >= PART_ROWS
        if not is_due or not self.has_unsaved:
            return
        began = time.monotonic()
        self._pack()
        self._write()  # what an earlier attempt could not write
        while self._packed:
            self._fill_part()
            self._write()
        ended = time.monotonic()
        self._due = ended + max(SAVE_SECONDS, (ended - began) / _SHARE_OF_TIME)

    def _rows_waiting(self) -> int:
        return len(self._waiting) + sum(map(len, self._packed))

    def _pack(self) -> None:
        if self._waiting:
            self._packed.append(table_of(self._waiting, self._masker()))
            self._waiting = []

    def _fill_part(self) -> None:
        """Move rows that wait into the part, at most until it is full."""
        room = PART_ROWS - sum(map(len, self._part))
        while self._packed and room > 0:
            table = self._packed.pop(0)
            if len(table) > room:
                self._packed.insert(0, table.slice(room))
                table = table.slice(0, room)
            self._part.append(table)
            self._is_unsaved = True
            room -= len(table)

    def _write(self) -> None:
        """Put the part, as it stands now, in the place of its file; once it is full, begin the next one."""
        if not self._is_unsaved:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.concat_tables(self._part).combine_chunks()
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        folder = ensure_private_dir(self._folder.rows_dir)
        if self._number is None:
            self._number = _first_free(self._folder)
        replace_file(folder / f"part-{self._number:05}.parquet", buffer.getvalue())
        self._is_unsaved = False
        if len(table) >= PART_ROWS or table.nbytes >= PART_BYTES:
            self._part, self._number = [], self._number + 1
        else:
            self._part = [table]


def table_of(records: Sequence[RowRecord], masker: Masker) -> pa.Table:
    """Rows as an Arrow table with the columns of `COLUMNS`, secrets in their texts masked."""
    columns: dict[str, list[Any]] = {
        name: list(values) for name, values in zip(RowRecord._fields, zip(*records, strict=True), strict=True)
    }
    errors = columns.pop("error")
    columns["error_type"] = [error and error.get("type") for error in errors]
    columns["error"] = [error and error.get("message") for error in errors]
    for name in ("id", "error", "reason"):
        columns[name] = _masked(columns[name], masker)
    return table_from(columns, COLUMNS)


def _masked(texts: list[str | None], masker: Masker) -> list[str | None]:
    """The texts without secrets; looked through in one go, since hardly ever is there one."""
    joined = "\n".join(text for text in texts if text is not None)
    if masker.text(joined) == joined:
        return texts
    return [text if text is None else masker.text(text) for text in texts]


def _first_free(folder: RunFolder) -> int:
    """Behind the parts that are there: a flow that is run again after a failure goes on in its folder."""
    numbers = [re.fullmatch(r"part-(\d+)\.parquet", path.name) for path in folder.rows_dir.iterdir()]
    return max((int(found[1]) + 1 for found in numbers if found), default=0)

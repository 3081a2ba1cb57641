"""Which rows are remembered, and what is left to do: all keys at once, all hits in one read."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.cache.code import code_fingerprint
from latent.errors import RunStoppedError
from latent.prefect.abstained import recalled_outcome
from latent.prefect.changed_arguments import applied
from latent.prefect.rows.ends import RowEnd
from latent.prefect.rows.job import Job, codes_of
from latent.prefect.rows.keys import MapKeys
from latent.prefect.scope import record_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from latent.cache import Hit
    from latent.cache.code import CodeFingerprint
    from latent.prefect.rows.columns import Columns
    from latent.prefect.rows.selection import Selection
    from latent.prefect.run import Run
    from latent.prefect.shared import Shared
    from latent.prefect.tasks import Task


MANY_ROWS = 1_000


class Planner:
    """
    Sorts the rows of one map.

    Args:
        selection: Which rows are computed again or left out, by the run's options.
        recalls: Whether remembered results count now; not while something is still waited for.
    """

    def __init__(
        self,
        task: Task[..., Any],
        run: Run,
        columns: Columns,
        shared: Shared,
        selection: Selection,
        *,
        recalls: bool,
    ) -> None:
        self.task, self.run, self.columns, self.shared, self.selection = task, run, columns, shared, selection
        self._recalls = recalls and not task.refreshes_in(run)
        self.code: CodeFingerprint | None = None
        if task.remembers_in(run) and task.counts_code and not task.users_key:
            self.code = code_fingerprint(task.fn, run.workspace.root)
        self._lock = Lock()
        self._keys = MapKeys(task, run, columns, shared)
        self.missed: dict[str, str] = {}
        """Why a row was not reused, by key, where something was remembered under it."""
        self.duplicates: dict[int, list[int]] = {}
        """Rows that ask for the same as an earlier one, by that one's index: they share its end."""
        self._first: dict[str, int] = {}
        self._ended: set[int] = set()
        """First ones that have ended, where later rows may still ask for the same."""

    def plan(self, indices: Sequence[int]) -> tuple[list[RowEnd], list[Job]]:
        """The rows that have ended already, and a job for each of the others but duplicates."""
        with self._lock, collector_paused(len(indices)):
            keys = self._keys.of(indices)
            hits = self._recall(keys)
            ends, jobs = [], []
            selects, accepts_cached = self.selection.is_active, self.task.accepts_cached
            for index, key in zip(indices, keys, strict=True):
                hit = None if key is None else hits.get(key)
                is_stale = hit is not None and accepts_cached is not None and not accepts_cached(hit.value)
                if hit is not None and not selects and not is_stale:
                    ends.append(self._remembered(index, key, hit))
                    continue
                refreshes = is_stale or (selects and self.selection.refreshes(index))
                if key is not None and self._ended and self._first.get(key) in self._ended:
                    # What an earlier row of this map remembered is as new as can be; else it is done again.
                    self._first[key], refreshes = index, False
                if hit is not None and not refreshes:
                    ends.append(self._remembered(index, key, hit))
                elif (reason := self.selection.leaves_out(index)) is not None:
                    ends.append(
                        RowEnd(index, "skipped", error=RunStoppedError(reason, self.task.name, index))
                    )
                elif not self._is_duplicate(index, key):
                    arguments, call_key = self.columns.ready(index), self._keys.call_key(index)
                    jobs.append(Job(index, arguments, call_key, refreshes=refreshes))
            return ends, jobs

    def known_keys(self) -> list[str]:
        """The keys of all rows that have one."""
        return self._keys.known()

    @property
    def may_have_duplicates(self) -> bool:
        """Whether rows wait for others that ask for the same, or still may."""
        return bool(self.duplicates) or self.columns.have_futures

    def duplicates_of(self, index: int) -> list[int]:
        """The rows that ask for the same as this one, which has ended; later ones are on their own."""
        if not self.columns.have_futures:
            return self.duplicates.pop(index, [])  # all rows were planned before the first one began
        with self._lock:
            self._ended.add(index)
            return self.duplicates.pop(index, [])

    def recalled(self, jobs: Sequence[Job]) -> dict[str, Hit]:
        """What is remembered of these rows by now, by key."""
        keys = [job.key.key for job in jobs if job.key is not None]
        return self.run.memory.recall_many(
            keys, code=self.code, parameter=self.run.parameter_fingerprint, codes=codes_of(jobs)
        )

    def copy_of(self, end: RowEnd, index: int) -> Any:
        """A row's value for another row that asks for the same; changing one spares the other."""
        if end.key is None:
            return end.value
        code = self._keys.codes.get(end.key, self.code)
        hit = self.run.memory.recall(end.key, code=code, parameter=self.run.parameter_fingerprint)
        return end.value if hit is None else applied(hit, self.columns.ready(index))

    def content_hash(self, index: int) -> str | None:
        """A hash of what the row alone was given; None when it has none."""
        return self._keys.content_hash(index)

    def _recall(self, known: Sequence[str | None]) -> dict[str, Hit]:
        """What is remembered, by key, read in one go."""
        keys = [key for key in known if key is not None]
        if not keys or not self._recalls:
            return {}
        hits = self.run.memory.recall_many(
            keys,
            code=self.code,
            parameter=self.run.parameter_fingerprint,
            missed=self.missed,
            codes=self._keys.codes,
        )
        for version in {id(hit.version): hit.version for hit in hits.values()}.values():
            record_read(version.parameters_read)
        if hits and self.task.inputs:
            record_read(self.run.read_datasets(self.shared.fingerprints))
        return hits

    def _remembered(self, index: int, key: str | None, hit: Hit) -> RowEnd:
        value = applied(hit, self.columns.ready(index)) if hit.outputs else hit.value
        return RowEnd(index, recalled_outcome(value), value, key=key)

    def _is_duplicate(self, index: int, key: str | None) -> bool:
        if key is None:
            return False
        first = self._first.setdefault(key, index)
        if first == index:
            return False
        self.duplicates.setdefault(first, []).append(index)
        return True


@contextmanager
def collector_paused(rows: int) -> Iterator[None]:
    """
    Keep Python from looking for garbage cycles while many rows are looked up and get their futures.

    Nothing here makes any, but each ten thousand rows would have it walk through everything that Prefect and
    pydantic keep in memory, which takes as long as the rows themselves.
    """
    if rows < MANY_ROWS or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

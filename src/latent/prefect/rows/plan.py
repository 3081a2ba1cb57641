"""Which rows are remembered, and what is left to do: all keys at once, all hits in one read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xxhash

from latent.cache.code import code_fingerprint, code_identity
from latent.cache.keys import RowKeys
from latent.errors import UnhashableError
from latent.prefect.futures import resolved
from latent.prefect.key import CallKey, call_key
from latent.prefect.rows.ends import RowEnd
from latent.prefect.rows.job import Job
from latent.prefect.scope import record_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from latent.cache import Hit
    from latent.cache.code import CodeFingerprint
    from latent.prefect.rows.columns import Columns
    from latent.prefect.rows.selection import Selection
    from latent.prefect.run import Run
    from latent.prefect.shared import Shared
    from latent.prefect.tasks import Task


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
        self._recalls = recalls and not task.refresh_cache
        self.code: CodeFingerprint | None = None
        if task.remembers and not task.users_key:
            self.code = code_fingerprint(task.fn, run.workspace.root)
        self._keys = self._row_keys()
        self.missed: dict[str, str] = {}
        """Why a row was not reused, by key, where something was remembered under it."""
        self.twins: dict[int, list[int]] = {}
        """Rows that ask for the same as an earlier one, by that one's index: they share its end."""
        self._first: dict[str, int] = {}
        self._contents: dict[int, str] = {}

    def _row_keys(self) -> RowKeys | None:
        """The quick way to keys: for tasks whose arguments alone make them."""
        if not self.task.remembers or self.task.users_key or self.task.inputs:
            return None
        try:
            hashes = {name: self.shared.hash_of(name, value) for name, value in self.columns.shared.items()}
        except UnhashableError:
            return None  # `call_key` explains it
        return RowKeys(self.task.name, hashes)

    def plan(self, indices: Iterable[int]) -> tuple[list[RowEnd], list[Job]]:
        """The rows that have ended already, and a job for each of the others but twins."""
        jobs = [self._job(index) for index in indices]
        hits = self._recall(jobs)
        ends, left = [], []
        for job in jobs:
            hit = None if job.key is None else hits.get(job.key.key)
            if hit is not None and not job.refreshes:
                ends.append(self._reused(job, hit))
            elif (reason := self.selection.leaves_out(job.index)) is not None:
                job.skip(self.task.name, reason)
                ends.append(job.end())
            elif not self._is_twin(job):
                left.append(job)
        return ends, left

    def recalled(self, jobs: Iterable[Job]) -> dict[str, Hit]:
        """What is remembered of these rows by now, by key."""
        keys = [job.key.key for job in jobs if job.key is not None]
        return self.run.memory.recall_many(keys, code=self.code, parameter=self.run.parameter_fingerprint)

    def copy_of(self, end: RowEnd) -> Any:
        """A row's value for another row that asks for the same; changing one spares the other."""
        if end.key is None:
            return end.value
        hit = self.run.memory.recall(end.key, code=self.code, parameter=self.run.parameter_fingerprint)
        return end.value if hit is None else hit.value

    def content_hash(self, index: int) -> str | None:
        """A hash of what the row alone was given; None when it has none."""
        return self._contents.get(index)

    def _job(self, index: int) -> Job:
        arguments = self.columns.arguments(index)
        if self.columns.have_futures:
            arguments = resolved(arguments, only_done=True)
        key = self._key(arguments)
        if key is not None:
            self._contents[index] = self._content(key)
        return Job(index, arguments, key, refreshes=self.selection.refreshes(index))

    def _content(self, key: CallKey) -> str:
        """A hash of the row's own arguments: what all rows share does not name one of them."""
        own = [key.parts[name] for name in self.columns.columns if name in key.parts]
        return (
            own[0] if len(own) == 1 else xxhash.xxh3_128_hexdigest("".join(own).encode() or key.key.encode())
        )

    def _key(self, arguments: dict[str, Any]) -> CallKey | None:
        if self._keys is not None:
            try:
                return CallKey(*self._keys.key(arguments, self._fallback))
            except UnhashableError:
                pass  # told below, with the argument's name
        return call_key(self.task, self.run, arguments, self.shared) if self.task.remembers else None

    @property
    def _fallback(self) -> Any:
        return code_identity(self.run.workspace.root)

    def _recall(self, jobs: Sequence[Job]) -> dict[str, Hit]:
        """What is remembered, by key, read in one go."""
        keys = [job.key.key for job in jobs if job.key is not None]
        if not keys or not self._recalls:
            return {}
        hits = self.run.memory.recall_many(
            keys, code=self.code, parameter=self.run.parameter_fingerprint, missed=self.missed
        )
        for read in {id(hit.entry.version): hit.entry.parameters_read for hit in hits.values()}.values():
            record_read(read)
        if hits and self.task.inputs:
            record_read(self.run.read_datasets(self.shared.fingerprints))
        return hits

    def _reused(self, job: Job, hit: Hit) -> RowEnd:
        return RowEnd(job.index, "cached", hit.value, key=hit.entry.key)

    def _is_twin(self, job: Job) -> bool:
        if job.key is None:
            return False
        first = self._first.setdefault(job.key.key, job.index)
        if first == job.index:
            return False
        self.twins.setdefault(first, []).append(job.index)
        return True

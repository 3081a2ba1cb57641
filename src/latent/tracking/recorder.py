"""The recorder of one flow run: what the engine tells of its work, in microseconds a call."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.config import ensure_private_dir
from latent.errors import WorkspaceError
from latent.tracking import binding, liveness
from latent.tracking.folders import RunFolder, destination, run_folder
from latent.tracking.journal import Journal
from latent.tracking.preview import shorten
from latent.tracking.spool import spool

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.tracking.records import (
        Direction,
        RowRecord,
        RunInfo,
        RunOutcome,
        SpanRecord,
        TaskRecord,
    )


class RunRecorder:
    """
    Records one run in its folder, and through the writer process in MLflow.

    Methods may be called from any thread. They queue and return; nothing here waits for a disk or a
    server, and no trouble there ever raises.
    """

    def __init__(self, workspace: Workspace, info: RunInfo, *, tracked: bool) -> None:
        self.workspace = workspace
        self.info = info
        self.folder: RunFolder = run_folder(workspace, info.run_id)
        self.target = destination(workspace)
        self.tracked = tracked
        self.finished = False
        self.mlflow_run: Any = None
        """MLflow's object for this run once user code asked for it; False when the store refused."""
        self.mlflow_run_lock = Lock()
        self.users_run: Any = None
        """MLflow's object for a run of the user's own that this run was started in."""
        self._preview_chars = workspace.settings.tracking.preview_chars
        self._journal = Journal(workspace, info, self.folder, self.target, tracked=tracked)

    @classmethod
    def start(cls, workspace: Workspace, info: RunInfo, *, tracked: bool | None = None) -> RunRecorder:
        """
        Begin to record a run: its folder exists when this returns; the writer is started elsewhere.

        Args:
            workspace: Where the run belongs.
            info: What is known of it.
            tracked: Whether MLflow is told; None asks the setting `tracking.enabled`. The run folder is
                written in any case.
        """
        tracked = workspace.settings.tracking.enabled if tracked is None else tracked
        recorder = cls(workspace, info, tracked=tracked)
        with suppress(OSError, WorkspaceError):  # said once by the journal, which tries again
            ensure_private_dir(recorder.folder.path)
        spool.attach(recorder._journal)
        started = {"holder": liveness.hold(workspace), "tell": recorder._tell_provenance}
        recorder._put("start", started)
        if tracked:
            binding.add(recorder)
        return recorder

    def task(self, record: TaskRecord) -> None:
        """Add one call of a task, or a bulk of rows, to the table of tasks."""
        spool.put(self._journal, record)

    def rows(self, records: Sequence[RowRecord]) -> None:
        """
        Add rows of a map to the table of rows, whatever else tells of them; the sequence is kept as it is.

        They are on disk within a few seconds, and once the run has finished or `flush` was called.
        """
        if records:
            self._put("rows", records)

    def span(self, record: SpanRecord) -> None:
        """Add a span that is not a task to the trace."""
        spool.put(self._journal, record)

    def dataset(
        self,
        name: str,
        direction: Direction,
        *,
        fingerprint: str | None = None,
        path: str | Path | None = None,
        rows: int | None = None,
    ) -> None:
        """Say that the run loaded or saved the dataset `name`; `path` is its file, folder or address."""
        content = {
            "name": name,
            "direction": direction,
            "fingerprint": fingerprint,
            "path": None if path is None else str(path),
            "rows": rows,
            "at": time.time(),
        }
        self._put("dataset", content)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Log one number in the run's MLflow run."""
        # JSON has no NaN and no infinity; their names are read back as what they are.
        number = float(value)
        shown = number if number - number == 0 else str(number)
        self._put("metric", {"name": name, "value": shown, "step": step or 0, "at": time.time()})

    def finish(
        self,
        outcome: RunOutcome,
        error: Mapping[str, Any] | None = None,
        result_preview: Any = None,
        models: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """
        Close the account: `error` as `describe_error` makes it, `result_preview` as `preview` does.

        Args:
            models: Of each model by its name: `calls`, `unpriced` of them, `amounts` by name, `cost_usd`.
        """
        self.finished = True
        if self.tracked:
            binding.remove(self)
        content = {
            "outcome": outcome,
            "finished_at": time.time(),
            "error": None if error is None else dict(error),
            "result_preview": result_preview,
            "models": {name: dict(account) for name, account in (models or {}).items()},
        }
        self._put("finish", content)

    def flush(self, timeout_seconds: float | None = None) -> bool:
        """
        Wait until everything told so far is in the run's folder, at most `timeout_seconds`.

        None waits as long as the setting `tracking.flush_seconds` allows. MLflow is not waited for:
        `wait_for_tracking` does that.
        """
        bound = self.workspace.settings.tracking.flush_seconds if timeout_seconds is None else timeout_seconds
        self._put("flush", {})
        return spool.flush(bound) and not self._journal.has_unsaved

    def preview(self, value: Any) -> Any:
        """`value` shortened to what spans and errors show of it; texts that are cut are masked first."""
        return shorten(value, self._preview_chars, mask=self._mask)

    @contextmanager
    def active(self) -> Iterator[RunRecorder]:
        """Make this the run that MLflow calls in the user's code belong to, in this thread and context."""
        token = binding.current.set(self)
        try:
            yield self
        finally:
            binding.current.reset(token)

    def _mask(self, text: str) -> str:
        return self._journal.masker.text(text)

    def _tell_provenance(self, found: Mapping[str, Any]) -> None:
        self._put("provenance", found)

    def _put(self, kind: str, content: Mapping[str, Any] | Sequence[RowRecord]) -> None:
        spool.put(self._journal, (kind, content))


def current_recorder() -> RunRecorder | None:
    """The recorder of the run that this thread or coroutine works for; None outside of runs."""
    return binding.current.get()

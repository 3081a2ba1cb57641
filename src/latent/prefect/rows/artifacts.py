"""What the Prefect UI shows of a batch beside its state."""

from __future__ import annotations

from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from uuid import UUID

    from latent.prefect.rows.ends import RowEnd

ARTIFACT_SECONDS = 10.0
"""A batch waits so long for an artifact (the first one imports Prefect's client); then it goes without."""

MAX_FAILURES_SHOWN = 200
"""Failed rows listed in a batch's table artifact; the run's table of rows has them all."""


class Artifacts:
    """What the Prefect UI shows of a batch; nothing here can harm its rows."""

    def __init__(self, task_name: str, label: str) -> None:
        self._title = f"{task_name}, {label}"
        self._progress: UUID | None = None
        self._broken = False

    @property
    def shows_progress(self) -> bool:
        """Whether it took long enough for a bar to be shown."""
        return self._progress is not None

    def move(self, counts: Counter[str], total: int) -> None:
        """Show how many rows have ended."""
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        percent = 100.0 * counts.total() / max(total, 1)
        description = f"{self._title}: {counted(counts)}"
        if self._progress is None:
            self._progress = self._try(create_progress_artifact, progress=percent, description=description)
        else:
            self._try(
                update_progress_artifact,
                artifact_id=self._progress,
                progress=percent,
                description=description,
            )

    def tell_failures(self, ends: Sequence[Any], row_id: Any) -> None:
        """List failed rows with their causes."""
        if not ends:
            return
        from prefect.artifacts import create_table_artifact

        table = [
            {"row": end.index, "id": row_id(end.index), "attempts": end.attempts, "error": _cause(end)}
            for end in ends[:MAX_FAILURES_SHOWN]
        ]
        self._try(create_table_artifact, table=table, description=f"{self._title}: {len(ends):,} failed rows")

    def _try(self, make: Any, **content: Any) -> Any:
        """
        What `make` returns, if it does so soon.

        On a thread of its own: Prefect asks a server that has vanished again and again for minutes, and that
        must not keep rows, which are remembered without it, from ending.
        """
        if self._broken:
            return None
        made: list[Any] = []

        def attempt() -> None:
            with suppress(Exception):
                made.append(make(**content, _sync=True))

        thread = Thread(target=copy_context().run, args=(attempt,), name="latent-artifact", daemon=True)
        thread.start()
        thread.join(ARTIFACT_SECONDS)
        self._broken = not made
        return made[0] if made else None


def _cause(end: RowEnd) -> str:
    original = getattr(end.error, "original_error", end.error)
    return f"{type(original).__name__}: {getattr(end.error, 'original_text', original)}"


def counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items()) or "no rows"

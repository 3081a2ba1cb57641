"""How far each task of a run is, and how fast it gets on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from latent.cli.terminal import printable

if TYPE_CHECKING:
    from latent.prefect.outcomes import Outcomes, TaskAccount

_PACE_SECONDS = 20.0
"""The pace is that of the last so many seconds, where rows take no longer."""
_ROUNDS = 2
"""It goes back so many times what a row takes: rows that began together end together, and then none does."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one task is."""

    name: str
    rows: int
    """Rows that were mapped; 0 for a task that is only called."""
    done: int
    """Rows or calls that have ended; those that were skipped did not even begin."""
    reused: int
    failed: int
    skipped: int
    running: int
    seconds: float
    """Since its first call began."""
    per_second: float | None
    """Rows that end in a second, the reused ones left out; None while that cannot be told."""
    cost_usd: float | None
    left_out: int = 0
    """Those of the skipped rows that nobody asked for."""

    @property
    def is_over(self) -> bool:
        return self.done + self.skipped >= self.rows and not self.running

    @property
    def is_stopping(self) -> bool:
        """Whether no further row begins, and those under way are waited for."""
        return self.skipped > self.left_out and not self.is_over

    @property
    def left_seconds(self) -> float | None:
        """How long the rest of the rows will take at this pace; None when that cannot be told."""
        left = self.rows - self.done - self.skipped
        return left / self.per_second if left > 0 and self.per_second and not self.is_stopping else None


class Pace:
    """How fast rows of one task end: over the last seconds, or since they began while few have."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._first = (0.0, 0)
        self._at_once = 1

    def per_second(self, now: float, executed: int, at_once: int = 1) -> float | None:
        """
        Rows a second.

        Args:
            now: Monotonic seconds.
            executed: Rows that have ended so far and were not reused.
            at_once: Rows that are under way now.
        """
        self._at_once = max(self._at_once, at_once)
        if not self._seen:
            self._first = (now, executed)
        if not self._seen or self._seen[-1][1] != executed:
            self._seen.append((now, executed))
            # Only when a row ends: while none does, the pace must not rise.
            self._forget(now - max(_PACE_SECONDS, _ROUNDS * self._row_seconds(now, executed)))
        began, before = self._seen[0]
        if executed == before or now - began < 0.5:
            return None
        return (executed - before) / (now - began)

    def _forget(self, since: float) -> None:
        while len(self._seen) > 2 and self._seen[1][0] < since:
            self._seen.popleft()

    def _row_seconds(self, now: float, executed: int) -> float:
        """What a row takes, with as many at once as there were at most: by Little's law."""
        began, before = self._first
        return self._at_once * (now - began) / (executed - before) if executed > before else 0.0


class Watch:
    """Looks at a run's account and says how far each task is."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._paces: dict[str, Pace] = {}
        self._since: dict[str, float] = {}

    def look(self, now: float) -> list[Progress]:
        """The tasks in the order in which they were first called; `now` in monotonic seconds."""
        return [self._progress(name, account, now) for name, account in list(self._outcomes.tasks.items())]

    def _progress(self, name: str, account: TaskAccount, now: float) -> Progress:
        counts = dict(account.counts)
        reused, skipped = counts.get("cached", 0), counts.get("skipped", 0)
        done = sum(counts.values()) - skipped
        running = max(account.running, 0)
        is_over = done + skipped >= account.planned and not running
        since = self._since.setdefault(name, now)
        measured = account.seconds if is_over and account.began_at != inf else now - since
        pace = self._paces.setdefault(name, Pace()).per_second(now, done - reused, running)
        return Progress(
            name=printable(name),
            rows=account.planned,
            done=done,
            reused=reused,
            failed=counts.get("failed", 0),
            skipped=skipped,
            running=running,
            seconds=measured,
            per_second=pace,
            cost_usd=account.cost_usd,
            left_out=account.left_out,
        )

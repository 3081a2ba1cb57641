"""
What a run is doing while it runs: tasks, rows done, reused and failed, the pace, and how long it will take.

On a terminal a few lines at its bottom, several times a second; where a program reads, a plain line now and
then. A run that is over in a moment shows nothing.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import inf
from threading import Event, Thread
from typing import TYPE_CHECKING

import typer

from latent.cli.terminal import align, is_terminal, printable
from latent.cli.wording import duration, money

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


logger = logging.getLogger("latent.cli")

_DRAW_SECONDS = 0.125
_FEW_ROWS = 5
_QUIET_SECONDS = 1.0
"""Nothing is shown of what is over sooner."""
_QUIET_ROWS_SECONDS = 0.3
"""The same for maps, which have something to tell sooner."""
_LINE_SECONDS = 10.0
"""A plain line comes so often, the first one too, and after that with every tenth of the rows."""
_SHORTEST_LINE_SECONDS = 1.0
_LONGEST_LINE_SECONDS = 60.0
_BAR_WIDTH = 20
_TASKS_SHOWN = 12


@contextmanager
def live_view(outcomes: Outcomes) -> Iterator[None]:
    """Show how far the run is while the block runs."""
    watch, over = Watch(outcomes), Event()
    with ExitStack() as cleanup:
        tick = _drawing(cleanup) if is_terminal(sys.stderr) else Lines()
        began = time.monotonic()

        def follow() -> None:
            while not over.wait(_DRAW_SECONDS):
                now = time.monotonic()
                try:
                    tick(watch.look(now), now - began)
                except Exception:  # whatever the terminal does, the run goes on
                    logger.debug("The live view has ended.", exc_info=True)
                    return

        thread = Thread(target=follow, name="latent-live-view", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(2)


def _drawing(cleanup: ExitStack) -> Callable[[Sequence[Progress], float], None]:
    """Draws on the terminal, once there is something to show; `cleanup` takes it away again."""
    from latent.cli.screen import Screen, writing_above

    screen: Screen | None = None

    def draw(tasks: Sequence[Progress], seconds: float) -> None:
        nonlocal screen
        if screen is None:
            if not worth_showing(tasks, seconds):
                return
            screen = Screen(sys.stderr)
            cleanup.push(suppress(OSError, ValueError))  # the terminal may be gone by then
            cleanup.callback(screen.clear)
            cleanup.enter_context(writing_above(screen))
        screen.draw(drawn(tasks, seconds))

    return draw


def worth_showing(tasks: Sequence[Progress], seconds: float) -> bool:
    """Whether the run takes long enough to be looked at: a second, less when many rows are under way."""
    many = any(task.rows > _FEW_ROWS and not task.is_over for task in tasks)
    return bool(tasks) and seconds >= (_QUIET_ROWS_SECONDS if many else _QUIET_SECONDS)


def drawn(tasks: Sequence[Progress], seconds: float) -> list[str]:
    """The lines for a terminal: one for each task, at most a dozen, those that go on rather than others."""
    going = sorted(range(len(tasks)), key=lambda number: tasks[number].is_over)[:_TASKS_SHOWN]
    chosen = [tasks[number] for number in sorted(going)]
    cells = [[task.name, _bar(task), *facts(task)] for task in chosen]
    used = [column for column in zip(*cells, strict=True) if any(column)]
    more = f", and {len(tasks) - len(chosen):,} more tasks" if len(tasks) > len(chosen) else ""
    return [*align(list(zip(*used, strict=True))), f"{duration(seconds)} so far{more}"]


def facts(task: Progress) -> list[str]:
    """What there is to say of a task, always the same number of texts; empty where there is nothing."""
    done = f"{task.done:,} of {task.rows:,} rows" if task.rows else f"{task.done:,} done" if task.done else ""
    return [
        done,
        f"{task.reused:,} reused" if task.reused else "",
        f"{task.failed:,} failed" if task.failed else "",
        f"{task.skipped:,} skipped" if task.skipped else "",
        "" if task.per_second is None or task.is_over or not task.rows else _pace(task.per_second),
        "stopping" if task.is_stopping else _time(task),
        "" if task.cost_usd is None else money(task.cost_usd),
    ]


def _time(task: Progress) -> str:
    left = task.left_seconds
    return duration(task.seconds) if left is None else f"{_rounded(left)} left"


def _rounded(seconds: float) -> str:
    """A guess is not a measurement: whole seconds are exact enough."""
    return f"{max(round(seconds), 1)} s" if seconds < 59.5 else duration(seconds)


def _pace(per_second: float) -> str:
    if per_second >= 0.95:
        return f"{per_second:,.1f}/s" if per_second < 9.95 else f"{per_second:,.0f}/s"
    return f"{per_second * 60:.1f}/min"


def _bar(task: Progress) -> str:
    if not task.rows:
        return ""
    full = round(_BAR_WIDTH * min(task.done / task.rows, 1.0))
    done, rest = ("━", "─") if (sys.stderr.encoding or "").lower().startswith("utf") else ("#", "-")
    return done * full + rest * (_BAR_WIDTH - full)


class Lines:
    """
    Plain lines for logs: how far each task is, now and then.

    Args:
        say: Gets each line.
    """

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say or (lambda line: typer.echo(line, err=True))
        self._told: dict[str, _Told] = {}

    def __call__(self, tasks: Sequence[Progress], seconds: float) -> None:
        """Say what is due, `seconds` after the run began."""
        for task in tasks:
            told = self._told.get(task.name)
            if _is_due(task, told, seconds):
                self._say(f"{task.name}: {', '.join(fact for fact in facts(task) if fact)}")
                self._told[task.name] = _Told(
                    seconds, _tenths(task), task.is_over, told.lines + 1 if told else 1
                )


@dataclass(frozen=True, slots=True)
class _Told:
    """What was last said of a task."""

    at_seconds: float
    tenths: int
    is_over: bool
    lines: int


def _is_due(task: Progress, told: _Told | None, seconds: float) -> bool:
    if told is None:
        return task.seconds >= _LINE_SECONDS and not task.is_over
    if task.is_over:
        return bool(task.rows) and not told.is_over  # a call's end is told by what follows
    since = seconds - told.at_seconds
    if not task.rows:  # nothing to say but that it goes on
        return since >= min(_LINE_SECONDS * told.lines, _LONGEST_LINE_SECONDS)
    return since >= _LINE_SECONDS or (since >= _SHORTEST_LINE_SECONDS and _tenths(task) > told.tenths)


def _tenths(task: Progress) -> int:
    return 10 * task.done // task.rows if task.rows else 0

"""
What a run is doing while it runs: tasks, rows done, reused and failed, the pace, and how long it will take.

On a terminal a few lines at its bottom, several times a second; where a program reads, a plain line now and
then. A run that is over in a moment shows nothing.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING

import typer

from latent.cli.progress import Progress, Watch
from latent.cli.terminal import align, is_terminal
from latent.cli.wording import duration, money

if TYPE_CHECKING:
    from latent.prefect.outcomes import Outcomes

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
    """A guess is no measurement: whole seconds are exact enough."""
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
    Plain lines for whoever reads them later: how far each task is, now and then.

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

"""
Which change made which rows flip, where several things changed at once; and how many flips are noise.

Between the old evaluation and the new one lie cells in which only some of the causes have changed. A way from
the one to the other changes one cause after the other. A flip is due to the cause with which its score
changes, on every way; where the ways disagree, or a score changes twice, several causes made it together.
The effect of a cause on the mean is the change with it, averaged over the ways (Shapley 1953, A value for
n-person games): the effects add up to the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, permutations
from typing import TYPE_CHECKING

from latent.errors import RunStoppedError
from latent.evals.comparing.cells import Cell, Cells
from latent.evals.comparing.comparison import Comparison
from latent.evals.comparing.metric import Flip
from latent.evals.comparing.pairing import RowScores, scores_of, value_of
from latent.evals.evaluating import PLANNED, in_a_run
from latent.evals.evaluation import Evaluation
from latent.evals.stats.estimate import Estimate
from latent.evals.stats.mean import mean_interval

if TYPE_CHECKING:
    from pathlib import Path

Value = float | str
Way = tuple[str, ...]

TOGETHER, NOISE, UNKNOWN = "several together", "noise", "unknown"
"""What flips are due to beside a cause: to none alone, to chance, or to what cannot be computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseShare:
    """What one cause did to a metric."""

    cause: str
    """`prompt`, `model`, `target`, `answers`, `scorer`."""
    flips: int
    """Rows whose score changed with it, and with nothing else."""
    effect: Estimate | None
    """Its part of the mean difference; None for labels, and where cells are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCauses:
    """The flips of one metric, each counted once."""

    metric: str
    flips: int
    shares: tuple[CauseShare, ...]
    together: int
    """Flips that no cause makes alone."""
    noise: int | None
    """Flips that are gone when both sides are asked again; None where they could not be."""
    unknown: int
    """Flips whose cells could not be computed."""
    rows: Mapping[str, str] = field(default_factory=dict)
    """Of each flip, by the row's id: its cause, `noise`, `several together` or `unknown`."""


@dataclass(frozen=True, slots=True)
class Causes:
    """Why two evaluations differ; `print(causes)` shows it."""

    comparison: Comparison
    metrics: Mapping[str, MetricCauses]
    notes: Sequence[str]
    """What could not be made again from the records."""

    def __str__(self) -> str:
        from latent.evals.comparing.text import causes_text

        return causes_text(self)

    def export(self, path: str | Path) -> Path:
        """Write the page or the Markdown to a file, as `Comparison.export` does."""
        from latent.evals.page.comparison import export_comparison

        return export_comparison(self, path)


def find_causes(comparison: Comparison) -> Causes:
    """
    The causes of a comparison's flips; computes what is missing, in the run around or in one of its own.

    Raises:
        RunStoppedError: It was only planned, and something is not remembered.
    """
    return in_a_run("comparison", lambda: _found(comparison))


def _found(comparison: Comparison) -> Causes:
    cells = Cells(comparison)
    flips: dict[str, list[Flip]] = {name: [] for name in comparison.metrics}
    for flip in comparison.flips:
        flips[flip.metric].append(flip)
    scores = {
        name: {
            cell: found
            for cell in _cells(cells.causes_of(name))
            if (found := cells.scores(name, cell)) is not None
        }
        for name in flips
    }
    noise = _Noise(cells, flips)
    metrics = {name: _causes(comparison, cells, name, flips[name], scores[name], noise) for name in flips}
    _raise_if_planned(cells)
    return Causes(comparison, metrics, cells.notes)


def _raise_if_planned(cells: Cells) -> None:
    from latent.prefect import current_run

    run = current_run()
    if run is not None and run.cost_plan is not None and not run.cost_plan.is_empty:
        raise RunStoppedError(PLANNED, cells.new.name)


def _cells(causes: Sequence[str]) -> Iterator[Cell]:
    for count in range(len(causes) + 1):
        yield from map(frozenset, combinations(causes, count))


def _causes(
    comparison: Comparison,
    cells: Cells,
    name: str,
    flips: Sequence[Flip],
    scores: Mapping[Cell, Mapping[str, RowScores]],
    noise: _Noise,
) -> MetricCauses:
    causes = cells.causes_of(name)
    ways = known_ways(causes, scores)
    rows = {}
    for flip in flips:
        values = {cell: value_of(found[flip.id]) for cell, found in scores.items() if flip.id in found}
        # Where nothing on record is another one, the answers alone are, and that is noise.
        is_noise = noise.made(flip) or (not causes and noise.is_unknown(name))
        rows[flip.id] = NOISE if is_noise else cause_of(values, causes) or UNKNOWN
    found = list(rows.values())
    return MetricCauses(
        metric=name,
        flips=len(flips),
        shares=tuple(
            CauseShare(
                cause=cause, flips=found.count(cause), effect=_effect(comparison, name, cause, ways, scores)
            )
            for cause in causes
        ),
        together=found.count(TOGETHER),
        noise=None if noise.is_unknown(name) and causes else found.count(NOISE),
        unknown=found.count(UNKNOWN),
        rows=rows,
    )


def known_ways(causes: Sequence[str], cells: Mapping[Cell, object]) -> list[Way]:
    """The orders in which the causes can change so that every cell on the way is known."""
    return [way for way in permutations(causes) if all(cell in cells for cell in _steps(way))]


def _steps(way: Way) -> list[Cell]:
    return [frozenset(way[:count]) for count in range(len(way) + 1)]


def cause_of(values: Mapping[Cell, Value | None], causes: Sequence[str]) -> str | None:
    """
    The cause with which a row's score changes on every way; `TOGETHER` where there is no such one.

    None where no way is known: a cell is missing, or the row has no score in it.
    """
    known = {cell: value for cell, value in values.items() if value is not None}
    found = set()
    for way in known_ways(causes, known) if causes else ():
        steps = [known[cell] for cell in _steps(way)]
        found.add(tuple(cause for cause, (was, now) in zip(way, pairwise(steps), strict=True) if was != now))
    if not found:
        return None
    first = next(iter(found))
    return first[0] if len(found) == 1 and len(first) == 1 else TOGETHER


def _effect(
    comparison: Comparison,
    name: str,
    cause: str,
    ways: Sequence[Way],
    scores: Mapping[Cell, Mapping[str, RowScores]],
) -> Estimate | None:
    metric = comparison.new.metrics[name]
    if not ways or metric.kind == "label":
        return None
    used = {cell for way in ways for cell in _steps(way)}
    means = {
        key: {cell: scores[cell][key].mean for cell in used}
        for key in comparison.ids
        if all(key in scores[cell] and scores[cell][key].mean is not None for cell in used)
    }
    steps = [(frozenset(way[: way.index(cause)]), frozenset(way[: way.index(cause) + 1])) for way in ways]
    changes = [
        sum((cells[after] or 0.0) - (cells[before] or 0.0) for before, after in steps) / len(ways)
        for cells in means.values()
    ]
    width = None if metric.scale is None else metric.scale[1] - metric.scale[0]
    return mean_interval(
        changes,
        scale=None if width is None else (-width, width),
        clusters=comparison.clusters(list(means)),
        level=comparison.level,
    )


class _Noise:
    """
    Whether flips are still there when both sides are asked again.

    A side that was asked repeatedly has these answers; another one is asked once more, about the rows that
    flipped alone. Each again of the old side is held against each of the new one: a flip that fewer than half
    of them show is noise.
    """

    def __init__(self, cells: Cells, flips: Mapping[str, Sequence[Flip]]) -> None:
        ids = list(dict.fromkeys(flip.id for each in flips.values() for flip in each))
        self._sides = [_agains(cells, side, flips, ids) for side in (cells.old, cells.new)]

    def is_unknown(self, metric: str) -> bool:
        return any(metric not in side for side in self._sides)

    def made(self, flip: Flip) -> bool:
        """Whether it is noise; False also where nothing is known."""
        old, new = (side.get(flip.metric, {}).get(flip.id, ()) for side in self._sides)
        if not old or not new:
            return False
        shown = sum(_shows(flip, before, after) for before in old for after in new)
        return shown < len(old) * len(new) / 2


def _shows(flip: Flip, before: Value, after: Value) -> bool:
    if isinstance(before, str) or isinstance(after, str):
        return before != after
    is_up = float(flip.new) > float(flip.old)
    return after > before if is_up else after < before


Agains = dict[str, dict[str, tuple[Value, ...]]]


def _agains(
    cells: Cells, side: Evaluation, flips: Mapping[str, Sequence[Flip]], ids: Sequence[str]
) -> Agains:
    """Further scores of one side, by metric and row."""
    if not ids:
        return {name: {} for name in flips}
    if side.about["repeats"] > 1:
        return {name: _each(scores_of(side, name)) for name in flips}
    answered = cells.again(side, ids)
    if answered is None:
        return {}
    found: Agains = {}
    names = dict.fromkeys(side.metrics[name].scorer for name, each in flips.items() if each)
    for name in names:
        if (scorer := cells.scorer(side, name)) is not None:
            measured = cells.measured([scorer], answered, cells.items_of(ids))
            found |= {metric: _each(by_row) for metric, by_row in measured.items()}
    return {**{name: {} for name, each in flips.items() if not each}, **found}


def _each(by_row: Mapping[str, RowScores]) -> dict[str, tuple[Value, ...]]:
    return {key: each.labels or each.values for key, each in by_row.items()}

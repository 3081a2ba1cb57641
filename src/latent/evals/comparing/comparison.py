"""`compare`: how evaluations of the same rows differ, and what of that cannot be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from latent.errors import ComparisonError
from latent.evals.comparing.changes import Change, changes_between
from latent.evals.comparing.pairing import Pairs, Row, RowScores, paired, rows_of, scores_of
from latent.evals.evaluation import Evaluation, load_evaluation
from latent.evals.metrics import Metric
from latent.evals.stats.paired import Difference, paired_difference

if TYPE_CHECKING:
    from pathlib import Path

LEAST_OVERLAP = 0.8
"""With fewer rows in common, two evaluations are about different things."""

Verdict = Literal["better", "worse", "higher", "lower", "no difference seen", "undecided", "not compared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComparison:
    """One metric in two evaluations, over the rows that both have."""

    name: str
    old: float | None
    """Its mean over the pairs; None when there are none, and for labels."""
    new: float | None
    pairs: int
    """Rows that have a score in both."""
    missing_old: int
    """Rows that should have a score and have none, in the old one."""
    missing_new: int
    difference: Difference | None
    """New - old; None for labels, and where nothing is paired."""
    verdict: Verdict
    is_other_scorer: bool = False
    """Whether the scorer, or its judge, is another one now: the numbers mean different things."""
    unit: str | None = None

    @property
    def sentence(self) -> str:
        """What can be concluded."""
        difference = self.difference
        if difference is None or difference.estimate.value is None:
            return f"{self.name}: no row has a score in both."
        seen = f"{difference.estimate.value:+.3f} ({_interval(difference)})"
        if self.verdict in ("better", "worse", "higher", "lower"):
            return f"{self.name} is {self.verdict}: {seen}."
        if self.verdict == "undecided":
            missing = self.missing_old + self.missing_new
            return f"{self.name}: {seen} where both have a score, but the {missing:,} missing could turn it."
        limit = difference.detectable
        unseen = "" if limit is None else f"; one below {limit:.3f} could not be seen"
        needed = difference.rows_needed
        enough = "" if needed is None else f", and it would take {needed:,} rows"
        return f"{self.name}: no difference seen, {seen}{unseen}{enough}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A row whose score is another one now."""

    id: str
    metric: str
    old: float | str
    new: float | str
    row: Row
    """The row, with the old answers."""
    new_outputs: tuple[str | None, ...]

    @property
    def answers(self) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
        """The old answers and the new ones, of each repeat."""
        return self.row.outputs, self.new_outputs


class Comparison:
    """Two evaluations of the same rows; `print(comparison)` shows what differs."""

    def __init__(self, old: Evaluation, new: Evaluation, *, level: float = 0.95) -> None:
        self.old, self.new, self.level = old, new, level
        self._old_rows, self._new_rows = rows_of(old), rows_of(new)
        self.pairs: Pairs = paired(self._old_rows, self._new_rows)

    @cached_property
    def metrics(self) -> dict[str, MetricComparison]:
        """Each metric that both have, in the new one's order."""
        names = [
            name
            for name, metric in self.new.metrics.items()
            if name in self.old.metrics and not metric.is_derived
        ]
        return {name: self._compared(name) for name in names}

    @cached_property
    def changes(self) -> list[Change]:
        """What else differs: data, target, prompt, scorers."""
        return changes_between(self.old.about, self.new.about)

    @cached_property
    def flips(self) -> list[Flip]:
        """Each row whose score is another one, metric by metric."""
        return [flip for name in self.metrics for flip in self._flips(name)]

    def _scores(self, name: str) -> tuple[dict[str, RowScores], dict[str, RowScores]]:
        same = set(self.pairs.ids)
        old, new = scores_of(self.old, name), scores_of(self.new, name)
        return (
            {key: value for key, value in old.items() if key in same},
            {key: value for key, value in new.items() if key in same},
        )

    def _compared(self, name: str) -> MetricComparison:
        old, new = self._scores(name)
        was, now = self.old.metrics[name], self.new.metrics[name]
        ids = [key for key in self.pairs.ids if key in old and key in new]
        both = [key for key in ids if old[key].mean is not None and new[key].mean is not None]
        difference = None
        if both and "label" not in (was.kind, now.kind):
            difference = self._difference(
                [new[key].mean for key in both], [old[key].mean for key in both], both, now
            )
        return MetricComparison(
            name=name,
            old=None if difference is None else _mean([old[key].mean for key in both]),
            new=None if difference is None else _mean([new[key].mean for key in both]),
            pairs=len(both),
            missing_old=sum(bool(old[key].missing) for key in ids),
            missing_new=sum(bool(new[key].missing) for key in ids),
            difference=difference,
            verdict=self._verdict(difference, old, new, ids, now),
            is_other_scorer=was.version != now.version,
            unit=now.unit,
        )

    def _difference(
        self, new: Sequence[float | None], old: Sequence[float | None], ids: Sequence[str], metric: Metric
    ) -> Difference:
        column = self.new.about.get("cluster")
        clusters = None if column is None else [self._cluster(key, column) for key in ids]
        return paired_difference(
            [float(value or 0.0) for value in new],
            [float(value or 0.0) for value in old],
            scale=metric.scale,
            clusters=clusters,
            level=self.level,
        )

    def _cluster(self, row_id: str, column: str) -> str:
        value = self._new_rows[row_id].column(column)
        return f"row {row_id}" if value is None else str(value)

    def _verdict(
        self,
        difference: Difference | None,
        old: Mapping[str, RowScores],
        new: Mapping[str, RowScores],
        ids: Sequence[str],
        metric: Metric,
    ) -> Verdict:
        """
        Whether the interval clears zero, and would also if what is missing spoke against it.

        Rows are seldom missing by chance: a system that fails on hard rows looks better on the others.
        """
        direction = _direction(difference)
        if difference is None:
            return "not compared"
        if direction == 0:
            return "no difference seen"
        if any(old[key].missing or new[key].missing for key in ids):
            least, most = self._extremes(old, new, ids, metric)
            if _direction(least if direction > 0 else most) != direction:
                return "undecided"
        if metric.higher_is_better is None:
            return "higher" if direction > 0 else "lower"
        return "better" if (direction > 0) == metric.higher_is_better else "worse"

    def extremes(self, name: str) -> tuple[Difference | None, Difference | None]:
        """The difference if what is missing spoke for the old one, and for the new; None without a scale."""
        old, new = self._scores(name)
        ids = [key for key in self.pairs.ids if key in old and key in new]
        return self._extremes(old, new, ids, self.new.metrics[name])

    def _extremes(
        self, old: Mapping[str, RowScores], new: Mapping[str, RowScores], ids: Sequence[str], metric: Metric
    ) -> tuple[Difference | None, Difference | None]:
        if metric.scale is None:
            return None, None
        low, high = metric.scale
        least, most = (
            self._difference(
                [new[key].mean_if(of_new) for key in ids],
                [old[key].mean_if(of_old) for key in ids],
                ids,
                metric,
            )
            for of_new, of_old in ((low, high), (high, low))
        )
        return least, most

    def _flips(self, name: str) -> list[Flip]:
        old, new = self._scores(name)
        found = []
        for key in self.pairs.ids:
            if key not in old or key not in new:
                continue
            was, now = _value(old[key]), _value(new[key])
            if was is not None and now is not None and was != now:
                found.append(
                    Flip(
                        id=key, metric=name, old=was, new=now, row=self._old_rows[key],
                        new_outputs=self._new_rows[key].outputs,
                    )
                )  # fmt: skip
        return found

    def __str__(self) -> str:
        from latent.evals.comparing.text import comparison_text

        return comparison_text(self)


def compare(
    old: Evaluation | str | Path, new: Evaluation | str | Path, *, force: bool = False, level: float = 0.95
) -> Comparison:
    """
    How the new evaluation differs from the old one, row by row.

    Args:
        old: An evaluation, or what `load_evaluation` takes: a run's id, the beginning of it, a folder.
        force: Compare although few rows are the same, or a scorer is another one now.
        level: Of the intervals.

    Raises:
        ComparisonError: Fewer than four of five rows are the same in both, or a scorer (its code, its
            options, its judge) is another one now: the numbers would mean different things.
        EvaluationNotFoundError: There is no such evaluation.
    """
    made = Comparison(_loaded(old), _loaded(new), level=level)
    if not force:
        _check(made)
    return made


def _loaded(given: Evaluation | str | Path) -> Evaluation:
    return given if isinstance(given, Evaluation) else load_evaluation(given)


def _check(made: Comparison) -> None:
    pairs = made.pairs
    if pairs.overlap < LEAST_OVERLAP:
        raise ComparisonError(
            made.old.run_id,
            made.new.run_id,
            f"only {len(pairs.ids):,} rows are the same in both ({len(pairs.changed):,} of the same id have "
            f"other content, {len(pairs.added):,} are new, {len(pairs.removed):,} are gone)",
        )
    if not set(made.old.metrics) & set(made.new.metrics):
        raise ComparisonError(made.old.run_id, made.new.run_id, "they have no metric in common")
    others = sorted(
        {
            metric.scorer
            for name, metric in made.new.metrics.items()
            if name in made.old.metrics and made.old.metrics[name].version != metric.version
        }
    )
    if others:
        raise ComparisonError(
            made.old.run_id,
            made.new.run_id,
            f"the scorer {', '.join(map(repr, others))} is another one now: score both with one, "
            "`latent score RUN --with SCORER`",
        )


def _direction(difference: Difference | None) -> int:
    """1 when the whole interval is above zero, -1 when it is below, else 0."""
    if difference is None or difference.estimate.ci_low is None or difference.estimate.ci_high is None:
        return 0
    return int(difference.estimate.ci_low > 0) - int(difference.estimate.ci_high < 0)


def _mean(values: Sequence[float | None]) -> float:
    return sum(value or 0.0 for value in values) / len(values)


def _value(scores: RowScores) -> float | str | None:
    return ", ".join(scores.labels) if scores.labels else scores.mean


def _interval(difference: Difference) -> str:
    estimate = difference.estimate
    if estimate.ci_low is None or estimate.ci_high is None:
        return "no interval"
    return f"{estimate.ci_low:+.3f} to {estimate.ci_high:+.3f}"

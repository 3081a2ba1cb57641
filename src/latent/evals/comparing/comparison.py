"""`compare`: how evaluations of the same rows differ, and what of that cannot be chance."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from latent.evals.comparing.changes import Change, changes_between
from latent.evals.comparing.metric import Flip, MetricComparison, Verdict, adjusted, price_of_rows
from latent.evals.comparing.pairing import Pairs, RowScores, paired, rows_of, scores_of, value_of
from latent.evals.evaluation import Evaluation
from latent.evals.metrics import Metric
from latent.evals.stats.estimate import Estimate
from latent.evals.stats.mean import mean_interval
from latent.evals.stats.paired import Difference, paired_difference

if TYPE_CHECKING:
    from pathlib import Path

    from latent.evals.comparing.causes import Causes


class Comparison:
    """Two evaluations of the same rows; `print(comparison)` shows what differs."""

    def __init__(
        self,
        old: Evaluation,
        new: Evaluation,
        *,
        level: float = 0.95,
        gated: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> None:
        """
        Args:
            level: Of the intervals.
            gated: Metrics that have gates: their p values are adjusted for how many they are.
            only: Ids of the rows that are compared; None: of all that both have.
        """
        self.old, self.new, self.level, self.gated = old, new, level, gated
        self._old_rows, self._new_rows = rows_of(old), rows_of(new)
        self.pairs: Pairs = paired(self._old_rows, self._new_rows)
        self.ids = [key for key in self.pairs.ids if only is None or key in only]
        """Of the rows that are compared."""
        self._same = frozenset(self.ids)

    @cached_property
    def metrics(self) -> dict[str, MetricComparison]:
        """Each metric that both have, in the new one's order."""
        names = [
            name
            for name, metric in self.new.metrics.items()
            if name in self.old.metrics and not metric.is_derived
        ]
        return adjusted({name: self._compared(name) for name in names}, self.gated, self.level)

    @cached_property
    def changes(self) -> list[Change]:
        """What else differs: data, target, prompt, scorers."""
        return changes_between(self.old.about, self.new.about)

    @property
    def others(self) -> list[str]:
        """Metrics whose scorer, its options or its judge, is another one in the new evaluation."""
        was, now = self.old.metrics, self.new.metrics
        return [name for name in now if name in was and was[name].version != now[name].version]

    @cached_property
    def flips(self) -> list[Flip]:
        """Each row whose score is another one, metric by metric."""
        return [flip for name in self.metrics for flip in self._flips(name)]

    def _scores(self, name: str) -> tuple[dict[str, RowScores], dict[str, RowScores]]:
        old, new = scores_of(self.old, name), scores_of(self.new, name)
        return (
            {key: value for key, value in old.items() if key in self._same},
            {key: value for key, value in new.items() if key in self._same},
        )

    def _compared(self, name: str) -> MetricComparison:
        old, new = self._scores(name)
        was, now = self.old.metrics[name], self.new.metrics[name]
        ids = [key for key in self.ids if key in old and key in new]
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
            cost_usd=None
            if difference is None
            else price_of_rows([self.old, self.new], difference.rows_needed, len(both)),
            is_other_scorer=was.version != now.version,
            unit=now.unit,
        )

    def _difference(
        self, new: Sequence[float | None], old: Sequence[float | None], ids: Sequence[str], metric: Metric
    ) -> Difference:
        return paired_difference(
            [float(value or 0.0) for value in new],
            [float(value or 0.0) for value in old],
            scale=metric.scale,
            clusters=self.clusters(ids),
            level=self.level,
        )

    def mean_of(self, evaluation: Evaluation, name: str) -> Estimate:
        """The mean of a metric with its interval, over the rows that are compared."""
        means = {
            key: scores.mean
            for key, scores in scores_of(evaluation, name).items()
            if key in self._same and scores.mean is not None
        }
        return mean_interval(
            [value for value in means.values() if value is not None],
            scale=evaluation.metrics[name].scale,
            clusters=self.clusters(list(means)),
            level=self.level,
        )

    def clusters(self, ids: Sequence[str]) -> list[str] | None:
        """What rows belong to; None where they stand alone."""
        column = self.new.about.get("cluster")
        if column is None:
            return None
        values = {key: self._new_rows[key].column(column) for key in ids}
        return [f"row {key}" if value is None else str(value) for key, value in values.items()]

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
        ids = [key for key in self.ids if key in old and key in new]
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
        for key in self.ids:
            if key not in old or key not in new:
                continue
            was, now = value_of(old[key]), value_of(new[key])
            if was is not None and now is not None and was != now:
                found.append(
                    Flip(
                        id=key, metric=name, old=was, new=now, row=self._old_rows[key],
                        new_outputs=self._new_rows[key].outputs,
                    )
                )  # fmt: skip
        return found

    def causes(self) -> Causes:
        """
        Which of the changes made which rows flip, and how many flips are noise.

        What is missing for that is asked and scored, as far as it is not remembered; it makes a run of its
        own, unless a flow is running. What cannot be made again from the records is told.
        """
        from latent.evals.comparing.causes import find_causes

        return find_causes(self)

    def __str__(self) -> str:
        from latent.evals.comparing.text import comparison_text

        return comparison_text(self)

    def _repr_html_(self) -> str:
        from latent.evals.comparing.text import comparison_html

        return comparison_html(self)

    def export(self, path: str | Path) -> Path:
        """
        Write the page (`.html`) or the Markdown (`.md`) to a file; where it is. Secrets are masked.

        Raises:
            UsageError: The suffix is another one.
        """
        from latent.evals.page.comparison import export_comparison

        return export_comparison(self, path)


def _direction(difference: Difference | None) -> int:
    """1 when the whole interval is above zero, -1 when it is below, else 0."""
    if difference is None or difference.estimate.ci_low is None or difference.estimate.ci_high is None:
        return 0
    return int(difference.estimate.ci_low > 0) - int(difference.estimate.ci_high < 0)


def _mean(values: Sequence[float | None]) -> float:
    return sum(value or 0.0 for value in values) / len(values)

"""One metric in two evaluations: the difference, what it means, and what it would take to be sure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from latent.evals.comparing.pairing import Row
from latent.evals.stats.paired import Difference, holm

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

Verdict = Literal["better", "worse", "higher", "lower", "no difference seen", "undecided", "not compared"]

DECIDED = ("better", "worse", "higher", "lower")


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
    p_adjusted: float | None = None
    """Adjusted by Holm for the metrics that have gates; None: it has none, and its p is exploratory."""
    cost_usd: float | None = None
    """What the further rows that would show the difference cost, in both; None: not known, or none needed."""
    is_other_scorer: bool = False
    """Whether the scorer, or its judge, is another one now: the numbers mean different things."""
    unit: str | None = None

    @property
    def sentence(self) -> str:
        """What can be concluded."""
        difference = self.difference
        if difference is None or difference.estimate.value is None:
            return f"{self.name}: no row has a score in both."
        seen = f"{difference.estimate.value:+.3f} ({interval_text(difference)})"
        if self.verdict in DECIDED:
            return f"{self.name} is {self.verdict}: {seen}."
        if self.verdict == "undecided":
            missing = self.missing_old + self.missing_new
            return f"{self.name}: {seen} where both have a score, but the {missing:,} missing could turn it."
        limit = difference.detectable
        unseen = "" if limit is None else f"; one below {limit:.3f} could not be seen"
        return f"{self.name}: no difference seen, {seen}{unseen}{self._settled_by}."

    @property
    def _settled_by(self) -> str:
        """What would show the observed difference; empty where nothing would."""
        needed = None if self.difference is None else self.difference.rows_needed
        if needed is None:
            return ""
        return f", and it would take {needed:,} rows{price_text(self.cost_usd)} to show this one"


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


def adjusted(
    metrics: Mapping[str, MetricComparison], gated: Collection[str], level: float
) -> dict[str, MetricComparison]:
    """
    The metrics with the p values of those that have gates adjusted by Holm, for how many there are.

    One that is no longer below 1 - `level` then does not count as a difference that was seen. The others stay
    as they are: they were not asked about beforehand, and are exploratory.
    """
    p_values = {
        name: each.difference.p_value
        for name, each in metrics.items()
        if name in gated and each.difference is not None and each.difference.p_value is not None
    }
    found = dict(metrics)
    for name, p_value in zip(p_values, holm([*p_values.values()]), strict=True):
        is_lost = len(p_values) > 1 and p_value > 1.0 - level and found[name].verdict in DECIDED
        verdict: Verdict = "no difference seen" if is_lost else found[name].verdict
        found[name] = replace(found[name], p_adjusted=p_value, verdict=verdict)
    return found


def price_of_rows(evaluations: Sequence[Evaluation], needed: int | None, rows: int) -> float | None:
    """
    What `needed` rows would cost beyond the `rows` that there are, in all of the evaluations, in US dollars.

    At what an answer and its judges cost there. None where that is not known: answers without a price, or
    judges whose grades were all remembered.
    """
    if needed is None or not rows:
        return None
    found = 0.0
    for each in evaluations:
        has_judges = any(scorer.get("judge") for scorer in each.about["scorers"])
        if each.cost.unpriced or (has_judges and not each.cost.judges_usd):
            return None
        found += (each.cost.total_usd + each.cost.saved_usd) / max(each.about["totals"]["rows"], 1)
    return max(needed - rows, 0) * found


def price_text(cost_usd: float | None) -> str:
    """The price behind a number of rows; empty where there is none."""
    if not cost_usd:
        return ""
    return f" (some ${cost_usd:,.2f} more)" if cost_usd >= 0.01 else f" (some ${cost_usd:,.4f} more)"


def interval_text(difference: Difference) -> str:
    """The interval of a difference, with signs."""
    estimate = difference.estimate
    if estimate.ci_low is None or estimate.ci_high is None:
        return "no interval"
    return f"{estimate.ci_low:+.3f} to {estimate.ci_high:+.3f}"

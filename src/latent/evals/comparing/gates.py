"""
Gates: whether an evaluation is good enough, with noise taken for what it is.

A gate is passed when the whole interval clears its line, failed when the whole interval is beyond it, and
else inconclusive. What is missing may not decide: where the missing scores, at the worst or best end of their
scale, could turn the verdict, it is inconclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from latent.errors import GateError, RunNotFoundError
from latent.errors.text import did_you_mean
from latent.evals.comparing.compare import compare
from latent.evals.comparing.conditions import Condition, parse_condition
from latent.evals.comparing.metric import price_of_rows
from latent.evals.comparing.pairing import RowScores, rows_of, scores_of
from latent.evals.evaluation import Evaluation, load_evaluation
from latent.evals.records import REPORT, utf8, write_about
from latent.evals.report import markdown_report
from latent.evals.stats.mean import mean_interval
from latent.evals.stats.power import rows_needed
from latent.evals.stats.proportions import clopper_pearson
from latent.evals.table import number
from latent.files import replace_file

if TYPE_CHECKING:
    from latent.evals.comparing.comparison import Comparison
    from latent.evals.comparing.metric import MetricComparison
    from latent.evals.metrics import Metric

GateVerdict = Literal["pass", "fail", "inconclusive"]

COST, COVERAGE = "cost_usd", "coverage"
NO_RUN = "there is no run {0!r} to compare it with: `latent runs tag RUN {0}` names one"
ONE_SIDED = 0.975
"""Each end of a 95 % interval errs in 2.5 % of cases at most; so does each verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What came of one gate."""

    condition: Condition
    verdict: GateVerdict
    value: float | None
    """What was measured: the metric's mean, the difference, dollars, or a share; None: nothing was scored."""
    low: float | None = None
    high: float | None = None
    """The interval that decided, or that what is missing makes of it."""
    rows_needed: int | None = None
    """Rows that would settle it, if what was measured is true; None where it is settled or none would."""
    cost_usd: float | None = None
    """What the further rows would cost at the price of these; None where that is not known."""
    why: str = ""
    """What has to be known beside the numbers."""

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> GateResult:
        """What `as_dict` gave, read again."""
        return cls(**{**known, "condition": Condition(**known["condition"])})


@dataclass(frozen=True, slots=True)
class GateReport:
    """All gates of an evaluation."""

    evaluation: Evaluation
    results: Sequence[GateResult]

    @property
    def verdict(self) -> GateVerdict:
        """`fail` when any gate failed, else `inconclusive` when any is, else `pass`."""
        verdicts = {each.verdict for each in self.results}
        return "fail" if "fail" in verdicts else "inconclusive" if "inconclusive" in verdicts else "pass"

    def __str__(self) -> str:
        from latent.evals.comparing.gate_text import gates_text

        return gates_text(self)


def check_gates(
    evaluation: Evaluation, gates: Mapping[str, Any], *, against: Evaluation | str | None = None
) -> GateReport:
    """
    Hold an evaluation to its gates.

    Args:
        gates: By metric, or `cost_usd` or `coverage` (the least of all metrics).
        against: What gates that compare are held against, in the place of the run that they name.

    Raises:
        GateError: A gate cannot be read, names a metric that there is none of, or is beyond its scale.
        RunNotFoundError: There is no run `against`, also where no gate compares.
        ComparisonError: The rows or scorers of the other run are others.
    """
    if isinstance(against, str):
        against = load_evaluation(against)
    conditions = [parse_condition(name, text) for name, text in gates.items()]
    for condition in conditions:
        _check_name(condition, evaluation)
    comparisons: dict[str | None, Comparison] = {}
    for name in dict.fromkeys(each.other for each in conditions if each.other is not None):
        if (other := against if against is not None else _found(name)) is not None:
            comparisons[name] = compare(other, evaluation, gated=())
    results = [
        _result(each, evaluation, comparisons.get(each.other))
        if each.other is None or each.other in comparisons
        else _unsettled(each, None, NO_RUN.format(each.other))
        for each in conditions
    ]
    return GateReport(evaluation, results)


def check_conditions(gates: Mapping[str, Any]) -> None:
    """
    See that gates can be read, before anything is paid for what they are to check.

    Raises:
        GateError: One cannot.
    """
    for name, text in gates.items():
        parse_condition(name, text)


def keep_gates(evaluation: Evaluation, report: GateReport) -> Evaluation:
    """The evaluation with what its gates have said, which its reports then show; written where it lies."""
    about = {**evaluation.about, "gates": [each.as_dict() for each in report.results]}
    made = Evaluation(about, evaluation.rows_table, evaluation.scores_table, evaluation.folder)
    if evaluation.folder is not None:
        write_about(evaluation.folder, about)
        replace_file(evaluation.folder / REPORT, utf8(markdown_report(made)))
    return made


def _found(run: str) -> Evaluation | None:
    """The evaluation that a gate names; None before the first run has this tag."""
    try:
        return load_evaluation(run)
    except RunNotFoundError:
        return None


def _check_name(condition: Condition, evaluation: Evaluation) -> None:
    name, known = condition.metric, [*evaluation.metrics, COST, COVERAGE]
    if name not in known:
        hint = did_you_mean(name, known, f"there are {', '.join(known)}.")
        raise GateError(name, f"there is no such metric: {hint}")
    if name in (COST, COVERAGE) and condition.other is not None:
        raise GateError(name, "it has no interval, and is compared with a number alone")
    if name in evaluation.metrics and evaluation.metrics[name].kind == "label":
        raise GateError(name, "it gives labels, which are neither more nor less")
    if name != COST:
        _check_line(condition, (0.0, 1.0) if name == COVERAGE else evaluation.metrics[name].scale)


def _check_line(condition: Condition, scale: tuple[float, float] | None) -> None:
    """See that the metric can be on either side of the line: `>= 80` of a share is meant as `>= 80 %`."""
    if scale is None or condition.other is not None or scale[0] <= condition.value <= scale[1]:
        return
    low, high = (number(each) for each in scale)
    is_share = scale == (0.0, 1.0) and 1.0 < condition.value <= 100.0 and not condition.text.endswith("%")
    meant = f": is '{condition.text} %' meant?" if is_share else ""
    raise GateError(condition.metric, f"{condition.text!r} is beyond its scale, {low} to {high}{meant}")


def _result(condition: Condition, evaluation: Evaluation, comparison: Comparison | None) -> GateResult:
    if condition.metric == COST:
        return _exact(condition, evaluation.cost.total_usd, _unpriced(evaluation))
    if condition.metric == COVERAGE:
        shares = [each.coverage for each in evaluation.metrics.values() if each.coverage is not None]
        return _exact(condition, min(shares, default=None), "")
    if comparison is not None:
        return _compared(condition, evaluation, comparison)
    return _measured(condition, evaluation)


def _unpriced(evaluation: Evaluation) -> str:
    count = evaluation.cost.unpriced
    return f"the price of {count:,} answers is not known" if count else ""


def _exact(condition: Condition, value: float | None, why: str) -> GateResult:
    """A number without an interval: it holds or it does not."""
    if value is None:
        return _unsettled(condition, None, "nothing was scored")
    holds = value >= condition.value if condition.asks == "at least" else value <= condition.value
    verdict: GateVerdict = "pass" if holds else "fail"
    if why and holds:  # dollars that are not counted could turn it
        verdict = "inconclusive"
    return GateResult(condition=condition, verdict=verdict, value=value, why=why)


def _measured(condition: Condition, evaluation: Evaluation) -> GateResult:
    """A metric against a line."""
    metric = evaluation.metrics[condition.metric]
    if metric.mean is None:
        return _unsettled(condition, None, "nothing was scored")
    if metric.is_derived:
        low, high, why = metric.ci_low, metric.ci_high, ""
    else:
        low, high, why = _interval(evaluation, metric)
    if low is None or high is None:
        return _unsettled(condition, metric.mean, why or "no interval")
    at_least = condition.asks == "at least"
    verdict = (
        gate_verdict(low, high, condition.value) if at_least else gate_verdict(-high, -low, -condition.value)
    )
    needed = _settled_by(metric, condition.value) if verdict == "inconclusive" else None
    return GateResult(
        condition=condition, verdict=verdict, value=metric.mean, low=low, high=high, why=why,
        rows_needed=needed, cost_usd=price_of_rows([evaluation], needed, metric.rows),
    )  # fmt: skip


def _unsettled(condition: Condition, value: float | None, why: str) -> GateResult:
    return GateResult(condition=condition, verdict="inconclusive", value=value, why=why)


def gate_verdict(low: float, high: float, line: float) -> GateVerdict:
    """What an interval says of a line that is not to be fallen short of."""
    return "pass" if low >= line else "fail" if high < line else "inconclusive"


def _interval(evaluation: Evaluation, metric: Metric) -> tuple[float | None, float | None, str]:
    """
    The interval that decides: from the worst that the missing scores can make of it, to the best.

    Exact for binary scores of single rows: each end is a one-sided bound of Clopper and Pearson.
    """
    scores = scores_of(evaluation, metric.name)
    if not metric.missing:
        low, _ = _ends(evaluation, metric, scores, None)
        _, high = _ends(evaluation, metric, scores, None)
        return low, high, ""
    why = f"{metric.missing:,} missing"
    if metric.scale is None:
        return None, None, f"{why}, on a score without a scale"
    low, _ = _ends(evaluation, metric, scores, metric.scale[0])
    _, high = _ends(evaluation, metric, scores, metric.scale[1])
    return low, high, why


def _ends(
    evaluation: Evaluation, metric: Metric, scores: Mapping[str, RowScores], missing_as: float | None
) -> tuple[float | None, float | None]:
    filled = {
        key: each.mean if missing_as is None else each.mean_if(missing_as) for key, each in scores.items()
    }
    means = {key: value for key, value in filled.items() if value is not None}
    column, clusters = evaluation.about.get("cluster"), None
    if column is not None:
        rows = rows_of(evaluation)
        clusters = [
            str(value) if (value := rows[key].column(column)) is not None else f"row {key}" for key in means
        ]
    return gate_interval(
        list(means.values()), scale=metric.scale, is_binary=metric.kind == "binary", clusters=clusters
    )


def gate_interval(
    means: Sequence[float],
    *,
    scale: tuple[float, float] | None,
    is_binary: bool,
    clusters: Sequence[str] | None = None,
) -> tuple[float | None, float | None]:
    """
    The interval that a gate goes by: one-sided bounds, each wrong in at most 2.5 % of cases.

    Exact for binary scores of rows that stand alone (Clopper and Pearson), else as `mean_interval` has it.

    Args:
        means: One a row: of its repeats, where there are some.
    """
    if is_binary and clusters is None and set(means) <= {0.0, 1.0}:
        successes = round(sum(means))
        low = clopper_pearson(successes, len(means), level=ONE_SIDED, side="lower").ci_low
        high = clopper_pearson(successes, len(means), level=ONE_SIDED, side="upper").ci_high
        return low, high
    estimate = mean_interval(list(means), scale=scale, clusters=clusters)
    return estimate.ci_low, estimate.ci_high


def _compared(condition: Condition, evaluation: Evaluation, comparison: Comparison) -> GateResult:
    """A metric against another run, pair by pair."""
    name = condition.metric
    if name not in comparison.metrics:
        raise GateError(name, f"the run {condition.other!r} has no such metric")
    metric, found = evaluation.metrics[name], comparison.metrics[name]
    if metric.higher_is_better is None:
        raise GateError(name, "the scorer does not say whether more of it is better: higher_is_better=")
    difference = found.difference
    if difference is None or difference.estimate.value is None:
        return _unsettled(condition, None, "no row has a score in both")
    low, high, why = _difference_interval(comparison, name, found)
    if low is None or high is None:
        return _unsettled(condition, difference.estimate.value, why)
    better_low, better_high = (low, high) if metric.higher_is_better else (-high, -low)
    line = condition.value if condition.asks == "better" else -condition.value
    verdict = gate_verdict(better_low, better_high, line)
    if condition.asks == "better" and better_low <= line:  # as good as before is not better
        verdict = "fail" if better_high < line else "inconclusive"
    needed = None
    if verdict == "inconclusive" and difference.estimate.stderr:
        seen = difference.estimate.value if metric.higher_is_better else -difference.estimate.value
        needed = _rows(seen - line, difference.estimate.stderr**2 * difference.estimate.n)
    return GateResult(
        condition=condition, verdict=verdict, value=difference.estimate.value, low=low, high=high, why=why,
        rows_needed=needed, cost_usd=price_of_rows([comparison.old, evaluation], needed, found.pairs),
    )  # fmt: skip


def _difference_interval(
    comparison: Comparison, name: str, found: MetricComparison
) -> tuple[float | None, float | None, str]:
    """From the least that the missing scores of both can make of the difference, to the most."""
    assert found.difference is not None
    if not found.missing_old + found.missing_new:
        return found.difference.estimate.ci_low, found.difference.estimate.ci_high, ""
    why = f"{found.missing_old + found.missing_new:,} missing"
    least, most = comparison.extremes(name)
    if least is None or most is None:
        return None, None, f"{why}, on a score without a scale"
    return least.estimate.ci_low, most.estimate.ci_high, why


def _settled_by(metric: Metric, line: float) -> int | None:
    if metric.mean is None or not metric.stderr:
        return None
    return _rows(metric.mean - line, metric.stderr**2 * metric.n)


def _rows(difference: float, variance: float) -> int | None:
    return rows_needed(difference, variance) if difference else None

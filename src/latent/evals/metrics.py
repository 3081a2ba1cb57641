"""Metrics: what the scores of all rows come to, with interval, coverage and bounds."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from latent.evals.measuring import NOT_APPLICABLE, SCORED, Measured, ScoreRow
from latent.evals.scoring import Kind, Score, bounds_of, kind_of
from latent.evals.stats.estimate import Estimate
from latent.evals.stats.mean import mean_interval, missing_bounds
from latent.evals.stats.repeats import pass_interval

if TYPE_CHECKING:
    from latent.evals.answering import Answered

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 10
MOST_VALUES = 20
"""A distribution lists so many different values; of more, it shows bins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric over all rows, or over those of a slice."""

    name: str
    mean: float | None = None
    """None when nothing was scored, and for labels."""
    ci_low: float | None = None
    ci_high: float | None = None
    level: float = 0.95
    n: int
    """Rows that have a score; repeats of a row are one."""
    rows: int
    """Rows that should have one: `n`, and those that are missing."""
    missing: int
    """Answers that should have a score and have none: failed, abstained or skipped, by target or scorer."""
    not_applicable: int
    """Answers that the scorer does not apply to: outside of coverage."""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Scores by outcome."""
    worst: float | None = None
    """The mean if every missing score were the worst of the scale; None without a scale."""
    best: float | None = None
    detectable: float | None = None
    """The smallest difference from a fixed value that would be seen with 80 % probability."""
    stderr: float | None = None
    clusters: int | None = None
    method: str = "none"
    kind: Kind = "continuous"
    scale: tuple[float, float] | None = None
    higher_is_better: bool | None = True
    unit: str | None = None
    scorer: str = ""
    version: str = ""
    """Of the scorer: metrics with different ones mean different things."""
    note: str | None = None
    distribution: Mapping[str, Any] = field(default_factory=dict)
    """`counts` by value, or `bins` with `edges`; `quantiles`, `median` and `stddev` of numbers."""
    is_derived: bool = False
    """Whether it is not a mean of scores, but computed from all of them: an F1, an agreement."""
    flaky: tuple[str, ...] = ()
    """Ids of rows whose repeats differ, of a binary score."""

    @property
    def coverage(self) -> float | None:
        """The share of rows that have a score; None when none should have one."""
        return None if self.rows == 0 else self.n / self.rows

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Metric:
        """What `as_dict` gave, read again."""
        given = dict(known)
        given["scale"] = None if given.get("scale") is None else tuple(given["scale"])
        given["flaky"] = tuple(given.get("flaky", ()))
        return cls(**{name: value for name, value in given.items() if name in cls.__slots__})


def metrics_of(
    measured: Measured, answered: Sequence[Answered], clusters: Sequence[Any] | None
) -> list[Metric]:
    """
    The metrics of one scorer.

    Args:
        clusters: The cluster of each answer, where rows belong together.
    """
    by_metric: dict[str, list[ScoreRow]] = {name: [] for name in measured.metrics}
    for row in measured.rows:
        by_metric[row.metric].append(row)
    found = [_metric(name, rows, measured, answered, clusters) for name, rows in by_metric.items()]
    if measured.scorer.aggregate is not None:
        found += _aggregated(measured, answered, clusters)
    if any(each.repeat for each in answered):
        binary = [metric for metric in found if metric.kind == "binary"]
        found += [
            line for metric in binary for line in _passed(metric, by_metric[metric.name], answered, clusters)
        ]
    return found


def _metric(
    name: str,
    rows: Sequence[ScoreRow],
    measured: Measured,
    answered: Sequence[Answered],
    clusters: Sequence[Any] | None,
) -> Metric:
    scorer = measured.scorer
    scored = [row for row in rows if row.outcome in SCORED]
    kind = kind_of([row.value for row in scored], scorer)
    odd = [row for row in scored if isinstance(row.value, str) != (kind == "label")]
    if odd:  # numbers among labels, or labels among numbers: no score of this metric
        scored = [row for row in scored if isinstance(row.value, str) == (kind == "label")]
    scale = bounds_of(kind, scorer.scale)
    outcomes = Counter(row.outcome for row in rows)
    if odd:
        outcomes.subtract(Counter(row.outcome for row in odd))
        outcomes["failed"] += len(odd)
    wanted = [row for row in rows if row.outcome != NOT_APPLICABLE]
    ids = {answered[row.place].item.id for row in wanted}
    base = Metric(
        name=name,
        n=len({answered[row.place].item.id for row in scored}),
        rows=len(ids),
        missing=len(wanted) - len(scored),
        not_applicable=outcomes.get(NOT_APPLICABLE, 0),
        outcomes={key: count for key, count in outcomes.items() if count},
        kind=kind,
        scale=scale,
        higher_is_better=scorer.higher_is_better,
        unit=scorer.unit,
        scorer=scorer.name,
        version=measured.version,
        distribution=_distribution([row.value for row in scored], kind),
        note=f"{len(odd)} scores are of another type than the others" if odd else scorer.note,
    )
    if kind == "label":
        return base
    return _with_estimate(base, scored, answered, clusters)


def _with_estimate(
    base: Metric, scored: Sequence[ScoreRow], answered: Sequence[Answered], clusters: Sequence[Any] | None
) -> Metric:
    values = [float(row.value) for row in scored if row.value is not None]
    ids = [answered[row.place].item.id for row in scored]
    estimate = mean_interval(
        values,
        scale=base.scale,
        rows=ids if len(set(ids)) < len(ids) else None,
        clusters=None if clusters is None else [clusters[row.place] for row in scored],
        level=base.level,
    )
    bounds = missing_bounds(
        values, base.missing, scale=base.scale, higher_is_better=base.higher_is_better is not False
    )
    return replace(
        base,
        mean=estimate.value,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        worst=bounds.worst if base.scale is not None else None,
        best=bounds.best if base.scale is not None else None,
        detectable=estimate.detectable,
        stderr=estimate.stderr,
        clusters=estimate.clusters,
        method=estimate.method,
        note=_note(base, estimate),
        flaky=_flaky(scored, answered) if base.kind == "binary" else (),
    )


def _note(base: Metric, estimate: Estimate) -> str | None:
    notes = [note for note in (base.note, estimate.note) if note and note != "nothing was scored"]
    return "; ".join(notes) or None


def _flaky(scored: Sequence[ScoreRow], answered: Sequence[Answered]) -> tuple[str, ...]:
    seen: dict[str, set[Any]] = {}
    for row in scored:
        seen.setdefault(answered[row.place].item.id, set()).add(row.value)
    return tuple(name for name, values in seen.items() if len(values) > 1)


def _passed(
    metric: Metric, rows: Sequence[ScoreRow], answered: Sequence[Answered], clusters: Sequence[Any] | None
) -> list[Metric]:
    """pass@k and pass^k over the rows all of whose repeats were scored; k is their number."""
    k = 1 + max(each.repeat for each in answered)
    by_id: dict[str, list[ScoreRow]] = {}
    for row in rows:
        if row.outcome in SCORED:
            by_id.setdefault(answered[row.place].item.id, []).append(row)
    whole = [row for each in by_id.values() if len(each) == k for row in each]
    if not whole:
        return []
    passed, ids = [bool(row.value) for row in whole], [answered[row.place].item.id for row in whole]
    of_row = None if clusters is None else [clusters[row.place] for row in whole]
    found = {
        f"pass_at_{k}": pass_interval(passed, ids, k, clusters=of_row),
        f"pass_hat_{k}": pass_interval(passed, ids, k, every=True, clusters=of_row),
    }
    return [
        _of_estimate(f"{metric.name}.{name}", value, metric.scorer, metric.version, value.n, metric.rows, 0)
        for name, value in found.items()
    ]


def _aggregated(
    measured: Measured, answered: Sequence[Answered], clusters: Sequence[Any] | None
) -> list[Metric]:
    """What a scorer says of all its scores together."""
    scorer = measured.scorer
    scored = [row for row in measured.rows if row.outcome in SCORED]
    if not scored or scorer.aggregate is None:
        return []
    scores = [Score(row.value, row.reason, row.answer, row.evidence) for row in scored]
    if "clusters" in inspect.signature(scorer.aggregate).parameters:
        found = scorer.aggregate(scores, clusters=_units(scored, answered, clusters))
    else:
        found = scorer.aggregate(scores)
    wanted = {answered[row.place].item.id for row in measured.rows if row.outcome != NOT_APPLICABLE}
    missing = sum(row.outcome not in (*SCORED, NOT_APPLICABLE) for row in measured.rows)
    n = len({answered[row.place].item.id for row in scored})
    return [
        _of_estimate(f"{scorer.name}.{name}", value, scorer.name, measured.version, n, len(wanted), missing)
        for name, value in found.items()
    ]


def _units(
    scored: Sequence[ScoreRow], answered: Sequence[Answered], clusters: Sequence[Any] | None
) -> list[Any] | None:
    """What each score varies with: its cluster, else its row; None where each has one of its own."""
    units = [
        ("row", answered[row.place].item.id)
        if clusters is None or clusters[row.place] is None
        else ("cluster", clusters[row.place])
        for row in scored
    ]
    return units if len(set(units)) < len(units) else None


def _of_estimate(name: str, value: Any, scorer: str, version: str, n: int, rows: int, missing: int) -> Metric:
    base = Metric(
        name=name,
        n=value.n if isinstance(value, Estimate) else n,
        rows=rows,
        missing=missing,
        not_applicable=0,
        scorer=scorer,
        version=version,
        is_derived=True,
    )
    if not isinstance(value, Estimate):
        return replace(base, mean=None if value is None else float(value))
    return replace(
        base,
        mean=value.value,
        ci_low=value.ci_low,
        ci_high=value.ci_high,
        detectable=value.detectable,
        stderr=value.stderr,
        method=value.method,
        note=value.note,
    )


def _distribution(values: Sequence[Any], kind: Kind) -> dict[str, Any]:
    if not values:
        return {}
    counts = Counter(values)
    if kind == "label":
        return {"counts": {str(value): count for value, count in counts.most_common()}}
    import numpy as np

    numbers = np.asarray(values, dtype=float)
    shape: dict[str, Any] = {
        "median": float(np.median(numbers)),
        "stddev": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "quantiles": {f"{share:g}": float(np.quantile(numbers, share)) for share in QUANTILES},
    }
    if kind in ("binary", "ordinal") or len(counts) <= MOST_VALUES:
        return {"counts": {_shown(value): counts[value] for value in sorted(counts)}, **shape}
    heights, edges = np.histogram(numbers, bins=BINS)
    return {"bins": heights.tolist(), "edges": [float(edge) for edge in edges], **shape}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def sliced(
    measured: Measured, answered: Sequence[Answered], clusters: Sequence[Any] | None, slices: Sequence[str]
) -> list[dict[str, Any]]:
    """The metrics of each value of each slice: `slice`, `value`, and the metric's fields."""
    found = []
    for column in slices:
        groups: dict[str, list[ScoreRow]] = {}
        for row in measured.rows:
            value = answered[row.place].item.values.get(column)
            groups.setdefault("(none)" if value is None else str(value), []).append(row)
        for value, rows in groups.items():
            part = replace(measured, rows=rows)
            found += [
                {"slice": column, "value": value, **metric.as_dict()}
                for metric in metrics_of(part, answered, clusters)
            ]
    return found

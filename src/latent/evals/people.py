"""Judges against people: labels of rows, how far a judge agrees with them, and the mean that they correct."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from latent.errors import EvaluationDataError, StatisticsError, did_you_mean
from latent.evals.judging import UNCHECKED
from latent.evals.measuring import SCORED, Measured
from latent.evals.metrics import Metric
from latent.evals.reading import read_rows
from latent.evals.scoring import Kind, Scale, Scorer, bounds_of
from latent.evals.table import number

if TYPE_CHECKING:
    from latent.catalog import Catalog
    from latent.config import Workspace
    from latent.evals.answering import Answered
    from latent.evals.items import Items

Labels = Any
"""A column of the rows; or a file, a frame or rows with `id`, `label`, and `metric` where there are more."""

ANY = ""
"""Stands for the metric of labels that do not say which they are of."""


def load_labels(
    given: Labels, items: Items, scorers: Sequence[Scorer], workspace: Workspace, catalog: Catalog | None
) -> dict[str, dict[str, Any]]:
    """
    People's labels: by metric, by the row's id.

    Raises:
        EvaluationDataError: None of them belongs to a row, they lack `id` or `label`, or one is no grade of
            the judge that is to be held against it.
    """
    if given is None:
        return {}
    if isinstance(given, str) and given in items.columns:
        labels = {item.id: each for item in items.rows if (each := item.values.get(given)) is not None}
        source, found = items.source, {ANY: labels}
    else:
        source, found = _by_metric(given, items, workspace, catalog)
    for scorer in scorers:
        if scorer.about is not None:
            _check_grades(found.get(scorer.name, found.get(ANY, {})), scorer, source)
    return found


def _by_metric(
    given: Labels, items: Items, workspace: Workspace, catalog: Catalog | None
) -> tuple[str, dict[str, dict[str, Any]]]:
    source, rows = read_rows(given, workspace, catalog)
    found: dict[str, dict[str, Any]] = {}
    known = {item.id for item in items.rows}
    for place, row in enumerate(rows):
        for name in ("id", "label"):
            if name not in row:
                hint = did_you_mean(name, row, f"it has {', '.join(row)}.")
                raise EvaluationDataError(source, f"label {place} has no {name!r}: {hint}")
        if row["label"] is not None and str(row["id"]) in known:
            found.setdefault(str(row.get("metric") or ANY), {})[str(row["id"])] = row["label"]
    if rows and not found:
        raise EvaluationDataError(
            source, f"none of its {len(rows):,} labels belongs to a row: compare the ids."
        )
    return source, found


def _check_grades(labels: Mapping[str, Any], judge: Scorer, source: str) -> None:
    for row, label in labels.items():
        if _grade(label, judge.kind, judge.scale) is None:
            scale = judge.scale
            if isinstance(scale, Mapping):
                known = "with " + ", ".join(f"{grade} ({meaning})" for grade, meaning in scale.items())
            else:
                known = "in numbers" if scale is None else f"from {scale[0]:g} to {scale[1]:g}"
            raise EvaluationDataError(
                source,
                f"the label {label!r} of row {row!r} is no grade of {judge.name!r}, which grades {known}.",
            )


def _grade(label: Any, kind: Kind | None, scale: Scale | None) -> Any:
    """What a label says on a judge's scale: a grade, or what it means in words; None where it is neither."""
    if kind == "label":
        return str(label)
    low, high = bounds_of(kind or "continuous", scale) or (-math.inf, math.inf)
    if isinstance(label, str):
        words = {"true": True, "false": False}
        if isinstance(scale, Mapping):
            words |= {meaning.strip().casefold(): grade for grade, meaning in scale.items()}
        label = words.get(label.strip().casefold(), label)
    if isinstance(label, bool) and (low, high) != (0, 1):
        return None  # on a scale of 1 to 5, True is no 1
    try:
        grade = float(label)
    except (TypeError, ValueError):
        return None
    return grade if low <= grade <= high else None


def check_against_people(
    metrics: Sequence[Metric],
    measured: Sequence[Measured],
    answered: Sequence[Answered],
    labels: Mapping[str, Mapping[str, Any]],
) -> tuple[list[Metric], list[dict[str, Any]]]:
    """
    The metrics, those of judges with what people say of them, and the agreement of each judge with people.

    Only the first answer to a row is compared: that is what people saw.
    """
    judges = {each.scorer.name: each for each in measured if each.scorer.about is not None}
    noted, agreement = [], []
    for metric in metrics:
        own = labels.get(metric.name, labels.get(ANY, {}))
        if metric.is_derived or metric.scorer not in judges or not own:
            noted.append(metric)
            continue
        found = _agreement(metric, judges[metric.scorer], answered, own)
        agreement.append(found)
        noted.append(replace(metric, note=_note(metric.note, found)))
    return noted, agreement


def _agreement(
    metric: Metric, measured: Measured, answered: Sequence[Answered], labels: Mapping[str, Any]
) -> dict[str, Any]:
    from latent.evals.stats import cohen_kappa, confusion, krippendorff_alpha

    judged: dict[str, Any] = {
        answered[row.place].item.id: row.value
        for row in measured.rows
        if row.metric == metric.name and row.outcome in SCORED and answered[row.place].repeat == 0
    }
    is_label, is_ordered = metric.kind == "label", metric.kind in ("ordinal", "continuous")
    scale = measured.scorer.scale
    grades = {name: _grade(labels[name], metric.kind, scale) for name in judged if name in labels}
    ids = [name for name, grade in grades.items() if grade is not None]
    people = [grades[name] for name in ids]
    judge = [str(judged[name]) if is_label else float(judged[name]) for name in ids]
    table = confusion(people, judge) if ids else None
    weights: Any = "quadratic" if is_ordered else None
    measure: Any = "ordinal" if is_ordered else "nominal"
    found: dict[str, Any] = {
        "metric": metric.name,
        "n": len(ids),
        "agreement": sum(a == b for a, b in zip(people, judge, strict=True)) / len(ids) if ids else None,
        "kappa": cohen_kappa(people, judge, weights=weights) if ids else None,
        "alpha": krippendorff_alpha(list(zip(people, judge, strict=True)), measure=measure) if ids else None,
        "weights": weights,
        "labels": [] if table is None else list(table.labels),
        "confusion": [] if table is None else table.counts.tolist(),
        "corrected": None,
        "corrected_note": None,
    }
    others = [judged[name] for name in judged if grades.get(name) is None]
    return found | _corrected(metric, people, judge, others)


def _corrected(
    metric: Metric, people: Sequence[Any], judge: Sequence[Any], others: Sequence[Any]
) -> dict[str, Any]:
    """The mean that people would give, where there are labels enough to tell."""
    from latent.evals.stats import corrected_mean

    if metric.kind == "label" or metric.scale is None:
        return {"corrected_note": "only scores on a scale have a mean to correct"}
    try:
        found = corrected_mean(people, judge, [float(each) for each in others], scale=metric.scale)
    except StatisticsError as error:
        return {"corrected_note": str(error)}
    estimate = {**asdict(found.estimate), "weight": found.weight, "judged_mean": found.judged_mean}
    return {"corrected": estimate}


def _note(note: str | None, found: Mapping[str, Any]) -> str:
    told = f"kappa {number(found['kappa']) or 'undefined'} with people on {found['n']:,} rows"
    if found["corrected"] is not None:
        told += f", corrected mean {number(found['corrected']['value'])}"
    return (note or "").replace(UNCHECKED, told) if note else told

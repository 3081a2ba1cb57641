"""
Scorers against people: labels of rows, how far a scorer agrees with them, and the mean that they correct.

A label may have a key, as those that are marked in the page have: it stands for the content of the row's
input, of the answer, and of the rubric. Such a label counts wherever the three are the same, and nowhere
else: when one of them is changed, nobody has said anything about it yet.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from latent.errors import EvaluationDataError, StatisticsError
from latent.errors.text import did_you_mean
from latent.evals.judging import UNCHECKED
from latent.evals.measuring import SCORED, Measured
from latent.evals.metrics import Metric
from latent.evals.reading import read_rows
from latent.evals.scoring import Kind, Scale, Scorer, bounds_of
from latent.evals.table import number

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

    from latent.catalog import Catalog
    from latent.config import Workspace
    from latent.evals.answering import Answered
    from latent.evals.items import Items

Labels = Any
"""A column of the rows; or a file, a frame or rows with `id`, `label`, and `metric` where there are more."""

ANY = ""
"""Stands for the metric of labels that do not say which they are of."""


KEY_CHARS, RUBRIC_CHARS = 16, 8
"""Hex digits of a key: of input and answer, and behind a hyphen of the rubric."""

EXPIRED = "fit nothing here: the input, the answer or the rubric that they were made for is another one."

OfAnswer = Mapping[tuple[str, int], Any]
"""Labels by the id of the row and the repeat."""


def content_key(inputs: Mapping[str, Any], output: str | None) -> str:
    """
    The part of a label's key that stands for the row's input and the answer.

    Args:
        inputs: The row's columns without its id: a row of another name is the same row.
    """
    return _digest([inputs, output], KEY_CHARS)


def rubric_key(scorer: Mapping[str, Any], metric: str) -> str:
    """
    The part of a label's key that stands for what is asked of an answer.

    Of a judge that is its rubric with its scale, of another scorer its description: its code may change, and
    be held against the same labels.

    Args:
        scorer: As the evaluation's records describe it.
        metric: Of several that it gives, which.
    """
    judge = scorer.get("judge")
    asked = [judge["rubric"], scorer["scale"]] if judge else [scorer["description"] or scorer["name"]]
    return _digest([*asked, metric.removeprefix(scorer["name"])], RUBRIC_CHARS)


def _digest(content: Any, chars: int) -> str:
    text = json.dumps(content, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:chars]


def load_labels(
    given: Labels, items: Items, scorers: Sequence[Scorer], workspace: Workspace, catalog: Catalog | None
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """
    People's labels by metric, by the row's id; and those with a key, which only answers can tell to fit.

    Raises:
        EvaluationDataError: No label belongs to a row, they lack `id` or `label`, or one is not a grade of
            the judge that is to be held against it.
    """
    if given is None:
        return {}, []
    marks: list[dict[str, Any]] = []
    if isinstance(given, str) and given in items.columns:
        labels = {item.id: each for item in items.rows if (each := item.values.get(given)) is not None}
        source, found = items.source, {ANY: labels}
    else:
        source, found, marks = _by_metric(given, items, workspace, catalog)
    for scorer in scorers:
        if scorer.about is not None:
            _check_grades(found.get(scorer.name, found.get(ANY, {})), scorer, source)
    return found, marks


def _by_metric(
    given: Labels, items: Items, workspace: Workspace, catalog: Catalog | None
) -> tuple[str, dict[str, dict[str, Any]], list[dict[str, Any]]]:
    source, rows = read_rows(given, workspace, catalog)
    found: dict[str, dict[str, Any]] = {}
    marks: list[dict[str, Any]] = []
    known = {item.id for item in items.rows}
    for place, row in enumerate(rows):
        for name in ("id", "label"):
            if name not in row:
                hint = did_you_mean(name, row, f"it has {', '.join(row)}.")
                raise EvaluationDataError(source, f"label {place} has no {name!r}: {hint}")
        if row.get("key"):
            marks.append(row)
        elif row["label"] is not None and str(row["id"]) in known:
            found.setdefault(str(row.get("metric") or ANY), {})[str(row["id"])] = row["label"]
    if rows and not found and not marks:
        raise EvaluationDataError(
            source, f"none of its {len(rows):,} labels belongs to a row: compare the ids."
        )
    return source, found, marks


def marked_answers(
    marks: Sequence[Mapping[str, Any]], rows: pa.Table, row_id: str, scorers: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, OfAnswer], list[Mapping[str, Any]]]:
    """
    The labels with a key, by metric, of the answers that they belong to; and those that fit none.

    Args:
        rows: The answers, as the evaluation's records hold them.
        row_id: The column of ids.
        scorers: As the records describe them.
    """
    if not marks:
        return {}, []
    metrics: dict[str, list[str]] = {}
    for scorer in scorers:
        for metric in scorer["metrics"]:
            metrics.setdefault(rubric_key(scorer, metric), []).append(metric)
    answers: dict[str, list[tuple[str, int]]] = {}
    columns = (rows.column(name).to_pylist() for name in ("id", "repeat", "input", "output"))
    for name, repeat, input_json, output in zip(*columns, strict=True):
        inputs = {column: value for column, value in json.loads(input_json).items() if column != row_id}
        answers.setdefault(content_key(inputs, output), []).append((name, repeat))
    found: dict[str, dict[tuple[str, int], Any]] = {}
    expired = []
    for mark in marks:
        content, _, rubric = str(mark["key"]).partition("-")
        places = answers.get(content, [])
        names = metrics.get(rubric, [])
        if not places or not names:
            expired.append(mark)
        elif mark["label"] is not None:
            for metric in names:
                found.setdefault(metric, {}).update(dict.fromkeys(places, mark["label"]))
    return dict(found), expired


def expiry_warning(marks: int, expired: int) -> str:
    """What is said of labels with a key that fits nothing."""
    return f"{expired:,} of {marks:,} marks by people {EXPIRED}"


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
                f"the label {label!r} of row {row!r} is not a grade of {judge.name!r}, which grades {known}.",
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
        return None  # on a scale of 1 to 5, True is not a 1
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
    marked: Mapping[str, OfAnswer],
) -> tuple[list[Metric], list[dict[str, Any]]]:
    """
    The metrics with what people say of them, and the agreement of each with people.

    Labels that name no metric are of the judges. One without a key is of the first answer to its row: that is
    what people saw.
    """
    scored = {each.scorer.name: each for each in measured}
    noted, agreement = [], []
    for metric in metrics:
        source = scored.get(metric.scorer)
        is_judge = source is not None and source.scorer.about is not None
        plain = labels.get(metric.name, labels.get(ANY, {}) if is_judge else {})
        own = {(row_id, 0): label for row_id, label in plain.items()} | dict(marked.get(metric.name, {}))
        if metric.is_derived or source is None or not own:
            noted.append(metric)
            continue
        found = _agreement(metric, source, answered, own)
        agreement.append(found)
        noted.append(replace(metric, note=_note(metric.note, found)))
    return noted, agreement


def _agreement(
    metric: Metric, measured: Measured, answered: Sequence[Answered], labels: OfAnswer
) -> dict[str, Any]:
    from latent.evals.stats import cohen_kappa, confusion, krippendorff_alpha

    judged: dict[tuple[str, int], Any] = {
        (answered[row.place].item.id, answered[row.place].repeat): row.value
        for row in measured.rows
        if row.metric == metric.name and row.outcome in SCORED
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
    # Further repeats are not rows of their own that people might have been asked about.
    others = [judged[name] for name in judged if grades.get(name) is None and name[1] == 0]
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

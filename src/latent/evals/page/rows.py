"""The rows of an evaluation as the page shows them: what stands in the table, and what a row opens to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from latent.evals.answering import ANSWER, INPUT, KNOWN_OF_ANSWERS, OUTPUT
from latent.evals.measuring import NOT_APPLICABLE, SCORED
from latent.evals.page.packing import SHOWN_CHARS, in_pieces, one_line, text_of
from latent.evals.people import ANY, content_key, marked_answers, rubric_key

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

MOST_GRADES = 11
"""A scale of whole numbers offers so many to choose from; on a longer one, numbers are written."""

_SHOWN = (
    "expected", "output", "outcome", "error_type", "error", "attempts", "model", "finish_reason",
    "input_tokens", "output_tokens", "latency_seconds", "answer_cost_usd",
)  # fmt: skip
_SHOWN_OF_ANSWERS = ("tool_calls", "reasoning")
_OWN = frozenset({OUTPUT, ANSWER, INPUT, "model_answer", *KNOWN_OF_ANSWERS})
"""What a target returned beside them is shown by its own name."""


def details_of(evaluation: Evaluation) -> list[dict[str, Any]]:
    """What each answer's row opens to."""
    lines, row_id = evaluation.rows_table.to_pylist(), evaluation.about["data"]["row_id"]
    return [
        _detail(line, scores, row_id) for line, scores in zip(lines, _scores(evaluation, lines), strict=True)
    ]


def _scores(evaluation: Evaluation, lines: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The scores of each line."""
    columns = ["id", "repeat", "metric", "value", "label", "outcome", "reason", "answer", "evidence"]
    by_row: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for score in evaluation.scores_table.select(columns).to_pylist():
        place = by_row[score.pop("id"), score.pop("repeat")]
        label = score.pop("label")
        if label is not None:
            score["value"] = label
        place.append({name: value for name, value in score.items() if value is not None})
    return (by_row[line["id"], line["repeat"]] for line in lines)


def _detail(line: dict[str, Any], scores: list[dict[str, Any]], row_id: str) -> dict[str, Any]:
    found = {name: line[name] for name in _SHOWN if line[name] is not None}
    inputs = {name: value for name, value in json.loads(line["input"]).items() if name != row_id}
    values = json.loads(line["returned"])["values"] if line.get("returned") else {}
    answer = values.get("model_answer") or {}
    more = {name: value for name, value in values.items() if name not in _OWN and name not in inputs}
    more |= {name: answer[name] for name in _SHOWN_OF_ANSWERS if answer.get(name)}
    if more:
        found["more"] = more
    if isinstance(prompt := values.get(INPUT), str) and prompt not in inputs.values():
        found["prompt"] = in_pieces(prompt, inputs)
    return {**found, "input": inputs, "scores": scores}


def table_of(evaluation: Evaluation, details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the table shows, a list for each column."""
    lines = evaluation.rows_table.select(["id", "repeat", "outcome", "output", "error"]).to_pylist()
    metrics = shown_metrics(evaluation)
    places = {(line["id"], line["repeat"]): place for place, line in enumerate(lines)}
    return {
        "metrics": [described(evaluation, name) for name in metrics],
        "id": [line["id"] for line in lines],
        "repeat": [line["repeat"] for line in lines],
        "outcome": [line["outcome"] for line in lines],
        "input": [one_line(detail["input"]) for detail in details],
        "output": [(line["output"] or line["error"] or "")[:SHOWN_CHARS] for line in lines],
        "values": values_of([detail["scores"] for detail in details], metrics),
        "flips": _flips(evaluation, lines, details),
        "people": _people(evaluation, places),
        "slices": slices_of(evaluation, details),
        "key": [
            content_key(detail["input"], line["output"]) for line, detail in zip(lines, details, strict=True)
        ],
    }


def shown_metrics(evaluation: Evaluation) -> list[str]:
    """The metrics that rows have scores of."""
    return [name for name, metric in evaluation.metrics.items() if not metric.is_derived]


def values_of(scores: Sequence[Sequence[Mapping[str, Any]]], metrics: Sequence[str]) -> dict[str, list[Any]]:
    """A column for each metric; None: missing, {}: not applicable, which is neither a value nor missing."""
    values: dict[str, list[Any]] = {name: [None] * len(scores) for name in metrics}
    for place, of_row in enumerate(scores):
        for score in of_row:
            if score["metric"] in values:
                is_apart = score["outcome"] == NOT_APPLICABLE
                values[score["metric"]][place] = {} if is_apart else score.get("value")
    return values


def slices_of(evaluation: Evaluation, details: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The value of each row in each column that metrics are told apart by."""
    return {
        name: ["(none)" if (value := each["input"].get(name)) is None else text_of(value) for each in details]
        for name in evaluation.about["slice_columns"]
    }


def described(evaluation: Evaluation, name: str) -> dict[str, Any]:
    """What the page has to know of a metric; `rubric` and `grades` are for marks."""
    metric = evaluation.metrics[name]
    scorer = next((each for each in evaluation.about["scorers"] if name in each["metrics"]), None)
    found: dict[str, Any] = {
        "name": name, "kind": metric.kind, "scale": metric.scale, "higher": metric.higher_is_better,
    }  # fmt: skip
    if scorer is not None:
        found |= {"rubric": rubric_key(scorer, name), "grades": _grades(scorer, evaluation, name)}
    return found


def _grades(scorer: Mapping[str, Any], evaluation: Evaluation, name: str) -> list[tuple[Any, str]] | None:
    """What people may say of an answer, with how it is shown; None: any number or text."""
    metric, scale = evaluation.metrics[name], scorer["scale"]
    if isinstance(scale, Mapping):
        return [(grade, f"{grade}: {meaning}") for grade, meaning in scale.items()]
    if metric.kind == "binary":
        return [(1, "yes"), (0, "no")]
    if metric.kind == "label":
        return [(label, str(label)) for label in metric.distribution.get("counts", {})] or None
    if metric.kind == "ordinal" and metric.scale and metric.scale[1] - metric.scale[0] < MOST_GRADES:
        return [(grade, str(grade)) for grade in range(int(metric.scale[0]), int(metric.scale[1]) + 1)]
    return None


def _flips(
    evaluation: Evaluation, lines: Sequence[Mapping[str, Any]], details: Sequence[Mapping[str, Any]]
) -> dict[str, list[int]]:
    """By metric, the rows whose repeats differ, and those whose verdict changed with the order."""
    flaky = {name: set(metric.flaky) for name, metric in evaluation.metrics.items() if metric.flaky}
    found = {
        name: [place for place, line in enumerate(lines) if line["id"] in ids] for name, ids in flaky.items()
    }
    for place, detail in enumerate(details):
        for score in detail["scores"]:
            if '"flipped":true' in score.get("evidence", ""):
                found.setdefault(score["metric"], []).append(place)
    return found


def _people(evaluation: Evaluation, places: Mapping[tuple[str, int], int]) -> dict[str, dict[int, Any]]:
    """What people said of answers, by metric and place."""
    about = evaluation.about
    marked, _ = marked_answers(
        about.get("marks") or [], evaluation.rows_table, about["data"]["row_id"], about["scorers"]
    )
    found: dict[str, dict[int, Any]] = {}
    judges = [name for each in about["scorers"] if each.get("judge") for name in each["metrics"]]
    for metric, labels in (about.get("labels") or {}).items():
        for name in judges if metric == ANY else [metric]:
            own = {places[row, 0]: label for row, label in labels.items() if (row, 0) in places}
            found.setdefault(name, {}).update(own)
    for metric, of_answers in marked.items():
        found.setdefault(metric, {}).update({places[key]: label for key, label in of_answers.items()})
    return found


def has_passed(detail: Mapping[str, Any], evaluation: Evaluation) -> bool:
    """
    Whether nothing about a row asks to be looked at.

    It has an answer, every score that it should have, no score that says no, and none in the worse half of
    its scale.
    """
    if detail["outcome"] not in SCORED:
        return False
    for score in detail["scores"]:
        metric = evaluation.metrics.get(score["metric"])
        if score["outcome"] not in (*SCORED, NOT_APPLICABLE):
            return False
        value = score.get("value")
        if metric is None or metric.scale is None or isinstance(value, str) or value is None:
            continue
        low, high = metric.scale
        if metric.higher_is_better is not None and (value > (low + high) / 2) != metric.higher_is_better:
            return False
    return True

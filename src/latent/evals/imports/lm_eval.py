"""
Samples of lm-evaluation-harness: the `samples_<task>_<time>.jsonl` that `--log_samples` writes.

A line is one document under one filter. The summary that is written beside it (`results_<time>.json`) tells
the model and the direction of each metric, where it is there.
Format: `lm_eval/evaluator.py` and `lm_eval/loggers/evaluation_tracker.py` of lm-eval 0.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latent.errors import ImportedResultsError
from latent.evals.imports.rows import EXPECTED, ID, Imported, ImportedRow, ImportedScorer, number_or_text
from latent.evals.scoring import Score

TOOL = "lm-eval"
_NEEDED = ("doc_id", "doc", "resps", "filter")
_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)")
_NO_FILTER = "none"


def read_lm_eval(path: Path, label: str) -> Imported:
    """
    The evaluation of one task.

    With several filters, a metric is told apart by them: `exact_match.strict`. A metric that all rows
    together make (perplexity, BLEU) has no score of a row and is left out, which is said.

    Raises:
        ImportedResultsError: They are not samples, or the file is cut off.
    """
    lines = list(_lines(path, label))
    named = _NAME.fullmatch(path.stem)
    task = named["task"] if named else path.stem
    summary = _summary(path, named["time"] if named else "")
    filters = list(dict.fromkeys(str(line["filter"]) for line in lines))
    metrics = list(dict.fromkeys(metric for line in lines for metric in _metrics_of(line)))
    scored = [metric for metric in metrics if any(_value(line, metric) is not None for line in lines)]
    by_document: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_document.setdefault(str(line["doc_id"]), []).append(line)
    ids = _ids(by_document)
    whole = [
        f"{metric!r} is made of all rows together: it has no score of a row, and is left out."
        for metric in metrics
        if metric not in scored
    ]
    about = (summary.get("configs") or {}).get(task) or {}
    model = ((about.get("metadata") or {}).get("model")) or (summary.get("model_name"))
    return Imported(
        tool=TOOL,
        file=label,
        name=task,
        target=str(model or "unknown"),
        about={
            "model": model,
            "task": task,
            "task_version": (summary.get("versions") or {}).get(task),
            "few_shot": (summary.get("n-shot") or {}).get(task),
            "sampling": about.get("generation_kwargs") or {},
        },
        rows=[_row(ids[document], group, scored, filters) for document, group in by_document.items()],
        scorers=list(_scorers(task, scored, filters, summary)),
        warnings=whole,
    )


def _lines(path: Path, label: str) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise ImportedResultsError(
                TOOL, label, f"line {number} is not JSON, or cut off: {error}"
            ) from error
        lacks = [name for name in _NEEDED if not isinstance(line, dict) or name not in line]
        if lacks:
            hint = ": take the samples_....jsonl that --log_samples writes" if "results" in line else ""
            raise ImportedResultsError(
                TOOL, label, f"line {number} is not a sample, it lacks {lacks[0]!r}{hint}"
            )
        yield line


def _summary(path: Path, when: str) -> dict[str, Any]:
    """The results that were written with the samples; empty where they are not there."""
    file = path.with_name(f"results_{when}.json")
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _metrics_of(line: Mapping[str, Any]) -> list[str]:
    listed = line.get("metrics")
    if isinstance(listed, list):
        return [str(each) for each in listed]
    # Before 0.4.5 they were not listed, and stand beside the rest.
    known = {*_NEEDED, "target", "arguments", "filtered_resps", "doc_hash", "prompt_hash", "target_hash"}
    return [name for name in line if name not in known]


def _value(line: Mapping[str, Any], metric: str) -> float | None:
    value = number_or_text(line.get(metric))
    return value if isinstance(value, float) else None


def _ids(by_document: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """The documents' own ids where each has one, else their places in the data."""
    own = {
        document: group[0]["doc"].get(ID)
        for document, group in by_document.items()
        if isinstance(group[0]["doc"], dict)
    }
    texts = [str(each) for each in own.values() if each is not None]
    if len(set(texts)) == len(by_document):
        return {document: str(each) for document, each in own.items()}
    return {document: document for document in by_document}


def _row(
    name: str, group: Sequence[Mapping[str, Any]], metrics: Sequence[str], filters: Sequence[str]
) -> ImportedRow:
    first = group[0]
    document = first["doc"] if isinstance(first["doc"], dict) else {"document": first["doc"]}
    columns = {key: value for key, value in document.items() if key not in (ID, "output")}
    scores = {}
    for line in group:
        for metric in metrics:
            value = _value(line, metric)
            scores[_named(metric, str(line["filter"]), filters)] = Score(
                value, answer=_shown(line.get("filtered_resps")), abstained=value is None
            )
    return ImportedRow(
        id=name,
        values={**columns, EXPECTED: _expected(first)},
        prompt=_prompt(first),
        output=_said(first),
        scores=scores,
    )


def _named(metric: str, of_filter: str, filters: Sequence[str]) -> str:
    return metric if len(filters) == 1 else f"{metric}.{of_filter}"


def _arguments(line: Mapping[str, Any]) -> list[list[Any]]:
    """Prompt and continuation (or settings) of each request of a document."""
    given = line.get("arguments") or {}
    if isinstance(given, dict):
        return [[_single(value) for value in each.values()] for each in given.values()]
    return [list(each) for each in given]


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _prompt(line: Mapping[str, Any]) -> str | None:
    requests = _arguments(line)
    return str(requests[0][0]) if requests and requests[0] else None


def _said(line: Mapping[str, Any]) -> str:
    """What was generated, or the continuation that was the likeliest one."""
    answers = [_single(each) for each in line["resps"]]
    likelihoods = [each for answer in answers if (each := _likelihood(answer)) is not None]
    choices = _choices(line)
    if likelihoods and len(likelihoods) == len(answers) == len(choices):
        return choices[likelihoods.index(max(likelihoods))]
    return _shown(answers[0] if len(answers) == 1 else answers) or ""


def _expected(line: Mapping[str, Any]) -> Any:
    """The target; of choices, which lm-eval names by their number, the text."""
    target, choices = line.get("target"), _choices(line)
    is_number = str(target).isdecimal() and int(str(target)) < len(choices)
    return choices[int(str(target))] if is_number and _likelihood(_single(line["resps"][0])) else target


def _choices(line: Mapping[str, Any]) -> list[str]:
    return [str(each[1]).strip() for each in _arguments(line) if len(each) > 1]


def _likelihood(answer: Any) -> float | None:
    """A continuation's log-likelihood, which lm-eval writes as a pair: itself, and whether it is greedy."""
    if not isinstance(answer, list) or len(answer) != 2 or str(answer[1]) not in ("True", "False"):
        return None
    try:
        return float(answer[0])
    except (TypeError, ValueError):
        return None


def _shown(value: Any) -> str | None:
    value = _single(value)
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scorers(
    task: str, metrics: Sequence[str], filters: Sequence[str], summary: Mapping[str, Any]
) -> Iterator[ImportedScorer]:
    directions = (summary.get("higher_is_better") or {}).get(task) or {}
    version = (summary.get("versions") or {}).get(task)
    for metric in metrics:
        yield ImportedScorer(
            name=metric,
            metrics=[_named(metric, each, filters) for each in filters],
            identity={"task": task, "version": version, "filters": list(filters)},
            higher_is_better=directions.get(metric, True),
        )

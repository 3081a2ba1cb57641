"""What every tool's results come to: rows with answers and scores, and an `Evaluation` made of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from latent.errors import ImportedResultsError
from latent.evals.answering import INPUT, OUTPUT, Answered
from latent.evals.evaluating import about_data, finished
from latent.evals.items import Item, Items
from latent.evals.measuring import NOT_APPLICABLE, Measured, ScoreRow
from latent.evals.records import rows_table
from latent.evals.scoring import Kind, Score, Scorer

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

EXPECTED, ID = "expected", "id"
_VERSION_CHARS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRow:
    """One answer, as a tool tells of it."""

    id: str
    repeat: int = 0
    values: Mapping[str, Any]
    """The row's columns, `expected` among them where it is known."""
    prompt: str | None = None
    """What the model was asked."""
    output: Any = None
    error: str | None = None
    """Why there is no output; None where there is one."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """`latency_seconds`, `cost_usd`, `input_tokens`, `output_tokens`, `finish_reason`, as far as told."""
    scores: Mapping[str, Score] = field(default_factory=dict)
    """By metric; one that is not among them does not apply to the row, or has no answer to score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedScorer:
    """What gave the scores of a metric."""

    name: str
    metrics: Sequence[str]
    identity: Mapping[str, Any]
    """What the meaning of its scores depends on, as far as the tool tells it."""
    higher_is_better: bool | None = True
    judge: Mapping[str, Any] | None = None
    """`model` and `rubric`, where a model graded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An evaluation that another tool has run."""

    tool: str
    file: str
    name: str
    target: str
    """The model, as the tool names it."""
    about: Mapping[str, Any]
    """What else is known of the target: JSON values."""
    rows: Sequence[ImportedRow]
    scorers: Sequence[ImportedScorer]
    warnings: Sequence[str] = ()


def evaluation_of(imported: Imported) -> Evaluation:
    """
    The evaluation, written into the run that is under way.

    Raises:
        ImportedResultsError: It has no rows, or two of one id and repeat.
    """
    from latent.cache import stable_hash

    _check(imported)
    items: dict[str, Item] = {}
    for row in imported.rows:
        items.setdefault(row.id, Item(row.id, dict(row.values)))
    answered = [_answered(row, items[row.id]) for row in imported.rows]
    known = Items(
        source=f"{imported.file} ({imported.tool})",
        fingerprint=stable_hash([[item.id, dict(item.values)] for item in items.values()]),
        rows=list(items.values()),
        expected=EXPECTED,
    )
    about = {
        "name": imported.name,
        "created_at": time.time(),
        "seconds": 0.0,
        "data": about_data(known, ID),
        "target": {"name": imported.target, "kind": "imported", "tool": imported.tool, **imported.about},
        "repeats": 1 + max(row.repeat for row in imported.rows),
        "cluster": None,
        "slice_columns": [],
        "labels": {},
        "marks": [],
        "warnings": list(imported.warnings),
    }
    measured = [_measured(each, imported) for each in imported.scorers]
    return finished(about, answered, measured, rows_table(answered, EXPECTED))


def _check(imported: Imported) -> None:
    if not imported.rows:
        raise ImportedResultsError(imported.tool, imported.file, "it holds no rows")
    seen = set()
    for row in imported.rows:
        if (row.id, row.repeat) in seen:
            raise ImportedResultsError(
                imported.tool, imported.file, f"the row {row.id!r} stands in it twice (repeat {row.repeat})"
            )
        seen.add((row.id, row.repeat))


def _answered(row: ImportedRow, item: Item) -> Answered:
    cost = row.known.get("cost_usd")
    told = {name: value for name, value in row.known.items() if value is not None}
    if row.prompt is not None:
        told[INPUT] = row.prompt
    if row.error is not None:
        return Answered(item, row.repeat, "failed", told, row.error, "ImportedError", cost_usd=0.0)
    # Paid elsewhere: here it costs nothing, and what a further row would cost is known from it.
    return Answered(
        item, row.repeat, values={OUTPUT: row.output, **told}, attempts=1, cost_usd=0.0, saved_usd=cost
    )


def _measured(scorer: ImportedScorer, imported: Imported) -> Measured:
    from latent.cache import stable_hash

    lines = [
        _score(place, row, metric) for metric in scorer.metrics for place, row in enumerate(imported.rows)
    ]
    values = [line.value for line in lines if line.value is not None]
    kind = _kind(values)
    made = Scorer(
        _scored_elsewhere,
        scorer.name,
        kind,
        higher_is_better=None if kind == "label" else scorer.higher_is_better,
        revision=imported.tool,
        note=f"scored by {imported.tool}",
        about=scorer.judge,
    )
    version = stable_hash([imported.tool, scorer.name, dict(scorer.identity)])[:_VERSION_CHARS]
    if kind == "binary":
        lines = [line._replace(value=None if line.value is None else bool(line.value)) for line in lines]
    return Measured(made, version, lines, metrics=list(scorer.metrics))


def _score(place: int, row: ImportedRow, metric: str) -> ScoreRow:
    score = row.scores.get(metric)
    if score is None:
        if row.error is not None:
            return ScoreRow(place, metric, None, "failed", f"no answer: {row.error}")
        return ScoreRow(place, metric, None, NOT_APPLICABLE)
    outcome = "abstained" if score.abstained else "ok"
    return ScoreRow(place, metric, score.value, outcome, score.reason, score.answer, score.evidence)


def _kind(values: Sequence[Any]) -> Kind:
    """Tools write yes and no as 1 and 0: a metric that has nothing else is taken for that."""
    if any(isinstance(value, str) for value in values):
        return "label"
    return "binary" if values and all(value in (0, 1) for value in values) else "continuous"


def _scored_elsewhere(output: Any) -> None:
    """Scored by another tool: its scores are read, and cannot be computed here."""
    raise NotImplementedError


def number_or_text(value: Any) -> float | str | None:
    """A score as it was written; None for what is none: NaN, a list, nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float) and value == value:
        return float(value)
    return None

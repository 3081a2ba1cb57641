"""The rows of two evaluations, joined by id and content: a score counts only against one of the same row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.evals.measuring import NOT_APPLICABLE, SCORED

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an evaluation, its repeats together."""

    id: str
    input: str
    """Its columns, as JSON."""
    expected: str | None
    outputs: tuple[str | None, ...]
    """One for each repeat; None where there is no answer."""

    @property
    def content(self) -> tuple[str, str | None]:
        """What makes it the same row in two evaluations of one id."""
        return self.input, self.expected

    def column(self, name: str) -> Any:
        """The value of one of its columns; None where it has none."""
        return json.loads(self.input).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Which rows two evaluations have in common."""

    ids: Sequence[str]
    """Of rows that both have with the same content, in the old one's order."""
    changed: Sequence[str]
    """Of rows whose content is another one now."""
    added: Sequence[str]
    """Only in the new one."""
    removed: Sequence[str]
    """Only in the old one."""

    @property
    def overlap(self) -> float:
        """The share of all rows, of either, that both have with the same content."""
        return len(self.ids) / max(len(self.ids) + len(self.changed) + len(self.added) + len(self.removed), 1)


def rows_of(evaluation: Evaluation) -> dict[str, Row]:
    """The rows by their ids."""
    found: dict[str, Row] = {}
    columns = ("id", "input", "expected", "output")
    for line in evaluation.rows_table.select(columns).to_pylist():
        known = found.get(line["id"])
        outputs = (*(known.outputs if known else ()), line["output"])
        found[line["id"]] = Row(line["id"], line["input"], line["expected"], outputs)
    return found


def paired(old: Mapping[str, Row], new: Mapping[str, Row]) -> Pairs:
    """How the rows of two evaluations go together."""
    common = [name for name in old if name in new]
    return Pairs(
        ids=[name for name in common if old[name].content == new[name].content],
        changed=[name for name in common if old[name].content != new[name].content],
        added=[name for name in new if name not in old],
        removed=[name for name in old if name not in new],
    )


@dataclass(frozen=True, slots=True)
class RowScores:
    """What the repeats of a row were scored, in one metric."""

    values: tuple[float, ...]
    """Those that have a score."""
    missing: int
    """Those that should have one and have none."""
    labels: tuple[str, ...] = ()

    @property
    def mean(self) -> float | None:
        """None where nothing was scored."""
        return sum(self.values) / len(self.values) if self.values else None

    def mean_if(self, value: float) -> float | None:
        """The mean if every missing score were `value`; None where none should be scored."""
        all_of_them = [*self.values, *[value] * self.missing]
        return sum(all_of_them) / len(all_of_them) if all_of_them else None


def scores_of(evaluation: Evaluation, metric: str) -> dict[str, RowScores]:
    """The scores of one metric by row; rows to which it does not apply are left out."""
    found: dict[str, RowScores] = {}
    table = evaluation.scores_table
    columns = zip(
        *(table.column(name).to_pylist() for name in ("metric", "id", "value", "label", "outcome")),
        strict=True,
    )
    for name, row_id, value, label, outcome in columns:
        if name == metric:
            add_score(found, row_id, value if label is None else label, outcome)
    return found


def add_score(found: dict[str, RowScores], row_id: str, value: float | str | None, outcome: str) -> None:
    """Put one score of a row to its others; one that does not apply is left out."""
    if outcome == NOT_APPLICABLE:
        return
    known = found.get(row_id, RowScores((), 0))
    if outcome not in SCORED or value is None:
        found[row_id] = RowScores(known.values, known.missing + 1, known.labels)
    elif isinstance(value, str):
        found[row_id] = RowScores(known.values, known.missing, (*known.labels, value))
    else:
        found[row_id] = RowScores((*known.values, float(value)), known.missing, known.labels)


def value_of(scores: RowScores) -> float | str | None:
    """What a row's score is taken for: the mean of its repeats, or their labels; None without any."""
    return ", ".join(scores.labels) if scores.labels else scores.mean

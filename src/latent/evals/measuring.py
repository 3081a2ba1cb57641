"""Scorers at work: each is a task mapped over the answers; every score is a line of one long table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from latent.errors import RecordingMissError, ScorerError
from latent.errors.text import did_you_mean
from latent.evals.answering import (
    ANSWER,
    EXPECTED,
    INPUT,
    KNOWN_OF_ANSWERS,
    OUTPUT,
    Answered,
    error_text,
    input_of,
    names_of,
)
from latent.evals.items import Items, some_of
from latent.evals.scoring import Score, Scorer, Value

if TYPE_CHECKING:
    from latent.prefect import RowEnd

SCORES_PER_RUN = 1_000
"""So many scores are one task run: a score is not worth one of its own."""

NOT_APPLICABLE = "not_applicable"

SCORED = ("ok", "cached")


class ScoreRow(NamedTuple):
    """One score of one answer; made by the ten thousand."""

    place: int
    """Of the answer, among all of the evaluation."""
    metric: str
    value: Value
    """None unless the outcome is `ok` or `cached`."""
    outcome: str
    """`ok`, `cached`, `failed`, `abstained`, `skipped`, or `not_applicable`."""
    reason: str | None = None
    answer: str | None = None
    evidence: Any = None


@dataclass
class Measured:
    """All scores of one scorer."""

    scorer: Scorer
    version: str
    rows: list[ScoreRow]
    cost_usd: float = 0.0
    """What was paid for them in this run."""
    metrics: list[str] = field(default_factory=list)
    """The metrics that it gave, in order of appearance."""
    reused: int = 0
    """Answers whose scores were remembered."""
    tokens: Counter[str] = field(default_factory=Counter)
    """What models were paid for them in this run, by name: `input_tokens`, `output_tokens`."""
    seconds: Sequence[float] = ()
    """What each took of those that were made in this run, waiting for a limit excluded."""


def check_scorers(scorers: Sequence[Scorer], items: Items, *, asks: bool, open_ended: bool) -> None:
    """
    See that every scorer finds what it reads, before anything is paid.

    Args:
        asks: Whether there is a target: only then is something known of the answers beside the output.
        open_ended: Whether the target may return further columns, so that what is not there may yet come.

    Raises:
        ScorerError: Two have one name, or one reads what is nowhere.
    """
    seen: dict[str, Scorer] = {}
    for scorer in scorers:
        if scorer.name in seen:
            raise ScorerError(
                scorer.name, f"two have this name: {scorer.name}(..., name={scorer.name + '_2'!r})."
            )
        seen[scorer.name] = scorer
        if scorer.missing_options:
            missing = scorer.missing_options[0]
            raise ScorerError(scorer.name, f"it needs the option {missing!r}: {scorer.name}({missing}=...).")
    known = dict.fromkeys([OUTPUT, INPUT, *items.columns])
    if asks:
        known |= dict.fromkeys([ANSWER, *KNOWN_OF_ANSWERS])
    if not open_ended:
        check_names(scorers, [*known], items)


def check_names(scorers: Sequence[Scorer], known: Sequence[str], items: Items) -> None:
    """
    See that what scorers need is among `known`.

    Raises:
        ScorerError: A name is nowhere; with the nearest one.
    """
    has_expected = items.expected in items.columns
    for scorer in scorers:
        for parameter, (column, needed) in scorer.parameters.items():
            if not needed or (has_expected if column == EXPECTED else column in known):
                continue
            column = items.expected if column == EXPECTED else column
            hint = did_you_mean(column, known, f"there are {some_of(known)}.")
            what = repr(column) if column == parameter else f"{column!r} (for {parameter!r})"
            raise ScorerError(
                scorer.name, f"it reads {what}, which neither the rows nor answers have: {hint}"
            )


def measure(scorers: Sequence[Scorer], answered: Sequence[Answered], items: Items) -> list[Measured]:
    """
    The scores of every scorer.

    Async scorers, which wait for models, work side by side with all others. Plain ones come one after the
    other: they compute, and would only stand in each other's way.

    Raises:
        ScorerError: One reads what is nowhere.
    """
    if any(each.has_output for each in answered):
        known = [*dict.fromkeys([*items.columns, *names_of([e for e in answered if e.has_output])])]
        check_names(scorers, known, items)
    table = _Columns(answered, items)
    waiting = {scorer.name: _Mapped(scorer, table) for scorer in scorers if scorer.is_async}
    computed = {s.name: _Mapped(s, table).collected() for s in scorers if not s.is_async}
    return [computed[s.name] if s.name in computed else waiting[s.name].collected() for s in scorers]


class _Columns:
    """What scorers read of all answers, by column; each is put together once."""

    def __init__(self, answered: Sequence[Answered], items: Items) -> None:
        self.answered, self.expected = answered, items.expected
        self._known: dict[str, list[Any]] = {}

    def __getitem__(self, column: str) -> list[Any]:
        if column not in self._known:
            own = self.expected if column == EXPECTED else column
            self._known[column] = [
                each.values[column] if column in each.values else each.item.values.get(own)
                for each in self.answered
            ]
            if column == INPUT:
                self._known[column] = [
                    input_of(each, self.expected) if known is None else known
                    for each, known in zip(self.answered, self._known[column], strict=True)
                ]
        return self._known[column]


class _Mapped:
    """One scorer under way over all answers that it applies to."""

    def __init__(self, scorer: Scorer, table: _Columns) -> None:
        self.scorer, self.answered = scorer, table.answered
        columns = {name: table[column] for name, (column, _) in scorer.parameters.items()}
        needed = [columns[name] for name, (_, is_needed) in scorer.parameters.items() if is_needed]
        self.places = [
            place
            for place, each in enumerate(self.answered)
            if each.has_output and all(column[place] is not None for column in needed)
        ]
        self.version = scorer.version
        self.futures = None
        if self.places:
            self.futures = scorer.task.map(
                **self._arguments(columns),
                row_id=[self.answered[place].name for place in self.places],
                on_error="collect",
                batch_size=SCORES_PER_RUN,
            )

    def _arguments(self, columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Columns of the rows that are scored; a parameter with a default keeps it where a row has None."""
        arguments = {}
        for name, column in columns.items():
            default = self.scorer.signature.parameters[name].default
            values = [column[place] for place in self.places]
            if default is not self.scorer.signature.empty:
                if all(value is None for value in values):
                    continue
                if default is not None:
                    values = [default if value is None else value for value in values]
            arguments[name] = values
        if not arguments:
            raise ScorerError(self.scorer.name, "it reads nothing of a row: give it a parameter `output`.")
        return arguments

    def collected(self) -> Measured:
        ends = [] if self.futures is None else self.futures.ends()
        for end in ends:
            if isinstance(miss := end.error, RecordingMissError):  # that says nothing of the answer
                raise RecordingMissError(miss.spec, miss.folder, miss.nearest) from miss
        metrics = _metrics_of(self.scorer.name, ends)
        rows: list[ScoreRow] = []
        ended = dict(zip(self.places, ends, strict=True))
        for place, each in enumerate(self.answered):
            end = ended.get(place)
            if end is None:
                rows.extend(_unscored(place, each, metrics))
            elif type(end.value) in _PLAIN and end.error is None and len(metrics) == 1:
                rows.append(_plain(place, metrics[0], end))
            else:
                rows.extend(_scores(place, self.scorer.name, metrics, end))
        return Measured(
            self.scorer,
            self.version,
            rows,
            cost_usd=sum(end.cost_usd or 0.0 for end in ends),
            metrics=metrics,
            reused=sum(end.outcome == "cached" for end in ends),
            tokens=_tokens(ends),
            seconds=[end.duration_seconds for end in ends if end.attempts],
        )


def _tokens(ends: Sequence[RowEnd]) -> Counter[str]:
    """What models counted for these rows."""
    found: Counter[str] = Counter()
    for end in ends:
        for account in (end.used or {}).values():
            found.update(account.amounts)
    return found


_PLAIN = frozenset({bool, int, float, str, type(None)})


def _metrics_of(name: str, ends: Sequence[RowEnd]) -> list[str]:
    """The metrics that any row has: the scorer's own name, or those of the mappings that it returned."""
    found: dict[str, None] = {}
    plain = False
    for end in ends:
        if isinstance(end.value, Mapping):
            found |= dict.fromkeys(f"{name}.{key}" for key in end.value)
        elif end.error is None and end.value is not None and not getattr(end.value, "abstained", False):
            plain = True
    return [name, *found] if plain or not found else [*found]


def _unscored(place: int, each: Answered, metrics: Sequence[str]) -> Iterator[ScoreRow]:
    """A row without an answer counts as that; one that lacks what the scorer needs is not applicable."""
    outcome = NOT_APPLICABLE if each.has_output else each.outcome
    reason = None if each.has_output else f"no answer: {each.error or each.outcome}"
    for metric in metrics:
        yield ScoreRow(place, metric, None, outcome, reason)


def _plain(place: int, metric: str, end: RowEnd) -> ScoreRow:
    if end.value is None:
        return ScoreRow(place, metric, None, NOT_APPLICABLE)
    return ScoreRow(place, metric, end.value, end.outcome)


def _scores(place: int, name: str, metrics: Sequence[str], end: RowEnd) -> Iterator[ScoreRow]:
    if end.error is not None:
        text, kind = error_text(end.error)
        outcome = "skipped" if end.outcome == "skipped" else "failed"
        for metric in metrics:
            yield ScoreRow(place, metric, None, outcome, text if outcome == "skipped" else f"{kind}: {text}")
        return
    value = end.value
    if value is None or (isinstance(value, Score) and (value.abstained or value.value is None)):
        for metric in metrics:  # for the whole row, whatever its metrics
            yield _scored(place, metric, value, end.outcome)
        return
    given = value if isinstance(value, Mapping) else {None: value}
    by_metric = {name if key is None else f"{name}.{key}": each for key, each in given.items()}
    for metric in metrics:
        if metric in by_metric:
            yield _scored(place, metric, by_metric[metric], end.outcome)
        else:
            reason = f"it gave no {metric!r}, which it gave for other rows"
            yield ScoreRow(place, metric, None, "failed", reason)


def _scored(place: int, metric: str, value: Any, outcome: str) -> ScoreRow:
    if not isinstance(value, Score):
        return ScoreRow(place, metric, value, NOT_APPLICABLE if value is None else outcome)
    if value.abstained:
        outcome = "abstained"
    elif value.value is None:
        outcome = NOT_APPLICABLE
    elif outcome == "abstained":  # another metric of the row
        outcome = "ok"
    return ScoreRow(place, metric, value.value, outcome, value.reason, value.answer, value.evidence)

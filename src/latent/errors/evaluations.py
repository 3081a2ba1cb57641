"""Errors of evaluations: their data, scorers, statistics, gates and records."""

from __future__ import annotations

from latent.errors.base import Fields, LatentError, UsageError
from latent.errors.text import as_sentence


class ScorerError(Fields, UsageError, ValueError):
    """A scorer or a judge cannot be used as it is, or reads what the data does not have."""

    scorer: str
    reason: str
    template = "Scorer {scorer!r} cannot be used: {reason}"


class ScoringError(Fields, LatentError, ValueError):
    """What a scorer returned for a row cannot be a score: the row counts as failed."""

    scorer: str
    reason: str
    template = "Scorer {scorer!r}: {reason}."


class EvaluationDataError(Fields, UsageError, ValueError):
    """Rows cannot be evaluated: there are none, an id stands twice, a column is missing."""

    data: str
    reason: str
    template = "{data} cannot be evaluated: {reason}"


class EvaluationNotFoundError(Fields, LatentError, LookupError):
    """A run has no evaluation, or one that cannot be read."""

    run: str
    reason: str
    template = "Evaluation {run!r} cannot be read: {reason}"


class ImportedResultsError(Fields, UsageError, ValueError):
    """The results of another tool cannot be taken over: another file, a newer version, half of one."""

    tool: str
    file: str
    reason: str
    template = "{file} cannot be read as results of {tool}: {reason}."


class ComparisonError(Fields, UsageError, ValueError):
    """Two evaluations cannot be held against each other."""

    old: str
    new: str
    reason: str
    template = (
        "The evaluations of {old:.8} and {new:.8} are not compared, since {reason}. "
        "`latent compare --force`, or `compare(..., force=True)`, does it all the same."
    )


class GateError(Fields, UsageError, ValueError):
    """A gate cannot be read, or asks for what an evaluation does not have."""

    metric: str
    reason: str
    template = "Gate {metric!r}: {reason}"


class RecipeError(Fields, LatentError):
    """A scorer or a target cannot be made again as the records of an evaluation say it was."""

    what: str
    reason: str
    template = "{what} cannot be made again from the records: {reason}."


class StatisticsError(UsageError, ValueError):
    """A statistic cannot be computed from what it was given; it says from what it can."""


class ExpressionError(Fields, UsageError, ValueError):
    """A condition on rows cannot be read, or asks for what the rows do not have."""

    expression: str
    reason: str

    def __str__(self) -> str:
        return f"The condition {self.expression!r} cannot be used: {as_sentence(self.reason)}"

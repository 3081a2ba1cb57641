"""`compare`: evaluations held against each other, once it is sure that they are about the same things."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, overload

from latent.errors import ComparisonError, UsageError
from latent.evals.comparing.comparison import Comparison
from latent.evals.comparing.ranking import Ranking
from latent.evals.comparing.rejudging import judged_by_the_last
from latent.evals.evaluation import Evaluation, load_evaluation

if TYPE_CHECKING:
    from pathlib import Path

LEAST_OVERLAP = 0.8
"""With fewer rows in common, two evaluations are about different things."""


@overload
def compare(
    old: Evaluation | str | Path,
    new: Evaluation | str | Path,
    /,
    *,
    force: bool = False,
    rejudge: bool = False,
    gated: Collection[str] | None = None,
    level: float = 0.95,
) -> Comparison: ...
@overload
def compare(
    old: Evaluation | str | Path,
    new: Evaluation | str | Path,
    other: Evaluation | str | Path,
    /,
    *others: Evaluation | str | Path,
    force: bool = False,
    rejudge: bool = False,
    gated: Collection[str] | None = None,
    level: float = 0.95,
) -> Ranking: ...
def compare(
    old: Evaluation | str | Path,
    new: Evaluation | str | Path,
    /,
    *others: Evaluation | str | Path,
    force: bool = False,
    rejudge: bool = False,
    gated: Collection[str] | None = None,
    level: float = 0.95,
) -> Comparison | Ranking:
    """
    How the new evaluation differs from the old one, row by row; of more than two, which cannot be told apart.

    Args:
        old: An evaluation, or what `load_evaluation` takes: a run's id, the beginning of it, a folder.
        force: Compare although few rows are the same, or a scorer is another one now.
        rejudge: Score the answers of all with the last one's scorers first, where theirs are others. Nothing
            is asked of the models that answered.
        gated: Metrics whose p values are adjusted for how many they are; None: those that have gates in the
            flow's `parameters.yaml`.
        level: Of the intervals.

    Raises:
        ComparisonError: Fewer than four of five rows are the same in both, or a scorer (its code, its
            options, its judge) is another one now: the numbers would mean different things.
        EvaluationNotFoundError: There is no such evaluation.
        RecipeError: `rejudge`, and a scorer cannot be made again.
    """
    found = [each if isinstance(each, Evaluation) else load_evaluation(each) for each in (old, new, *others)]
    if rejudge:
        found = judged_by_the_last(found)
    return compared(found, force=force, gated=gated, level=level)


def compared(
    evaluations: Sequence[Evaluation],
    *,
    force: bool = False,
    same_scorers: bool = True,
    gated: Collection[str] | None = None,
    level: float = 0.95,
) -> Comparison | Ranking:
    """
    The same for evaluations that are loaded; see `compare`.

    Args:
        same_scorers: Whether another scorer is a reason to refuse; where causes are told apart it is one of
            them.
    """
    if len(evaluations) < 2:
        raise UsageError("A comparison takes at least two evaluations.")
    if not force:
        for old, new in combinations(evaluations, 2):
            _check(Comparison(old, new), same_scorers)
    chosen = _gated(evaluations[-1]) if gated is None else gated
    if len(evaluations) > 2:
        return Ranking(evaluations, level=level)
    return Comparison(*evaluations, level=level, gated=chosen)


def _check(made: Comparison, same_scorers: bool) -> None:
    """See that the numbers of two evaluations mean the same."""
    pairs = made.pairs
    if pairs.overlap < LEAST_OVERLAP:
        flows = {made.old.about["flow"], made.new.about["flow"]}
        of_flows = f"; they are of different flows, {' and '.join(sorted(flows))}" if len(flows) > 1 else ""
        shared = f"only {len(pairs.ids):,} rows are" if pairs.ids else "not one row is"
        raise ComparisonError(
            made.old.run_id,
            made.new.run_id,
            f"{shared} the same in both ({len(pairs.changed):,} of the same id have "
            f"other content, {len(pairs.added):,} are new, {len(pairs.removed):,} are gone){of_flows}",
        )
    if not set(made.old.metrics) & set(made.new.metrics):
        names = [", ".join(each.metrics) or "none" for each in (made.old, made.new)]
        raise ComparisonError(
            made.old.run_id,
            made.new.run_id,
            f"they have no metric in common: {names[0]} in the one, {names[1]} in the other",
        )
    if same_scorers and (others := sorted({made.new.metrics[name].scorer for name in made.others})):
        raise ComparisonError(
            made.old.run_id,
            made.new.run_id,
            f"the scorer {', '.join(map(repr, others))} is another one now: score both with one, "
            "`latent compare ... --rejudge`, or see what it changed, `--causes`",
        )


def _gated(evaluation: Evaluation) -> Collection[str]:
    """The metrics that the flow's `parameters.yaml` has gates for."""
    from latent.config import find_workspace, load_gates

    return load_gates(find_workspace(), evaluation.about["flow"])

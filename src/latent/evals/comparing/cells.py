"""
The cells between two evaluations: old answers under the new scorers, the new prompt with the old model.

What is remembered is not asked again. What cannot be made again from the records is told, and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from latent.errors import RecipeError
from latent.evals.answering import Answered, FunctionTarget, ModelTarget, Target
from latent.evals.comparing.comparison import Comparison
from latent.evals.comparing.pairing import RowScores, add_score, scores_of
from latent.evals.evaluating import items_of, plan_judges
from latent.evals.evaluation import Evaluation
from latent.evals.items import Items
from latent.evals.measuring import Measured, measure
from latent.evals.recipes import function_of, model_fingerprint, model_of, prompt_of, scorer_of
from latent.evals.scoring import Scorer

PROMPT, MODEL, TARGET, ANSWERS, SCORER = "prompt", "model", "target", "answers", "scorer"

Cell = frozenset[str]
"""The causes that are as in the new evaluation; all others are as in the old one."""
OLD: Cell = frozenset()

T = TypeVar("T")


def target_causes(old: Evaluation, new: Evaluation) -> list[str]:
    """What of the targets is another one now: prompt and model apart, else all of it."""
    was, now = _parts(old), _parts(new)
    if was.keys() != now.keys():
        return [TARGET]
    return [part for part in was if was[part] != now[part]]


def _parts(evaluation: Evaluation) -> dict[str, Any]:
    target = dict(evaluation.about["target"])
    if target["kind"] == "given":  # the data alone knows where they come from
        columns = (evaluation.rows_table[name].to_pylist() for name in ("id", "output"))
        return {ANSWERS: dict(zip(*columns, strict=True))}
    if target["kind"] != "model":
        return {TARGET: target}
    prompt = [target.pop(name, None) for name in ("prompt", "prompt_file")]
    return {PROMPT: prompt[0], MODEL: (target, model_fingerprint(evaluation.about.get("target_recipe")))}


class Cells:
    """Answers and scores of two evaluations, and of what lies between them, for the rows that both have."""

    def __init__(self, comparison: Comparison) -> None:
        self.old, self.new = comparison.old, comparison.new
        self.ids = list(comparison.ids)
        self.notes: list[str] = []
        """What could not be made again."""
        self.causes = target_causes(self.old, self.new)
        """Of the answers."""
        self._asked: dict[Cell, list[Answered] | None] = {}
        self._measured: dict[tuple[Cell, str, bool], dict[str, dict[str, RowScores]]] = {}

    @cached_property
    def items(self) -> Items:
        """The rows."""
        return self.items_of(self.ids)

    def items_of(self, ids: Iterable[str]) -> Items:
        """Some of the rows."""
        answered = self.old.answered()
        items, wanted = items_of(self.old, answered), frozenset(ids)
        return replace(items, rows=[item for item in items.rows if item.id in wanted])

    def causes_of(self, metric: str) -> list[str]:
        """What of a metric's scores is another one now."""
        is_other = self.old.metrics[metric].version != self.new.metrics[metric].version
        return [*self.causes, *([SCORER] if is_other else [])]

    def scores(self, metric: str, cell: Cell) -> dict[str, RowScores] | None:
        """The scores of a metric in a cell, by row; None where they cannot be made again."""
        answers, by_new = cell - {SCORER}, SCORER in cell or SCORER not in self.causes_of(metric)
        by_old = SCORER not in cell
        if answers == frozenset(self.causes) and by_new:
            return scores_of(self.new, metric)
        if answers == OLD and by_old:
            return scores_of(self.old, metric)
        side = self.new if by_new else self.old
        name = side.metrics[metric].scorer
        known = self._measured.get((answers, name, by_new))
        if known is None:
            answered, scorer = self.answers(answers), self.scorer(side, name)
            if answered is None or scorer is None:
                return None
            known = self.measured([scorer], answered, self.items)
            self._measured[answers, name, by_new] = known
        return known.get(metric)

    def measured(
        self, scorers: Sequence[Scorer], answered: Sequence[Answered], items: Items
    ) -> dict[str, dict[str, RowScores]]:
        """Scores by metric and row; in a plan, what they would be asked about is counted."""
        if any(each.outcome == "skipped" for each in answered):
            plan_judges(scorers, answered, items)
        found: dict[str, dict[str, RowScores]] = {}
        for each in measure(scorers, answered, items):
            _add(found, each, answered)
        return found

    def answers(self, cell: Cell) -> list[Answered] | None:
        """The answers of a cell; None where they cannot be asked for."""
        if cell not in self._asked:
            self._asked[cell] = self._answers(cell)
        return self._asked[cell]

    def _answers(self, cell: Cell) -> list[Answered] | None:
        for evaluation, whole in ((self.old, OLD), (self.new, frozenset(self.causes))):
            if cell == whole:
                wanted = frozenset(self.ids)
                return [each for each in evaluation.answered() if each.item.id in wanted]
        # Only of models with prompts is there more than the old answers and the new ones.
        target = self.told(lambda: self._mixed(cell))
        if target is None:
            return None
        target.check(self.items)
        repeats = min(self.old.about["repeats"], self.new.about["repeats"])
        return target.answer(self.items, repeats)

    def _mixed(self, cell: Cell) -> Target:
        model, prompt = (self.new if part in cell else self.old for part in (MODEL, PROMPT))
        return ModelTarget(model_of(model.about.get("target_recipe")), prompt_of(prompt.about["target"]))

    def again(self, evaluation: Evaluation, ids: Iterable[str]) -> list[Answered] | None:
        """The answers of one side, asked once more about some rows; None where they cannot be asked for."""
        target = self.told(lambda: target_again(evaluation))
        if target is None:
            return None
        items = self.items_of(ids)
        target.check(items)
        return target.answer(items, 1, first=evaluation.about["repeats"])

    def scorer(self, side: Evaluation, name: str) -> Scorer | None:
        """A scorer of one side, if it is still what it was."""
        return self.told(lambda: scorer_again(side, name))

    def told(self, make: Callable[[], T]) -> T | None:
        """What is made; where it cannot be, that is noted once."""
        try:
            return make()
        except RecipeError as error:
            if str(error) not in self.notes:
                self.notes.append(str(error))
            return None


def scorer_again(side: Evaluation, name: str) -> Scorer:
    """
    A scorer of an evaluation, as it was.

    Raises:
        RecipeError: It cannot be made again, or means something else by now.
    """
    about = next(each for each in side.about["scorers"] if each["name"] == name)
    found = scorer_of(about.get("recipe"), name)
    if found.version != about["version"]:
        raise RecipeError(f"Scorer {name!r}", f"it is another one by now than in run {side.run_id[:8]}")
    return found


def target_again(side: Evaluation) -> Target:
    """
    What answered in an evaluation, as it was.

    Raises:
        RecipeError: It is gone, or is another one by now.
    """
    from latent.cache import code_fingerprint
    from latent.config import find_workspace

    about, recipe = side.about["target"], side.about.get("target_recipe")
    if about["kind"] == "model":
        return ModelTarget(model_of(recipe), prompt_of(about))
    if about["kind"] == "given":
        raise RecipeError("The target", "the answers stood in the data")
    made = FunctionTarget(function_of(recipe, about["name"]))
    if code_fingerprint(made.task.fn, find_workspace().root).digest != about.get("code"):
        raise RecipeError(
            f"Target {about['name']!r}", f"its code is another one by now than in run {side.run_id[:8]}"
        )
    return made


def _add(found: dict[str, dict[str, RowScores]], measured: Measured, answered: Sequence[Answered]) -> None:
    for row in measured.rows:
        by_row = found.setdefault(row.metric, {})
        add_score(by_row, answered[row.place].item.id, row.value, row.outcome)

"""`Judge`: a model that grades answers by a rubric, and says why first."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from latent.errors import ScorerError
from latent.errors.text import did_you_mean
from latent.evals.fencing import fenced
from latent.evals.scoring import Kind, Scale, Score, Scorer
from latent.llm import Model

if TYPE_CHECKING:
    from pydantic import BaseModel

    from latent.llm import Answer

REVISION = 1
"""Changes when judges are asked otherwise, so that their scores mean something else."""

UNCHECKED = "judge not checked against people"

TOO_SMALL = frozenset({"local:smollm2"})
"""Bundled models that show how a judge is used; with 135 million parameters their grades mean nothing."""

GRADING = """\
You grade an output by a rubric.

Rubric: {{ rubric }}

{{ scale }}

{{ rules }}

{{ data }}

Grade the output by the rubric. Give the reason first, in a sentence or two, then the score."""
"""What a judge is asked; `prompt=` replaces it."""

Verdict = Any


@dataclass(frozen=True)
class Rubric:
    """All that the grade of an answer depends on, beside the answer."""

    text: str
    model: Model
    scale: Scale
    output: type[BaseModel] | None = None
    votes: int = 1
    recheck: float = 0.0
    prompt: str = GRADING
    verdict: Any = field(init=False, repr=False)
    """The type of a grade: the reason, then the score."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "verdict", _verdict_type(self.scale, self.output))

    def __latent_hash__(self) -> Any:
        scale = dict(self.scale) if isinstance(self.scale, Mapping) else self.scale
        schema = self.verdict.model_json_schema()
        return (
            "latent.evals.rubric", REVISION, self.text, self.model, scale, schema, self.votes, self.recheck,
            self.prompt,
        )  # fmt: skip

    def recipe_fields(self) -> dict[str, Any]:
        """What it is made of again."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.init}

    async def grade(self, **fields: Any) -> Score:
        """The grade of one answer."""
        prompt = self.rendered(fields)
        answers = await asyncio.gather(
            *(
                self.model.complete_async(prompt, output=self.verdict, repeat=repeat)
                for repeat in range(self.votes + self._rechecks(prompt))
            )
        )
        return self._decided(answers[: self.votes], answers[self.votes :])

    def rendered(self, fields: Mapping[str, Any]) -> str:
        """The prompt for one answer; its fields stand inside of fences."""
        from latent.llm import PromptTemplate

        rules, data = fenced(fields)
        template = PromptTemplate(self.prompt)
        return template.render(rubric=self.text, scale=scale_in_words(self.scale), rules=rules, data=data)

    def _rechecks(self, prompt: str) -> int:
        """Whether this answer is among those that are graded twice: told by its content, not by chance."""
        from latent.cache import stable_hash

        return int(int(stable_hash(prompt)[:8], 16) / 16**8 < self.recheck)

    def _decided(self, votes: Sequence[Answer], second: Sequence[Answer]) -> Score:
        grades = [grade for vote in votes if (grade := readable(vote)) is not None]
        if not grades:
            return unreadable(votes[0])
        values = [grade.score for grade in grades]
        value = _middle(values)
        chosen = grades[values.index(value)]
        evidence: dict[str, Any] = chosen.model_dump(mode="json", exclude={"reason", "score"})
        if len(votes) > 1:
            evidence["votes"] = values
        if second:
            again = readable(second[0])
            evidence["recheck"] = [values[0], None if again is None else again.score]
        return Score(value, reason=chosen.reason, evidence=evidence or None)


class Judge(Scorer):
    """
    A model that grades answers by a rubric: a scorer among others.

    The reason comes before the score. If the grade cannot be parsed, the row abstains, and what the
    judge said is kept. What the judge is shown of a row stands inside fences and is said to be data.
    """

    def __init__(
        self,
        rubric: str,
        *,
        model: Model | str,
        name: str | None = None,
        scale: Scale = (1, 5),
        output: type[BaseModel] | None = None,
        reference: str | None = "auto",
        context: str | None = None,
        votes: int = 1,
        recheck: float = 0.05,
        prompt: str | None = None,
    ) -> None:
        """
        Args:
            rubric: What is graded, in a sentence or more: `"Does the answer name its source?"`.
            model: What judges. There is no default: the choice decides what the grades are worth.
            name: The metric's.
            scale: The lowest and highest grade, or grades with their meaning; of texts, labels.
            output: A pydantic type with further fields that the judge fills in, kept as evidence.
            reference: The column of a right answer; `"auto"`: the expected answer where there is one; None:
                the judge sees none.
            context: The column of what the answer rests on: passages, say.
            votes: How often each answer is graded; the middle grade counts.
            recheck: The share of answers that are graded once more, to see how far the judge agrees with
                itself.
            prompt: A template instead of ours, with `rubric`, `scale`, `rules` and `data` to be filled in.

        Raises:
            ScorerError: A setting cannot be used.
        """
        label = name or "judge"
        _check_settings(label, rubric, scale, votes, recheck, prompt)
        self.rubric = Rubric(
            text=rubric.strip(),
            model=model if isinstance(model, Model) else Model(model),
            scale=scale,
            output=output,
            votes=votes,
            recheck=recheck,
            prompt=GRADING if prompt is None else prompt,
        )
        columns = {} if reference in ("auto", None) else {"expected": reference}
        super().__init__(
            _grader(reference, context),
            label,
            kind=_kind(scale),
            scale=None if _kind(scale) == "label" else scale,
            revision=REVISION,
            aggregate=_Agreement(ordered=_kind(scale) != "label"),
            options={"judge": self.rubric},
            columns={**columns, **({"context": context} if context else {})},
            note=note_on(self.rubric.model),
            about=about_rubric(self.rubric),
            made_by=(
                (__name__, "Judge"),
                {
                    "rubric": rubric, "model": self.rubric.model, "name": name, "scale": scale,
                    "output": output, "reference": reference, "context": context, "votes": votes,
                    "recheck": recheck, "prompt": prompt,
                },
            ),
        )  # fmt: skip

    @property
    def model(self) -> Model:
        """What judges."""
        return self.rubric.model

    def pairwise(self, against: str = "baseline", *, swap: bool = True, name: str | None = None) -> Scorer:
        """
        A scorer that asks which of two answers is better: the output, or that in the column `against`.

        1: the output is; 0: the other is; 0.5: they are equal, or the verdict flips with the order in which
        they are shown. The share of flips is a metric of its own.

        Args:
            swap: Ask in both orders. Without, the answer that is shown first has an advantage.
        """
        from latent.evals.pairwise import pairwise_scorer

        return pairwise_scorer(self.rubric, against, swap=swap, name=name or f"{self.name}_pairwise")


def note_on(judge: Model) -> str:
    """What has to be known beside the grades of a judge that nobody has checked."""
    return f"{UNCHECKED}, and {judge.spec} is too small to judge" if judge.spec in TOO_SMALL else UNCHECKED


def about_rubric(rubric: Rubric) -> dict[str, Any]:
    """What the records say of a judge."""
    return {
        "model": rubric.model.spec,
        "sampling": dict(rubric.model.sampling),
        "rubric": rubric.text,
        "prompt": rubric.prompt,
        "votes": rubric.votes,
        "recheck": rubric.recheck,
    }


def scale_in_words(scale: Scale) -> str:
    """How a judge is told of its scale."""
    if isinstance(scale, Mapping):
        return "Scale:\n" + "\n".join(f"{grade}: {meaning}" for grade, meaning in scale.items())
    return f"Scale: whole numbers from {scale[0]:g} (worst) to {scale[1]:g} (best)."


def readable(answer: Answer) -> Verdict | None:
    """The grade in an answer; None where it cannot be read."""
    return None if answer.problem is not None else answer.output


def unreadable(answer: Answer) -> Score:
    """The score of an answer that holds no grade: none, with what was said."""
    said = {"text": answer.text, "finish_reason": answer.finish_reason}
    return Score(None, reason=f"unreadable: {answer.problem}", evidence=said, abstained=True)


def _verdict_type(scale: Scale, output: type[BaseModel] | None) -> Any:
    """The type that a judge fills in, its fields in the order in which they are to be thought of."""
    from pydantic import BaseModel, Field, create_model

    score: Any
    if isinstance(scale, Mapping):
        grades = Literal[tuple(scale)]  # type: ignore[valid-type]  # made of the grades
        meaning = "; ".join(f"{grade}: {text}" for grade, text in scale.items())
        score = (grades, Field(description=meaning))
    else:
        score = (int, Field(ge=int(scale[0]), le=int(scale[1])))
    return create_model(
        "Grade",
        __base__=output or BaseModel,
        reason=(str, Field(description="Why, in a sentence or two")),
        score=score,
    )


def _middle(values: Sequence[Any]) -> Any:
    """The median of grades, on the scale; of labels the most frequent, of equals the first."""
    if isinstance(values[0], str):
        return Counter(values).most_common(1)[0][0]
    return statistics.median_low(values)


def _kind(scale: Scale) -> Kind:
    is_label = isinstance(scale, Mapping) and all(isinstance(grade, str) for grade in scale)
    return "label" if is_label else "ordinal"


def _grader(reference: str | None, context: str | None) -> Callable[..., Any]:
    """The function of a judge's task, which reads what the judge is to see."""

    async def grade(*, judge: Rubric, **fields: Any) -> Score:
        return await judge.grade(**fields)

    needed, optional = inspect.Parameter.empty, None
    read: dict[str, Any] = {"input": needed, "output": needed}
    if reference is not None:
        read["expected"] = optional if reference == "auto" else needed
    if context is not None:
        read["context"] = needed
    named = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in sorted(read.items(), key=lambda each: each[1] is optional)
    ]
    own = inspect.Parameter("judge", inspect.Parameter.KEYWORD_ONLY)
    grade.__signature__ = inspect.Signature([*named, own])  # type: ignore[attr-defined]  # read by `inspect`
    return grade


@dataclass(frozen=True)
class _Agreement:
    """How far a judge agrees with itself: over rows that were graded twice, and among its votes."""

    ordered: bool

    def __call__(self, scores: Sequence[Score]) -> dict[str, Any]:
        from latent.evals.stats import krippendorff_alpha, mean_interval

        found: dict[str, Any] = {}
        evidence = [score.evidence for score in scores if isinstance(score.evidence, Mapping)]
        twice = [each["recheck"] for each in evidence if None not in each.get("recheck", [None])]
        if twice:
            found["self_agreement"] = mean_interval([first == second for first, second in twice])
        votes = [each["votes"] for each in evidence if len(each.get("votes", ())) > 1]
        if votes:
            most = max(map(len, votes))
            table = [[*each, *[None] * (most - len(each))] for each in votes]
            measure: Any = "ordinal" if self.ordered else "nominal"
            found["votes_alpha"] = krippendorff_alpha(table, measure=measure)
        return found


def _check_settings(
    name: str, rubric: str, scale: Scale, votes: int, recheck: float, prompt: str | None
) -> None:
    if not isinstance(rubric, str) or not rubric.strip():
        raise ScorerError(name, "a judge needs a rubric: say what is to be graded.")
    if isinstance(votes, bool) or not isinstance(votes, int) or votes < 1:
        raise ScorerError(name, f"`votes` is how often each answer is graded, at least 1, not {votes!r}.")
    if not 0 <= recheck <= 1:
        raise ScorerError(name, f"`recheck` is a share from 0 to 1, not {recheck!r}.")
    if isinstance(scale, Mapping):
        if len(scale) < 2 or len({type(grade) for grade in scale}) > 1:
            raise ScorerError(name, f"a scale has at least two grades of one type, not {scale!r}.")
    elif len(scale) != 2 or not all(float(end).is_integer() for end in scale) or scale[0] >= scale[1]:
        raise ScorerError(name, f"a judge's scale is two whole numbers, the lower first, not {scale!r}.")
    if prompt is not None:
        _check_prompt(name, prompt)


def _check_prompt(name: str, prompt: str) -> None:
    from latent.llm import PromptTemplate

    known = ("rubric", "scale", "rules", "data")
    names = PromptTemplate(prompt).names
    for each in sorted(names - set(known)):
        hint = did_you_mean(each, known, f"there are {', '.join(known)}.")
        raise ScorerError(name, f"its prompt has a name {each!r} that is not filled in: {hint}")
    if missing := {"rules", "data"} - names:
        raise ScorerError(
            name,
            f"its prompt lacks {{{{ {sorted(missing)[0]} }}}}: `data` is what is graded, and `rules` tell "
            "the judge to take it for nothing else.",
        )

"""Pairwise judging: which of two answers is better, asked in both orders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from latent.evals.fencing import fenced
from latent.evals.judging import REVISION, Rubric, about_rubric, note_on, readable, unreadable
from latent.evals.recipes import remade
from latent.evals.scoring import Score, Scorer

if TYPE_CHECKING:
    from latent.llm import Answer

COMPARING = """\
You compare two outputs by a rubric.

Rubric: {{ rubric }}

{{ rules }}

{{ data }}

Which output is better by the rubric, first_output or second_output? The order in which they stand means
nothing, and neither does their length. Give the reason first, in a sentence or two, then the better one, or
"equal"."""

WORTH = {"first": 1.0, "second": 0.0, "equal": 0.5}


@remade
def pairwise_scorer(rubric: Rubric, against: str, *, swap: bool, name: str) -> Scorer:
    """A scorer that compares the output with the column `against`; see `Judge.pairwise`."""

    async def compare(input: Any, output: Any, baseline: Any, *, judge: Rubric, both_orders: bool) -> Score:
        return await _compared(judge, input, output, baseline, both_orders)

    return Scorer(
        compare,
        name,
        kind="continuous",
        scale=(0, 1),
        revision=REVISION,
        aggregate=_flips,
        options={"judge": replace(rubric, prompt=COMPARING), "both_orders": swap},
        about=about_rubric(replace(rubric, prompt=COMPARING)),
        columns={"baseline": against},
        note=note_on(rubric.model),
    )


async def _compared(judge: Rubric, asked: Any, output: Any, baseline: Any, both_orders: bool) -> Score:
    from latent.llm import PromptTemplate

    pairs = [(output, baseline), (baseline, output)][: 1 + both_orders]
    template, verdict = PromptTemplate(judge.prompt), _choice_type()
    prompts = []
    for first, second in pairs:
        rules, data = fenced({"input": asked, "first_output": first, "second_output": second})
        prompts.append(template.render(rubric=judge.text, rules=rules, data=data))
    answers = await asyncio.gather(
        *(judge.model.complete_async(prompt, output=verdict) for prompt in prompts)
    )
    return _decided(answers)


def _decided(answers: Sequence[Answer]) -> Score:
    choices = []
    for answer in answers:
        if (choice := readable(answer)) is None:
            return unreadable(answer)
        choices.append(choice)
    worths = [WORTH[choices[0].better]] + [1 - WORTH[choice.better] for choice in choices[1:]]
    flipped = len(set(worths)) > 1
    evidence = {"by_order": worths, "flipped": flipped}
    return Score(0.5 if flipped else worths[0], reason=choices[0].reason, evidence=evidence)


def _flips(scores: Sequence[Score]) -> dict[str, Any]:
    """The share of verdicts that changed with the order."""
    from latent.evals.stats import mean_interval

    seen = [s.evidence for s in scores if isinstance(s.evidence, Mapping) and len(s.evidence["by_order"]) > 1]
    return {"order_flips": mean_interval([bool(each["flipped"]) for each in seen])} if seen else {}


def _choice_type() -> Any:
    from pydantic import Field, create_model

    better: Any = Literal["first", "second", "equal"]
    return create_model(
        "Choice",
        reason=(str, Field(description="Why, in a sentence or two")),
        better=(better, Field(description="first_output, second_output, or equal")),
    )

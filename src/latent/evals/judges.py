"""
Judges that are ready: of answers against their passages, references and questions.

Each takes the model that judges, and gives a scorer. `context` is the column of the passages, in their order.
Sources: claims that are supported, Es et al. 2023 (arXiv:2309.15217) and Min et al. 2023 (arXiv:2305.14251).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from latent.errors import ScorerError
from latent.evals.fencing import fenced
from latent.evals.judging import REVISION, Judge, note_on, readable
from latent.evals.recipes import remade
from latent.evals.scoring import Abstain, Kind, Score, Scorer
from latent.llm import Model

CONTEXT = "passages"

CLAIMS = """\
Split the text called `{text}` into its claims: short statements of fact, each of which can be checked by
itself and names what it is about. Leave out questions, greetings and opinions. Add nothing."""

SUPPORTED = """\
For each of the numbered claims, in their order: does it follow from the context alone? What you know beside
the context does not count."""

RELEVANT = """\
For each of the numbered passages of the context, in their order: does it help to answer the input?"""

CHECKLIST = """\
Answer each of these questions about the output, in their order, with the reason first:

{questions}"""


@remade
def faithfulness(*, model: Model | str, context: str = CONTEXT, name: str = "faithfulness") -> Scorer:
    """
    The share of the output's claims that follow from the passages, 0 to 1.

    Two calls: one for the claims, one for whether each is supported. An output without claims is not
    applicable.
    """

    async def claims_supported(output: Any, context: Any, *, judge: Model) -> Score:
        return await _supported(judge, "output", output, context)

    return _scorer(claims_supported, name, model, {"context": context}, SUPPORTED)


@remade
def context_recall(*, model: Model | str, context: str = CONTEXT, name: str = "context_recall") -> Scorer:
    """The share of the expected answer's claims that follow from the passages, 0 to 1."""

    async def claims_found(expected: Any, context: Any, *, judge: Model) -> Score:
        return await _supported(judge, "expected", expected, context)

    return _scorer(claims_found, name, model, {"context": context}, SUPPORTED)


@remade
def context_relevancy(
    *, model: Model | str, context: str = CONTEXT, name: str = "context_relevancy"
) -> Scorer:
    """The share of the passages that help to answer the question, 0 to 1."""

    async def passages_relevant(input: Any, context: Any, *, judge: Model) -> Score:
        verdicts = await _relevant(judge, input, context)
        return _share(verdicts, context)

    return _scorer(passages_relevant, name, model, {"context": context}, RELEVANT)


@remade
def context_precision(
    *, model: Model | str, context: str = CONTEXT, name: str = "context_precision"
) -> Scorer:
    """
    Whether the passages that help stand first: their average precision, 0 to 1.

    The mean over the helpful passages of the share of helpful ones up to each; 0 where none helps.
    """

    async def passages_in_order(input: Any, context: Any, *, judge: Model) -> Score:
        verdicts = await _relevant(judge, input, context)
        hits = [rank for rank, (_, helps) in enumerate(verdicts, 1) if helps]
        precision = [found / rank for found, rank in enumerate(hits, 1)]
        score = _share(verdicts, context)
        value = sum(precision) / len(precision) if precision else 0.0
        return Score(value, reason=score.reason, evidence=score.evidence)

    return _scorer(passages_in_order, name, model, {"context": context}, RELEVANT)


def answer_relevancy(*, model: Model | str, name: str = "answer_relevancy", **settings: Any) -> Judge:
    """Whether the output answers what was asked, whether or not that is true; 1 to 5."""
    rubric = (
        "Does the output answer the input: to the point, complete, and without what was not asked for? "
        "Whether it is true does not matter here."
    )
    return Judge(rubric, model=model, name=name, **{"reference": None, **settings})


def correctness(*, model: Model | str, name: str = "correctness", **settings: Any) -> Judge:
    """Whether the output says the same as the expected answer: 0 or 1."""
    rubric = (
        "Does the output say the same as the expected answer? Other words and further true details do not "
        "matter; a contradiction or a missing part does."
    )
    scale = {0: "it does not", 1: "it does"}
    return Judge(rubric, model=model, name=name, **{"reference": "expected", "scale": scale, **settings})


def tool_calls(*, model: Model | str, name: str = "tool_calls_judged", **settings: Any) -> Judge:
    """Whether the right tools were called, with the right arguments, in a sensible order; 1 to 5."""
    rubric = (
        "Given the input, were the right tools called (see the context), with the right arguments, in an "
        "order that makes sense, and none in vain?"
    )
    return Judge(rubric, model=model, name=name, **{"context": "tool_calls", **settings})


@remade
def checklist(
    questions: Mapping[str, str] | Sequence[str], *, model: Model | str, name: str = "checklist"
) -> Scorer:
    """
    Questions with yes or no about each output, asked in one call; each is a metric.

    Args:
        questions: By the metric's name; of a list, names are made of the words.

    Raises:
        ScorerError: There are none, or two have one name.
    """
    lines = dict(questions) if isinstance(questions, Mapping) else {_slug(each): each for each in questions}
    if not lines or len(lines) < len(questions):
        raise ScorerError(name, "a checklist needs questions, and for each a name of its own.")

    async def answered(
        input: Any, output: Any, expected: Any = None, *, judge: Model, lines: Mapping[str, str]
    ) -> dict[str, Score]:
        numbered = "\n".join(f"{place}. {text}" for place, text in enumerate(lines.values(), 1))
        found = await _ask(
            judge, CHECKLIST.format(questions=numbered), _verdicts("yes"),
            {"input": input, "output": output, "expected": expected},
        )  # fmt: skip
        verdicts = _as_many(found, len(lines))
        return {
            key: Score(verdict.yes, reason=verdict.reason)
            for key, verdict in zip(lines, verdicts, strict=True)
        }

    made = _scorer(answered, name, model, {}, CHECKLIST, kind="binary")
    return made.with_options(lines=lines)


def _scorer(
    fn: Callable[..., Any],
    name: str,
    model: Model | str,
    columns: Mapping[str, str],
    rubric: str,
    kind: Kind = "continuous",
) -> Scorer:
    judge = model if isinstance(model, Model) else Model(model)
    return Scorer(
        fn,
        name,
        kind=kind,
        scale=None if kind == "binary" else (0, 1),
        revision=REVISION,
        options={"judge": judge},
        columns=columns,
        note=note_on(judge),
        about={"model": judge.spec, "sampling": dict(judge.sampling), "rubric": rubric},
    )


async def _supported(judge: Model, name: str, text: Any, context: Any) -> Score:
    """The share of a text's claims that follow from the context."""
    if not _passages(context):
        return Score(None, reason="there are no passages")
    found = await _ask(judge, CLAIMS.format(text=name), _claims(), {name: text})
    if not found.claims:
        return Score(None, reason="it makes no claims")
    verdicts = _as_many(
        await _ask(judge, SUPPORTED, _verdicts("supported"), {"claims": found.claims, "context": context}),
        len(found.claims),
    )
    evidence = [
        {"claim": claim, "supported": verdict.supported, "reason": verdict.reason}
        for claim, verdict in zip(found.claims, verdicts, strict=True)
    ]
    good = sum(each["supported"] for each in evidence)
    reason = f"{good} of {len(evidence)} claims are supported"
    return Score(good / len(evidence), reason=reason, evidence=evidence)


async def _relevant(judge: Model, asked: Any, context: Any) -> list[tuple[str, bool]]:
    """For each passage, why and whether it helps."""
    passages = _passages(context)
    if not passages:
        raise Abstain("there are no passages")
    found = await _ask(judge, RELEVANT, _verdicts("helps"), {"input": asked, "context": passages})
    return [(verdict.reason, verdict.helps) for verdict in _as_many(found, len(passages))]


def _share(verdicts: Sequence[tuple[str, bool]], context: Any) -> Score:
    good = sum(helps for _, helps in verdicts)
    evidence = [
        {"passage": place, "helps": helps, "reason": why} for place, (why, helps) in enumerate(verdicts)
    ]
    reason = f"{good} of {len(verdicts)} passages help"
    return Score(good / len(verdicts), reason=reason, evidence=evidence)


def _passages(context: Any) -> list[Any]:
    if isinstance(context, list | tuple):
        return [each for each in context if each]
    return [context] if context else []


async def _ask(judge: Model, task: str, form: Any, fields: Mapping[str, Any]) -> Any:
    """
    What a judge says about fields of a row, which stand inside of fences.

    Raises:
        Abstain: It cannot be read.
    """
    rules, data = fenced(fields)
    answer = await judge.complete_async(f"{task}\n\n{rules}\n\n{data}", output=form)
    found = readable(answer)
    if found is None:
        raise Abstain(f"unreadable: {answer.problem}", {"text": answer.text})
    return found


def _as_many(found: Any, wanted: int) -> list[Any]:
    """The verdicts, if there is one for each."""
    verdicts: list[Any] = found.verdicts
    if len(verdicts) != wanted:
        said = found.model_dump(mode="json")
        raise Abstain(f"unreadable: {len(verdicts)} verdicts on {wanted} of what was asked", said)
    return verdicts


def _claims() -> Any:
    from pydantic import create_model

    return create_model("Claims", claims=(list[str], ...))


def _verdicts(question: str) -> Any:
    """A list of verdicts, each with its reason before it."""
    from pydantic import create_model

    fields: dict[str, Any] = {"reason": (str, ...), question: (bool, ...)}
    verdict: Any = create_model("Verdict", **fields)
    return create_model("Verdicts", verdicts=(list[verdict], ...))


def _slug(text: str) -> str:
    return "_".join(re.findall(r"\w+", text.lower())[:6])

"""`evaluate`: ask a target about every row, score what it said, and keep both."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from latent.config import find_workspace
from latent.errors import MissingKeyError, RecordingMissError, RunStoppedError, ScorerError, UsageError
from latent.evals.answering import (
    INPUT,
    OUTPUT,
    Answered,
    FunctionTarget,
    GivenOutputs,
    ModelTarget,
    Target,
    target_of,
)
from latent.evals.evaluation import Cost, Evaluation
from latent.evals.items import Data, Items, load_items
from latent.evals.judging import Rubric
from latent.evals.measuring import SCORED, Measured, check_scorers, measure
from latent.evals.metrics import metrics_of, sliced
from latent.evals.people import (
    EXPIRED,
    Labels,
    check_against_people,
    expiry_warning,
    load_labels,
    marked_answers,
)
from latent.evals.recipes import recipe_of_scorer, recipe_of_target
from latent.evals.records import FORMAT, REPORT, SCORES, rows_table, scores_table, to_json, utf8, write
from latent.evals.report import markdown_report
from latent.evals.scoring import Scorer
from latent.files import replace_file
from latent.llm import Answer, Model

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

    from latent.llm import PromptTemplate

R = TypeVar("R")

DEFAULT_NAME = "evaluate"

USUAL_ANSWER = "so many words " * 30
"""What a judge reads in a plan, where nobody knows the answer."""

_NOT_IN_NAMES = re.compile(r"[/%&<>]")
"""What Prefect does not take in the name of a flow."""

PLANNED = "This is a plan: nothing is sent, so there is nothing to score."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `evaluate` was asked for."""

    data: Data
    target: Target
    scorers: Sequence[Scorer]
    expected: str
    row_id: str
    repeats: int
    cluster: str | None
    slices: Sequence[str]
    labels: Labels
    name: str


def evaluate(
    data: Data,
    target: Model | Callable[..., Any] | None = None,
    scorers: Scorer | Iterable[Scorer] = (),
    *,
    prompt: str | PromptTemplate | None = None,
    expected: str = "expected",
    row_id: str = "id",
    repeats: int = 1,
    cluster: str | None = None,
    slices: str | Sequence[str] = (),
    labels: Labels = None,
    name: str | None = None,
) -> Evaluation:
    """
    Ask a target about every row of the data, and score its answers.

    Inside a flow it is part of that run; alone it makes a run of a flow `evaluate`, or of `name`. Answers and
    scores are remembered like all rows: only what is new or has changed is asked and scored.

    Args:
        data: A dataset's name, a path, a frame, or a list of mappings.
        target: A `Model`; a function of a row, plain or async, or a task; None when rows have an `output`.
        prompt: For a model, a template that the row's columns fill: `"Answer briefly: {{ question }}"`. None:
            the column `prompt`.
        expected: The column of expected answers.
        row_id: The column of ids; where there is none, ids are made of the rows' content.
        repeats: How often each row is asked.
        cluster: A column that tells which rows belong together: intervals allow for it.
        slices: Columns for each of whose values the metrics are told apart.
        labels: What people say of the answers, to hold judges against: a column, or rows with `id`, `label`,
            and `metric` where there are several, or the `labels.jsonl` of marks that were made in the
            page. Draw the labelled rows at random.
        name: Of the evaluation, and of its run where it makes one.

    Raises:
        EvaluationDataError: The rows cannot be evaluated: an id stands twice, a column is missing.
        ScorerError: A scorer cannot be used, or reads what the rows do not have.
    """
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise UsageError(f"`repeats` is how often each row is asked, at least 1, not {repeats!r}.")
    request = Request(
        data=data,
        target=target_of(target, prompt),
        scorers=_scorers(scorers),
        expected=expected,
        row_id=row_id,
        repeats=repeats,
        cluster=cluster,
        slices=[slices] if isinstance(slices, str) else list(slices),
        labels=labels,
        name=name or DEFAULT_NAME,
    )
    return in_a_run(request.name, lambda: _evaluated(request))


async def evaluate_async(*args: Any, **kwargs: Any) -> Evaluation:
    """As `evaluate`, without blocking the event loop."""
    return await asyncio.to_thread(evaluate, *args, **kwargs)


def score_again(evaluation: Evaluation, scorers: Scorer | Iterable[Scorer]) -> Evaluation:
    """The answers of an evaluation with further scores; see `Evaluation.score`."""
    chosen = _scorers(scorers)
    return in_a_run(evaluation.name, lambda: _scored_again(evaluation, chosen))


def _scorers(given: Any) -> list[Scorer]:
    found = [given] if isinstance(given, Scorer) or callable(given) else list(given)
    for each in found:
        if not isinstance(each, Scorer):
            name = str(getattr(each, "__name__", repr(each)))
            hint = "put @scorer above the function."
            if isinstance(given, str) or isinstance(each, str):
                name = given if isinstance(given, str) else each
                hint = f"a name is none here: from latent.evals.scorers import {name}."
            raise ScorerError(name, f"it is not a scorer: {hint}")
    return found


def in_a_run(name: str, work: Callable[[], R]) -> R:
    """Do the work in the run around, or in one of its own."""
    from latent.prefect import Flow, current_run

    if (run := current_run()) is not None and run.run_id:
        return work()

    def evaluation() -> R:
        return work()

    made: Flow[[], R] = Flow(evaluation, _NOT_IN_NAMES.sub("-", name))
    return made()


def _evaluated(request: Request) -> Evaluation:
    from latent.prefect import current_run

    run = current_run()
    assert run is not None, "an evaluation is part of a run"
    items = load_items(
        request.data,
        workspace=run.workspace,
        catalog=run.catalog,
        row_id=request.row_id,
        expected=request.expected,
    )
    request.target.check(items)
    check_scorers(
        request.scorers,
        items,
        asks=not isinstance(request.target, GivenOutputs),
        open_ended=isinstance(request.target, FunctionTarget),
    )
    for column in (*([request.cluster] if request.cluster else []), *request.slices):
        items.check_column(column, "The evaluation")
    labels, marks = load_labels(request.labels, items, request.scorers, run.workspace, run.catalog)
    warnings = warnings_of(request)
    began = time.time()
    answered = request.target.answer(items, request.repeats)
    _raise_if_not_recorded(answered)
    measured = measure(request.scorers, answered, items)
    if run.cost_plan is not None and any(each.outcome == "skipped" for each in answered):
        plan_judges(request.scorers, answered, items)
        raise RunStoppedError(PLANNED, request.name)
    about = {
        "name": request.name,
        "created_at": began,
        "seconds": time.time() - began,
        "data": about_data(items, request.row_id),
        "target": {"name": request.target.name, **request.target.about},
        "target_recipe": recipe_of_target(request.target),
        "parameters": dict(run.parameters.values),
        "repeats": request.repeats,
        "cluster": request.cluster,
        "slice_columns": list(request.slices),
        "labels": labels,
        "marks": marks,
        "warnings": warnings,
    }
    made = finished(about, answered, measured, rows_table(answered, items.expected))
    _raise_if_nothing_was_answered(answered)
    return made


def warnings_of(request: Request) -> list[str]:
    """What makes the numbers doubtful, said before they are there."""
    from latent.prefect import logger

    found = []
    if isinstance(request.target, ModelTarget):
        asked = request.target.model
        found = [
            f"{each.name!r} judges with {asked.spec}, the model under test: models prefer their own answers."
            for each in request.scorers
            if each.about is not None and each.about["model"] == asked.spec
        ]
    for text in [*found, *_missing_keys(request.scorers)]:
        logger.warning(text)
    return found


def _missing_keys(scorers: Sequence[Scorer]) -> Iterator[str]:
    """What judges cannot be asked; no error, since all that they are to say may be remembered."""
    if find_workspace().settings.recordings.mode == "replay":
        return
    for scorer in scorers:
        judge = scorer.options.get("judge")
        model = judge.model if isinstance(judge, Rubric) else judge
        try:
            if isinstance(model, Model):
                model.endpoint.key()
        except MissingKeyError as error:
            yield f"{scorer.name!r} can give no grades but remembered ones. {error}"


def plan_judges(scorers: Sequence[Scorer], answered: Sequence[Answered], items: Items) -> None:
    """
    Count in a plan what judges will be asked about answers that are not there yet.

    A text of usual length stands in for each. Judges that ask in steps are counted with their first one, and
    those that read what only the target can tell are left out.
    """
    known = {OUTPUT, INPUT, *items.columns}
    judges = [
        each
        for each in scorers
        if each.about is not None
        and all(column in known or not needed for column, needed in each.parameters.values())
    ]
    pretended = [
        Answered(each.item, each.repeat, values={OUTPUT: USUAL_ANSWER})
        for each in answered
        if each.outcome == "skipped"
    ]
    measure(judges, pretended, items)


def about_data(items: Items, row_id: str) -> dict[str, Any]:
    return {
        "source": items.source,
        "fingerprint": items.fingerprint,
        "rows": len(items.rows),
        "columns": items.columns,
        "row_id": row_id,
        "expected": items.expected,
    }


def _raise_if_not_recorded(answered: Sequence[Answered]) -> None:
    """Rows that only lack a recording say nothing of the model: numbers without them would mislead."""
    missing = [each.exception for each in answered if isinstance(each.exception, RecordingMissError)]
    if missing:
        first = missing[0]
        count = f"({len(missing):,} of {len(answered):,} answers are not recorded; this is the first.)"
        raise RecordingMissError(first.spec, first.folder, f"{first.nearest}\n{count}") from first


def _raise_if_nothing_was_answered(answered: Sequence[Answered]) -> None:
    """Where not one row has an answer, the first one's error is what the caller has to see."""
    if any(each.has_output or each.outcome == "abstained" for each in answered):
        return
    error = next((each.exception for each in answered if each.exception is not None), None)
    if error is not None:
        raise error


def _scored_again(evaluation: Evaluation, scorers: Sequence[Scorer]) -> Evaluation:
    about, answered = dict(evaluation.about), evaluation.answered()
    items = items_of(evaluation, answered)
    check_scorers(scorers, items, asks=True, open_ended=True)
    measured = measure(scorers, answered, items)
    about.pop("gates", None)  # they were checked on other scores
    said = [text for text in about.get("warnings", ()) if not text.endswith(EXPIRED)]
    about |= {"scored_from": about["run_id"], "created_at": time.time(), "warnings": said}
    return finished(about, answered, measured, evaluation.rows_table, kept=evaluation)


def items_of(evaluation: Evaluation, answered: Sequence[Answered]) -> Items:
    """The rows of a finished evaluation, from its answers."""
    data = evaluation.about["data"]
    first = {each.item.id: each.item for each in answered}
    return Items(
        source=data["source"],
        fingerprint=data["fingerprint"],
        rows=list(first.values()),
        expected=data["expected"],
    )


def finished(
    about: Mapping[str, Any],
    answered: Sequence[Answered],
    measured: Sequence[Measured],
    rows: pa.Table,
    kept: Evaluation | None = None,
) -> Evaluation:
    """Work out the metrics, write everything down, and tell MLflow."""
    import pyarrow as pa
    import pyarrow.compute as pc  # type: ignore[import-untyped]  # it ships no types

    from latent.config import masker_for
    from latent.prefect import current_run

    run = current_run()
    assert run is not None, "an evaluation is part of a run"
    new = {each.scorer.name for each in measured}
    clusters = _clusters(about["cluster"], answered)
    metrics = [metric for each in measured for metric in metrics_of(each, answered, clusters)]
    described = [_about_scorer(each) for each in measured]
    old = [] if kept is None else [each for each in kept.about["scorers"] if each["name"] not in new]
    marked, expired = marked_answers(
        about.get("marks") or [], rows, about["data"]["row_id"], [*old, *described]
    )
    metrics, agreement = check_against_people(metrics, measured, answered, about.get("labels") or {}, marked)
    slices = [line for each in measured for line in sliced(each, answered, clusters, about["slice_columns"])]
    scores = scores_table(measured, answered)
    lines = [metric.as_dict() for metric in metrics]
    if kept is not None:
        renewed = {metric.name for metric in metrics}
        lines = [each for each in kept.about["metrics"] if each["scorer"] not in new] + lines
        slices = [each for each in kept.about["slices"] if each["scorer"] not in new] + slices
        described = old + described
        agreement = [each for each in kept.about["agreement"] if each["metric"] not in renewed] + agreement
        known = kept.scores_table
        stays = pc.invert(pc.is_in(known.column("scorer"), pa.array(sorted(new), pa.string())))
        scores = pa.concat_tables([known.filter(stays), scores])
    content = masker_for(run.workspace).data(
        {
            "format": FORMAT,
            **about,
            "warnings": [*about.get("warnings", ()), *_expiry(about.get("marks") or [], expired)],
            "marks_expired": len(expired),
            "run_id": run.run_id,
            "flow": run.flow_name,
            "scorers": described,
            "totals": _totals(answered),
            "cost": _cost(answered, measured),
            "metrics": lines,
            "slices": slices,
            "agreement": agreement,
        }
    )
    content = json.loads(to_json(content))  # the same values as those that will be read again
    folder = None
    if run.recorder is not None:
        folder = write(run.recorder.folder.path, _file_name(about["name"]), content, rows, scores)
    made = Evaluation(content, rows, scores, folder)
    if run.recorder is not None and folder is not None:
        replace_file(folder / REPORT, utf8(markdown_report(made)))
        _tell(run.recorder, made, folder)
    return made


def _expiry(marks: Sequence[Any], expired: Sequence[Any]) -> Iterator[str]:
    """Said where marks by people fit nothing any more."""
    from latent.prefect import logger

    if expired:
        warning = expiry_warning(len(marks), len(expired))
        logger.warning(warning)
        yield warning


def _clusters(column: str | None, answered: Sequence[Answered]) -> list[Any] | None:
    if column is None:
        return None
    return [
        f"row {each.item.id}" if (value := each.item.values.get(column)) is None else str(value)
        for each in answered
    ]


def _about_scorer(measured: Measured) -> dict[str, Any]:
    scorer = measured.scorer
    return {
        "name": scorer.name,
        "version": measured.version,
        "kind": scorer.kind,
        "scale": dict(scorer.scale) if isinstance(scorer.scale, Mapping) else scorer.scale,
        "higher_is_better": scorer.higher_is_better,
        "unit": scorer.unit,
        "revision": scorer.revision,
        "description": ((scorer.fn.__doc__ or "").strip().partition("\n")[0]) or None,
        "options": {name: repr(value) for name, value in scorer.options.items()},
        "metrics": measured.metrics,
        "judge": scorer.about,
        "recipe": recipe_of_scorer(scorer),
        "cost_usd": measured.cost_usd,
        "scores": sum(row.outcome in SCORED for row in measured.rows),
        "reused": measured.reused,
        "input_tokens": measured.tokens["input_tokens"],
        "output_tokens": measured.tokens["output_tokens"],
        "latency_seconds": _percentiles(measured.seconds),
    }


def _totals(answered: Sequence[Answered]) -> dict[str, Any]:
    """Rows, answers by outcome, tokens and latency of all answers."""

    def of(name: str) -> list[float]:
        found = (each.values.get(name) for each in answered)
        return [float(value) for value in found if isinstance(value, int | float)]

    return {
        "rows": len({each.item.id for each in answered}),
        "answers": len(answered),
        "outcomes": dict(Counter(each.outcome for each in answered)),
        "input_tokens": int(sum(of("input_tokens"))),
        "output_tokens": int(sum(of("output_tokens"))),
        "latency_seconds": _percentiles(of("latency_seconds")),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Half, nine tenths and all but one in a hundred took at most so long; empty where nothing did."""
    ordered = sorted(seconds)
    return {
        str(share): ordered[min(int(share * len(ordered)), len(ordered) - 1)]
        for share in (0.5, 0.9, 0.99)
        if ordered
    }


def _cost(answered: Sequence[Answered], measured: Sequence[Measured]) -> dict[str, Any]:
    models = [each for each in answered if isinstance(each.values.get("answer"), Answer)]
    return asdict(
        Cost(
            answers_usd=sum(each.cost_usd or 0.0 for each in answered),
            judges_usd=sum(each.cost_usd for each in measured),
            saved_usd=sum(each.saved_usd or 0.0 for each in answered),
            answers_reused=sum(each.outcome == "cached" for each in answered),
            unpriced=sum(each.values["answer"].cost_usd is None for each in models),
        )
    )


def _tell(recorder: Any, made: Evaluation, folder: Path) -> None:
    """Metrics with their intervals and coverage to MLflow, scores and report as files."""
    for metric in made.metrics.values():
        for suffix in ("mean", "ci_low", "ci_high", "n", "missing"):
            value = getattr(metric, suffix)
            if value is not None:
                recorder.metric(metric.name if suffix == "mean" else f"{metric.name}.{suffix}", value)
    recorder.dataset(f"{folder.name}.scores", "output", path=folder / SCORES, rows=len(made.scores_table))
    recorder.dataset(f"{folder.name}.report", "output", path=folder / REPORT)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or DEFAULT_NAME

"""Batch evaluation: a model answers every row, scorers and judges score, a report says how it went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from latent.config import load_gates, masker_for
from latent.errors import UsageError
from latent.evals import Evaluation, evaluate
from latent.evals.comparing.gates import check_conditions, keep_gates
from latent.evals.finding import find_judge, find_scorer
from latent.evals.page.document import write_page
from latent.evals.reading import is_file
from latent.evals.report import markdown_report
from latent.llm import Model, PromptTemplate
from latent.prefect import current_run, flow

PROMPT_SUFFIXES = (".md", ".txt", ".j2", ".jinja")

WHAT_IS_MISSING = "Which rows? Say -p dataset=questions.jsonl, or put `dataset` into parameters.yaml."


class BatchEvaluationConfig(BaseModel):
    """What `-p`, `parameters.yaml` and callers from Python may say; checked when the flow starts."""

    dataset: str = Field(default="", description="A dataset of the catalog, or a file")
    model: str | None = Field(default=None, description="What answers; none: rows have an `output`")
    model_options: dict[str, Any] = Field(default={}, description="As latent.llm.Model takes them")
    prompt: str | None = Field(default=None, description="A template, or a file of prompts/")
    scorers: list[str | dict[str, Any]] = Field(default=[], description="By name, with options")
    judge: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="`model`, `rubric`, and what else latent.evals.Judge takes"
    )
    expected: str = Field(default="expected", description="The column of expected answers")
    row_id: str = Field(default="id", description="The column of ids")
    repeats: int = Field(default=1, ge=1, description="How often each row is asked")
    cluster: str | None = Field(default=None, description="The column of what rows belong together")
    slices: list[str] = Field(default=[], description="Columns whose values are told apart")
    labels: str | None = Field(default=None, description="People's labels: a column, or a file")


@flow("batch_evaluation", config_schema=BatchEvaluationConfig)
def batch_evaluation(
    dataset: str = "",
    model: str | None = None,
    prompt: str | None = None,
    scorers: list[Any] | None = None,
    judge: Any = None,
    *,
    model_options: dict[str, Any] | None = None,
    expected: str = "expected",
    row_id: str = "id",
    repeats: int = 1,
    cluster: str | None = None,
    slices: list[str] | None = None,
    labels: str | None = None,
) -> Evaluation:
    """
    Evaluate a model, or outputs that are there, and write a report.

    Gates under `gates` in its parameters.yaml are checked, and the run ends with their exit code.
    The datasets `results` and `report` are saved where the catalog defines them: a line for each answer, and
    the report in Markdown. The report is an artifact of the run in Prefect and in MLflow, too.
    """
    if not dataset:
        raise UsageError(WHAT_IS_MISSING)
    gates = flow_gates()
    judges = [find_judge(each) for each in ([judge] if isinstance(judge, dict) else judge or [])]
    found = evaluate(
        dataset,
        None if model is None else Model(model, **(model_options or {})),
        [*(find_scorer(each) for each in scorers or []), *judges],
        prompt=None if model is None else made_prompt(prompt),
        expected=expected,
        row_id=row_id,
        repeats=repeats,
        cluster=cluster,
        slices=slices or (),
        labels=labels,
        name="batch_evaluation",
    )
    return gated_and_delivered(found, gates)


def flow_gates() -> dict[str, Any]:
    """The gates in the flow's parameters.yaml, read before anything is paid; see docs/gates.md."""
    run = current_run()
    found = {} if run is None else load_gates(run.workspace, run.flow_name)
    check_conditions(found)
    return found


def gated_and_delivered(evaluation: Evaluation, gates: dict[str, Any]) -> Evaluation:
    """
    The evaluation with what its gates have said; its results, report and page are where they belong.

    Raises:
        GateError: A gate names a metric that there is none of. What was evaluated is delivered all the same.
    """
    try:
        if gates:
            evaluation = keep_gates(evaluation, evaluation.check(gates))
    finally:
        deliver(evaluation)
    return evaluation


def made_prompt(given: str | None) -> PromptTemplate | None:
    """The template: the text itself, or a file of the flow's `prompts/` or of the workspace."""
    run = current_run()
    if given is None or run is None or "\n" in given:
        return None if given is None else PromptTemplate(given)
    folder = run.workspace.flow_folder(run.flow_name)
    places = [run.workspace.root, *([folder / "prompts"] if folder else []), Path.cwd()]
    for place in places:
        for name in (given, *(f"{given}{suffix}" for suffix in PROMPT_SUFFIXES)):
            file = place / name
            if Path(name).suffix in PROMPT_SUFFIXES and is_file(file):
                return PromptTemplate(file.read_text(encoding="utf-8-sig"), file)
    if Path(given).suffix in PROMPT_SUFFIXES and " " not in given:
        raise UsageError(
            f"`prompt` names a file {given!r}, which is in none of {', '.join(map(str, places))}."
        )
    return PromptTemplate(given)


def deliver(evaluation: Evaluation) -> None:
    """Save results and report where the catalog has them, show the report in Prefect, write the page."""
    from latent.prefect.artifacts import (  # type: ignore[import-not-found]  # Prefect's, handed on
        create_markdown_artifact,
    )

    run = current_run()
    report = markdown_report(evaluation)
    if run is not None and "results" in run.catalog:
        run.catalog.save("results", evaluation.results())
    if run is not None and "report" in run.catalog:
        run.catalog.save("report", report)
    create_markdown_artifact(report, key="batch-evaluation")
    if run is not None and run.recorder is not None and evaluation.folder is not None:
        page = write_page(evaluation, masker_for(run.workspace).text)
        run.recorder.dataset(f"{evaluation.folder.name}.page", "output", path=page)

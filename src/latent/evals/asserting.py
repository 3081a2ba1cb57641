"""Evaluations as tests have them: run by what the test names, and checked by an assertion that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from latent.config import find_workspace, load_gates, load_yaml, masker_for
from latent.errors import EvaluationNotFoundError, UsageError
from latent.evals.comparing.gate_text import gates_text
from latent.evals.evaluation import Evaluation, load_evaluation
from latent.evals.page.document import write_page
from latent.evals.records import PAGE
from latent.evals.report import failure_groups
from latent.evals.table import aligned, metrics_text, number

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.evals.comparing.gates import GateReport
    from latent.evals.metrics import Metric

BATCH = "batch_evaluation"
"""The flow whose parameters a folder without a `flow.py` holds."""

ROWS_SHOWN = 5
"""Of each gate that is not passed, so many of its worst rows."""
CAUSES_SHOWN = 5
TEXT_CHARS = 120


class CheckedEvaluation(Evaluation):
    """An evaluation whose `check` raises an AssertionError where its gates are not passed."""

    def __init__(
        self, evaluation: Evaluation, flow: str, *, passes_inconclusive: bool, tell: Callable[[str], None]
    ) -> None:
        """
        Args:
            flow: Whose gates hold where `check` is given none.
            passes_inconclusive: Whether gates that can be told neither passed nor failed are let through.
            tell: Is told in a line what came of each check.
        """
        super().__init__(evaluation.about, evaluation.rows_table, evaluation.scores_table, evaluation.folder)
        self._flow, self._passes_inconclusive, self._tell = flow, passes_inconclusive, tell

    def check(
        self, gates: Mapping[str, Any] | None = None, *, against: Evaluation | str | None = None, **more: Any
    ) -> GateReport:
        """
        See that the gates are passed; without any, those of the flow's `parameters.yaml`.

        Args:
            gates: By metric, as `gates:` has them; also `cost_usd` and `coverage`.
            against: What gates that compare are held against, in the place of the run that they name.
            more: The same, by keyword; `max_cost_usd=1` is `cost_usd: "<= 1"`.

        Raises:
            AssertionError: One is not passed; with the table, the rows that count against it, and the page.
            UsageError: There are no gates.
            GateError: One cannot be read, or it names a metric that there is none of.
        """
        __tracebackhide__ = True  # pytest's: the test's own line is what its reader has to see
        workspace = find_workspace()
        asked = dict(gates or {}) if gates or more else load_gates(workspace, self._flow)
        if not asked and not more:
            raise UsageError(
                f"There is nothing to check: flow {self._flow!r} has no `gates` in its parameters.yaml. "
                'Put some there, or say check(METRIC=">= 0.80").'
            )
        report = super().check(asked, against=against, **more)
        self._tell(f"{self._flow}: {report.verdict} ({_run_of(self, workspace)})")
        is_passed = report.verdict == "pass" or (
            report.verdict == "inconclusive" and self._passes_inconclusive
        )
        if not is_passed:
            raise AssertionError(failure_text(report, workspace))
        return report


def evaluated(what: Any, parameters: Mapping[str, Any]) -> Evaluation:
    """
    The evaluation that a test names: by a flow, a folder's parameters, or itself.

    Raises:
        UsageError: It is nothing of that kind.
        FlowNotFoundError: There is no such flow.
        EvaluationNotFoundError: The flow has made no evaluation.
    """
    from latent.prefect import Flow

    if isinstance(what, Evaluation):
        if parameters:
            raise UsageError(f"An evaluation that is there takes no parameters: leave out {[*parameters]}.")
        return what
    if isinstance(what, str):
        return _run_by_name(find_workspace(), what, parameters)
    if not isinstance(what, Flow):
        raise UsageError(f"A test evaluates a flow, by its name or itself, or an Evaluation, not {what!r}.")
    return _made(what(**parameters), what.name, None)


def _run_by_name(workspace: Workspace, name: str, parameters: Mapping[str, Any]) -> Evaluation:
    from latent.prefect import run_flow

    # flows/ stands above this room: it is asked by its name.
    ready = import_module("latent.flows").READY
    flow, folder = name, workspace.flow_folder(name)
    if folder is not None and not (folder / "flow.py").exists() and name.replace("-", "_") not in ready:
        own = load_yaml(folder / "parameters.yaml", workspace.label(folder / "parameters.yaml"))
        flow, parameters = BATCH, {**{key: own[key] for key in own if key != "gates"}, **parameters}
    result = run_flow(workspace, flow, parameters, ready=ready)
    if result.error is not None:
        raise result.error
    return _made(result.value, name, result.run_id)


def _made(value: Any, name: str, run_id: str | None) -> Evaluation:
    """What a flow returned, where it is an evaluation; else the last one that its run wrote."""
    if isinstance(value, Evaluation):
        return value
    if run_id is None:
        raise EvaluationNotFoundError(name, "the flow returns none: return what evaluate() gave.")
    return load_evaluation(run_id)


def failure_text(report: GateReport, workspace: Workspace) -> str:
    """Why a test failed: gates, metrics, the worst rows, what is missing, and where to look."""
    evaluation = report.evaluation
    parts = [
        f"{evaluation.name}: {report.verdict}",
        gates_text(report).rstrip(),
        metrics_text(evaluation),
        *_worst_rows(report),
        *_missing(evaluation),
        "\n".join(_places(evaluation, workspace)),
    ]
    return masker_for(workspace).text("\n\n".join(part for part in parts if part))


def _worst_rows(report: GateReport) -> Iterator[str]:
    """The rows with the worst scores of each metric whose gate is not passed."""
    evaluation = report.evaluation
    answers = {(line["id"], line["repeat"]): line for line in evaluation.rows_table.to_pylist()}
    scores = evaluation.scores_table.to_pylist()
    names = [each.condition.metric for each in report.results if each.verdict != "pass"]
    for name in dict.fromkeys(names):
        if (metric := evaluation.metrics.get(name)) is None or metric.is_derived:
            continue
        scored = [line for line in scores if line["metric"] == name and line["value"] is not None]
        bad = sorted(
            (line for line in scored if _counts_against(line, metric)),
            key=lambda line: _badness(line, metric),
        )
        if not bad:
            continue
        rows = [_row(line, answers[line["id"], line["repeat"]], metric) for line in bad[:ROWS_SHOWN]]
        more = f" (of {len(bad):,})" if len(bad) > ROWS_SHOWN else ""
        yield "\n".join([f"Worst rows of {name}{more}:", *aligned(rows)])


def _badness(line: Mapping[str, Any], metric: Metric) -> float:
    value = float(line["value"])
    return value if metric.higher_is_better is not False else -value


def _counts_against(line: Mapping[str, Any], metric: Metric) -> bool:
    """Whether a score is not the best one that there can be."""
    if metric.scale is None:
        return True
    best = metric.scale[1] if metric.higher_is_better is not False else metric.scale[0]
    return bool(line["value"] != best)


def _row(line: Mapping[str, Any], answer: Mapping[str, Any], metric: Metric) -> tuple[str, ...]:
    output, expected = _short(answer["output"]), _short(answer["expected"])
    said = f"said {output!r}" + (f", expected {expected!r}" if expected else "")
    return f"  {line['id']}", number(float(line["value"]), metric.unit), said, _short(line["reason"])


def _missing(evaluation: Evaluation) -> Iterator[str]:
    groups = failure_groups(evaluation)
    if groups:
        rows = [
            (f"  {count:,} rows", what, outcome, _short(reason), ", ".join(ids[:3]))
            for what, outcome, reason, count, ids in groups[:CAUSES_SHOWN]
        ]
        yield "\n".join(["What is missing:", *aligned(rows)])


def _places(evaluation: Evaluation, workspace: Workspace) -> Iterator[str]:
    if evaluation.folder is not None:
        page = evaluation.folder / PAGE
        if not page.exists():
            write_page(evaluation, masker_for(workspace).text)
        yield f"page: {page}"
    yield f"run:  {_run_of(evaluation, workspace)}"


def _run_of(evaluation: Evaluation, workspace: Workspace) -> str:
    return workspace.label(workspace.runs_dir / evaluation.run_id)


def _short(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= TEXT_CHARS else f"{line[:TEXT_CHARS]}..."

"""What gates have said, as text, in Markdown, and as JUnit's XML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent.evals.comparing.metric import price_text
from latent.evals.junit import Case, Suite, suites_xml
from latent.evals.table import aligned, markdown_table, number

if TYPE_CHECKING:
    from latent.evals.comparing.gates import GateReport, GateResult

HEADS = ("gate", "asks for", "is", "interval", "verdict", "")


def gates_text(report: GateReport) -> str:
    """The verdict, and a line for each gate."""
    return "\n".join([*aligned([HEADS, *gate_rows(report)]), f"gates: {report.verdict}"])


def gates_markdown(report: GateReport) -> str:
    """The same in Markdown."""
    return f"# Gates: {report.verdict}\n\n{markdown_table(HEADS, gate_rows(report))}\n"


def gates_junit(report: GateReport) -> str:
    """
    The same as JUnit's XML: a case for each gate.

    One that failed is a failure, and an inconclusive one an error: it says nothing about the system.
    """
    about = report.evaluation.about
    cases = [_case(result, row) for result, row in zip(report.results, gate_rows(report), strict=True)]
    suite = Suite(
        name=f"{report.evaluation.name}.gates",
        cases=cases,
        began=about["created_at"],
        properties={"run": about["run_id"]},
    )
    return suites_xml([suite])


def gate_rows(report: GateReport) -> list[tuple[str, ...]]:
    """The cells below `HEADS`, a line for each gate."""
    return [_gate(each) for each in report.results]


def _gate(result: GateResult) -> tuple[str, ...]:
    has_interval = result.low is not None and result.high is not None
    notes = [result.why] if result.why else []
    if result.rows_needed is not None:
        notes.append(f"{result.rows_needed:,} rows would settle it{price_text(result.cost_usd)}")
    return (
        result.condition.metric,
        result.condition.text,
        "not scored" if result.value is None else number(result.value),
        f"{number(result.low)} to {number(result.high)}" if has_interval else "",
        result.verdict,
        "; ".join(notes),
    )


def _case(result: GateResult, row: tuple[str, ...]) -> Case:
    name, asked, value, interval, verdict, note = row
    measured = f"{value} ({interval})" if interval else value
    message = f"{name} is {measured}, asked for {asked}{': ' if note else ''}{note}"
    if verdict == "pass":
        return Case(name=f"{name} {asked}")
    return Case(name=f"{name} {asked}", status="failure" if verdict == "fail" else "error", message=message)

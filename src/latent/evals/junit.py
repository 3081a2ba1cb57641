"""JUnit's XML of an evaluation: a suite for each metric, a case for each answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

from latent.evals.measuring import NOT_APPLICABLE, SCORED

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation
    from latent.evals.metrics import Metric

# Beside tab and line ends XML 1.0 has no control characters at all, not even escaped, and no half characters.
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test case."""

    name: str
    status: Literal["passed", "failure", "error", "skipped"] = "passed"
    message: str = ""
    """In a line, why it has not passed."""
    details: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Test cases that belong together."""

    name: str
    cases: Sequence[Case]
    began: float = 0.0
    """Unix seconds."""
    properties: Mapping[str, object] = field(default_factory=dict)


def suites_xml(suites: Iterable[Suite]) -> str:
    """
    Suites as XML that both common schemas accept, Jenkins' (as pytest's xunit2) and Ant's.

    Control characters, which XML cannot hold, are spelled out.
    """
    root = ElementTree.Element("testsuites")
    for number, suite in enumerate(suites):
        counts = {
            kind: sum(case.status == kind for case in suite.cases) for kind in ("failure", "error", "skipped")
        }
        element = ElementTree.SubElement(
            root,
            "testsuite",
            {
                "name": _xml(suite.name),
                "package": "latent",
                "id": str(number),
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(suite.began)),
                "hostname": "localhost",
                "tests": str(len(suite.cases)),
                "failures": str(counts["failure"]),
                "errors": str(counts["error"]),
                "skipped": str(counts["skipped"]),
                "time": f"{sum(case.seconds for case in suite.cases):.3f}",
            },
        )
        properties = ElementTree.SubElement(element, "properties")
        for name, value in suite.properties.items():
            ElementTree.SubElement(properties, "property", {"name": _xml(name), "value": _xml(str(value))})
        for case in suite.cases:
            _add_case(element, suite.name, case)
        ElementTree.SubElement(element, "system-out")
        ElementTree.SubElement(element, "system-err")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add_case(suite: ElementTree.Element, classname: str, case: Case) -> None:
    attributes = {"classname": _xml(classname), "name": _xml(case.name), "time": f"{case.seconds:.3f}"}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.status == "passed":
        return
    message = {"message": _xml(" ".join(case.message.split()))}
    kind = {} if case.status == "skipped" else {"type": case.status}
    ElementTree.SubElement(element, case.status, {**message, **kind}).text = _xml(case.details) or None


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def junit_xml(evaluation: Evaluation) -> str:
    """
    The evaluation as JUnit's XML.

    A score that says no is a failure, a missing one an error, and one that does not apply is skipped. Scores
    that are not yes or no cannot fail: where the line lies is for gates to say.
    """
    rows = {
        (line["id"], line["repeat"]): line
        for line in evaluation.rows_table.select(
            ["id", "repeat", "expected", "output", "latency_seconds"]
        ).to_pylist()
    }
    columns = ["id", "repeat", "metric", "value", "label", "outcome", "reason"]
    cases: dict[str, list[Case]] = {name: [] for name in evaluation.metrics}
    for score in evaluation.scores_table.select(columns).to_pylist():
        if (metric := evaluation.metrics.get(score["metric"])) is not None:
            cases[metric.name].append(_case(score, rows[score["id"], score["repeat"]], metric))
    return suites_xml(
        Suite(
            name=f"{evaluation.name}.{name}",
            cases=found,
            began=evaluation.about["created_at"],
            properties=_properties(evaluation, name),
        )
        for name, found in cases.items()
        if found
    )


def _properties(evaluation: Evaluation, name: str) -> dict[str, object]:
    metric = evaluation.metrics[name]
    shown = ("mean", "ci_low", "ci_high", "n", "rows", "missing", "version")
    values = {each: getattr(metric, each) for each in shown}
    return {"run": evaluation.run_id, **{key: value for key, value in values.items() if value is not None}}


def _case(score: Mapping[str, object], row: Mapping[str, object], metric: Metric) -> Case:
    status, message = _verdict(score, metric)
    reason = str(score["reason"] or "")
    lines = [reason, f"expected: {row['expected']}", f"output: {row['output']}"] if status != "passed" else []
    seconds = row["latency_seconds"]
    return Case(
        name=f"{score['id']}#{score['repeat']}" if score["repeat"] else str(score["id"]),
        status=status,
        message=message,
        details="\n".join(line for line in lines if line),
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _verdict(
    score: Mapping[str, object], metric: Metric
) -> tuple[Literal["passed", "failure", "error", "skipped"], str]:
    reason = str(score["reason"] or "")
    if score["outcome"] == NOT_APPLICABLE:
        return "skipped", reason or "not applicable"
    if score["outcome"] not in SCORED:
        return "error", f"{score['outcome']}: {reason}" if reason else str(score["outcome"])
    if metric.kind == "binary" and metric.higher_is_better is not None:
        is_good = bool(score["value"]) == metric.higher_is_better
        if not is_good:
            return "failure", reason or f"{metric.name} is {'yes' if score['value'] else 'no'}"
    return "passed", ""

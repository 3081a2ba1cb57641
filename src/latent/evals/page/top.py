"""The upper part of the page, which needs no script and can be printed: what was measured, how surely."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from latent.evals.metrics import Metric
from latent.evals.page.drawing import distribution, interval, span
from latent.evals.report import MOST_CAUSES, agreement_rows, cost_rows, failure_groups
from latent.evals.table import cells

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation


def top_html(evaluation: Evaluation) -> str:
    """All sections above the rows."""
    about = evaluation.about
    return "\n".join(
        [
            f"<h1>{escape(evaluation.name)}</h1>",
            _subject(about),
            *(f'<p class="warning">{escape(each)}</p>' for each in about.get("warnings", ())),
            *_section("Metrics", _metrics(evaluation)),
            *_section("Judges", _judges(evaluation)),
            *_section("Distributions", _distributions(evaluation)),
            *_section("Slices", _slices(evaluation)),
            *_section("What is missing", _failures(evaluation)),
            *_section("Cost", _table(["what", ""], cost_rows(evaluation))),
        ]
    )


def _section(title: str, content: str) -> Iterator[str]:
    if content:
        yield f"<section><h2>{title}</h2>{content}</section>"


def _subject(about: Mapping[str, Any]) -> str:
    data, target, totals = about["data"], about["target"], about["totals"]
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(about["created_at"]))
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in totals["outcomes"].items())
    repeats = f", each {about['repeats']} times" if about["repeats"] > 1 else ""
    facts = [
        ("data", f"{data['source']}, {data['rows']:,} rows{repeats}, {data['fingerprint'][:12]}"),
        ("target", target["name"]),
        ("prompt", target.get("prompt")),
        ("answers", f"{totals['answers']:,}: {outcomes}"),
        ("run", f"{about['run_id']}, {began}"),
    ]
    lines = (f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts if value)
    return f"<dl>{''.join(lines)}</dl>"


def _metrics(evaluation: Evaluation) -> str:
    if not evaluation.metrics:
        return "<p>Nothing was scored.</p>"
    heads = ["metric", "mean", "", "95 % interval", "rows", "if missing are worst / best", "visible from", ""]
    rows = [_metric(metric) for metric in evaluation.metrics.values()]
    return _table(heads, rows, raw=2)


def _metric(metric: Metric) -> list[str]:
    name, mean, *rest = cells(metric)
    return [name, mean, interval(metric), *rest]


def _judges(evaluation: Evaluation) -> str:
    judges = [each for each in evaluation.about["scorers"] if each.get("judge")]
    if not judges:
        return ""
    people = agreement_rows(evaluation.about)
    rows = [(each["name"], each["judge"]["model"], each["judge"]["rubric"]) for each in judges]
    checked = _table(["metric", "labels", "equal", "kappa", "alpha", "corrected mean"], people)
    unchecked = "<p>No judge has been checked against people.</p>"
    return _table(["judge", "model", "rubric"], rows) + (checked if people else unchecked)


def _distributions(evaluation: Evaluation) -> str:
    figures = [
        f"<figure>{drawn}<figcaption>{escape(metric.name)}: {escape(span(metric))}</figcaption></figure>"
        for metric in evaluation.metrics.values()
        if (drawn := distribution(metric))
    ]
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


def _slices(evaluation: Evaluation) -> str:
    rows = []
    for line in evaluation.about["slices"]:
        name, mean, drawn, *rest = _metric(Metric.from_dict(line))
        rows.append([line["slice"], line["value"], name, mean, drawn, *rest[:2]])
    return _table(["", "value", "metric", "mean", "", "95 % interval", "rows"], rows, raw=4)


def _failures(evaluation: Evaluation) -> str:
    groups = failure_groups(evaluation)
    rows = [
        (what, outcome, reason, f"{count:,}", ", ".join(ids[:3]) + (", ..." if count > 3 else ""))
        for what, outcome, reason, count, ids in groups[:MOST_CAUSES]
    ]
    if not rows:
        return ""
    command = f"latent run {evaluation.about['flow']} --only-failed"
    left = len(groups) - MOST_CAUSES
    more = f"<p>And {left:,} other causes.</p>" if left > 0 else ""
    again = f"<p>To run them again: <code>{escape(command)}</code></p>"
    return _table(["what", "outcome", "why", "rows", "ids"], rows) + more + again


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], raw: int | None = None) -> str:
    """A table; the cells of column `raw` are HTML of ours, all others text."""
    body = "".join(
        "<tr>"
        + "".join(f"<td>{cell if place == raw else escape(str(cell))}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

"""The table of metrics: as text, in Markdown, and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from latent.evals.metrics import Metric

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

COLUMNS = ("metric", "mean", "95 % interval", "rows", "if missing are worst / best", "visible from", "")
"""What is shown of each metric; the last column is for what has to be known beside the numbers."""

MOST_LABELS = 4


def cells(metric: Metric) -> tuple[str, ...]:
    """One metric's line of the table."""
    return (
        metric.name,
        _mean(metric),
        _interval(metric),
        f"{metric.n:,} of {metric.rows:,}",
        _bounds(metric),
        number(metric.detectable, metric.unit),
        _note(metric),
    )


def number(value: float | None, unit: str | None = None) -> str:
    """Three digits behind the point, or three that count: enough for a table."""
    if value is None:
        return ""
    text = f"{value:.3f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.4g}"
    if "." in text and "e" not in text:
        text = text.rstrip("0").rstrip(".") if abs(value) >= 100 else text
    return f"{text} {unit}" if unit else text


def _mean(metric: Metric) -> str:
    if metric.kind == "label":
        return _labels(metric)
    return "not scored" if metric.mean is None else number(metric.mean, metric.unit)


def _labels(metric: Metric) -> str:
    counts: dict[str, int] = dict(metric.distribution.get("counts", {}))
    if not counts:
        return "not scored"
    shown = [f"{label} {count:,}" for label, count in list(counts.items())[:MOST_LABELS]]
    return ", ".join(shown) + (f", {len(counts) - MOST_LABELS:,} more" if len(counts) > MOST_LABELS else "")


def _interval(metric: Metric) -> str:
    if metric.ci_low is None or metric.ci_high is None:
        return ""
    return f"{number(metric.ci_low)} to {number(metric.ci_high)}"


def _bounds(metric: Metric) -> str:
    if metric.worst is None or metric.best is None:
        is_open = metric.missing and metric.kind != "label" and not metric.is_derived
        return "unbounded" if is_open else ""
    return f"{number(metric.worst)} / {number(metric.best)}"


def _note(metric: Metric) -> str:
    notes = [metric.note] if metric.note else []
    if metric.not_applicable:
        notes.append(f"{metric.not_applicable:,} not applicable")
    if metric.flaky:
        notes.append(f"{len(metric.flaky):,} flaky")
    return "; ".join(notes)


def lines_of(metrics: Iterable[Metric]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The heads and cells of the table; a last column that would be empty is left out."""
    rows = [cells(metric) for metric in metrics]
    width = len(COLUMNS) if any(row[-1] for row in rows) else len(COLUMNS) - 1
    return list(COLUMNS[:width]), [row[:width] for row in rows]


def metrics_text(evaluation: Evaluation) -> str:
    """The table as plain text, columns below one another."""
    heads, rows = lines_of(evaluation.metrics.values())
    if not rows:
        return f"{evaluation.name}: {evaluation.about['totals']['rows']:,} rows, no scores."
    return "\n".join(aligned([heads, *rows]))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns below one another."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; what would end a cell or a line is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def metrics_markdown(metrics: Iterable[Metric]) -> str:
    """The table in Markdown."""
    heads, rows = lines_of(metrics)
    return markdown_table(heads, rows)


def metrics_html(evaluation: Evaluation) -> str:
    """The table as a notebook shows it."""
    return html_table(*lines_of(evaluation.metrics.values()))


def html_table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as a notebook shows it."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

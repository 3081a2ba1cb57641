"""The report of the evaluation: Markdown from plain values, without a library."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

METRICS = {
    "hit_at_1": "hit@1",
    "hit_at_5": "hit@5",
    "reciprocal_rank": "reciprocal rank",
    "evidence_words": "evidence words",
}
"""The scores of a question, and what people call them."""

INTRODUCTION = """\
{questions} questions about the Python language reference. For each, the {depth} topics whose passages fit
best are retrieved ({mode}). hit@k: a topic that answers the question is among the first k. Reciprocal rank:
1 for the first place, 1/2 for the second, and so on; 0 when it is not among the {depth}. Evidence words: the
share of the words of a quote that answers the question which {model} used in its own answer."""


def report(
    summary: list[Row],
    answered: list[Row],
    misses: list[Row],
    *,
    mode: str,
    model: str,
    depth: int,
    confidence: float,
) -> str:
    """
    What was measured, how sure it is, and where it went wrong.

    Args:
        summary: A row for each group of questions and metric, as `summarise` makes them.
        answered: The questions that the model was asked, as rows of `score`.
        misses: The questions to be shown, likewise.
        mode: How passages were found.
        model: What answered.
        depth: How many topics were retrieved for each question.
        confidence: Of the intervals, 0 to 1.
    """
    overall = [row for row in summary if row["group"] == "all"]
    sections = [
        "# Searching the Python language reference",
        INTRODUCTION.format(questions=overall[0]["questions"], depth=depth, mode=mode, model=model),
        headline_table(overall, confidence),
        "## By difficulty",
        difficulty_table(summary),
        "## What the model answered",
        answer_table(answered),
        "## The worst misses",
        miss_table(misses, depth),
    ]
    return "\n\n".join(sections) + "\n"


def with_interval(row: Row) -> str:
    """`0.514 (0.429 to 0.593)`, or what can be said of it."""
    if row["mean"] is None:
        return "not scored"
    if row["ci_low"] is None:
        return f"{row['mean']:.3f} (no interval: all alike)"
    return f"{row['mean']:.3f} ({row['ci_low']:.3f} to {row['ci_high']:.3f})"


def headline_table(overall: list[Row], confidence: float) -> str:
    """The metrics over all questions, with their coverage."""
    return markdown_table(
        ["metric", f"mean ({confidence:.0%} interval)", "coverage"],
        [
            [METRICS[row["metric"]], with_interval(row), f"{row['n']} of {row['questions']}"]
            for row in overall
        ],
    )


def difficulty_table(summary: list[Row]) -> str:
    """A line for each difficulty, a column for each metric."""
    groups = dict.fromkeys(row["group"] for row in summary if row["group"] != "all")
    rows = {group: [row for row in summary if row["group"] == group] for group in groups}
    return markdown_table(
        ["difficulty", "questions", *METRICS.values()],
        [[group, str(cells[0]["questions"]), *map(with_interval, cells)] for group, cells in rows.items()],
    )


def answer_table(answered: list[Row]) -> str:
    """The questions that the model was asked, and what it said."""
    if not answered:
        return "It was not asked."
    return markdown_table(
        ["question", "answer", "rank of its topic"],
        [[row["question"], " ".join(row["answer"].split()), str(row["rank"] or "-")] for row in answered],
    )


def miss_table(misses: list[Row], depth: int) -> str:
    """The questions whose answer came late or not at all, with what came instead."""
    if not misses:
        return "None: every question's first topic answers it."
    return markdown_table(
        ["question", "expected", "rank", "retrieved first"],
        [
            [
                miss["question"],
                ", ".join(miss["topics"]),
                str(miss["rank"] or f"> {depth}"),
                ", ".join(miss["retrieved"][:3]),
            ]
            for miss in misses
        ],
    )


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; bars inside a cell are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

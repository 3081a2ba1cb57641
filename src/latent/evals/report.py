"""The report of an evaluation in Markdown: what was measured, how sure it is, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from latent.evals.metrics import Metric
from latent.evals.table import lines_of, markdown_table, metrics_markdown, number

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

MOST_CAUSES = 20
REASON_CHARS = 200
BAR_CHARS = 20


def markdown_report(evaluation: Evaluation) -> str:
    """The whole report."""
    sections = [
        f"# {evaluation.name}",
        _subject(evaluation.about),
        "## Metrics",
        metrics_markdown(evaluation.metrics.values()) if evaluation.metrics else "Nothing was scored.",
        *_agreement(evaluation.about),
        *_spreads(evaluation.metrics),
        *_slices(evaluation),
        *_failures(evaluation),
        *_costs(evaluation),
    ]
    return "\n\n".join(sections) + "\n"


def _subject(about: Mapping[str, Any]) -> str:
    data, target, totals = about["data"], about["target"], about["totals"]
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in totals["outcomes"].items())
    lines = [
        ("data", f"{data['source']}, {data['rows']:,} rows, `{data['fingerprint'][:12]}`"),
        ("target", target["name"]),
        ("answers", f"{totals['answers']:,}: {outcomes}"),
        ("run", about["run_id"]),
    ]
    if target.get("prompt"):
        lines.insert(2, ("prompt", target["prompt"]))
    judges = [each for each in about["scorers"] if each.get("judge")]
    lines += [
        (f"judge `{each['name']}`", f"{each['judge']['model']}: {each['judge']['rubric']}") for each in judges
    ]
    lines += [("warning", each) for each in about.get("warnings", ())]
    return markdown_table(["what", ""], lines)


def _spreads(metrics: Mapping[str, Metric]) -> Iterator[str]:
    shown = [metric for metric in metrics.values() if metric.distribution]
    if not shown:
        return
    yield "## Distributions"
    rows = [
        (
            metric.name,
            number(metric.distribution.get("median")),
            number(metric.distribution.get("stddev")),
            number(metric.distribution.get("min")),
            number(metric.distribution.get("max")),
        )
        for metric in shown
        if metric.kind != "label"
    ]
    if rows:
        yield markdown_table(["metric", "median", "standard deviation", "least", "most"], rows)
    for metric in shown:
        yield f"{metric.name}:\n\n" + markdown_table(["value", "rows", ""], _bars(metric.distribution))


def _bars(distribution: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    if "counts" in distribution:
        counts = [(str(value), count) for value, count in distribution["counts"].items()]
    else:
        edges = distribution["edges"]
        names = [f"{number(low)} to {number(high)}" for low, high in pairwise(edges)]
        counts = list(zip(names, distribution["bins"], strict=True))
    most = max(count for _, count in counts) or 1
    return [(name, f"{count:,}", "█" * round(BAR_CHARS * count / most)) for name, count in counts]


def _slices(evaluation: Evaluation) -> Iterator[str]:
    by_column: dict[str, list[Mapping[str, Any]]] = {}
    for line in evaluation.about["slices"]:
        by_column.setdefault(line["slice"], []).append(line)
    for column, lines in by_column.items():
        yield f"## By {column}"
        heads, rows = lines_of(Metric.from_dict(line) for line in lines)
        yield markdown_table(
            [column, *heads], [(line["value"], *row) for line, row in zip(lines, rows, strict=True)]
        )


def failure_groups(evaluation: Evaluation) -> list[tuple[str, str, str, int, Sequence[str]]]:
    """What is missing by its cause: what, outcome, reason, how often, and ids; the most frequent first."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for each in evaluation.failures.itertuples():
        reason = " ".join(str(each.reason).split())[:REASON_CHARS]
        groups.setdefault((str(each.what), str(each.outcome), reason), []).append(str(each.id))
    return sorted(((*cause, len(ids), ids) for cause, ids in groups.items()), key=lambda group: -group[3])


def _failures(evaluation: Evaluation) -> Iterator[str]:
    groups = failure_groups(evaluation)
    if not groups:
        return
    yield "## What is missing"
    rows = [
        (what, outcome, reason, f"{count:,}", ", ".join(ids[:3]) + (", ..." if count > 3 else ""))
        for what, outcome, reason, count, ids in groups[:MOST_CAUSES]
    ]
    yield markdown_table(["what", "outcome", "why", "rows", "ids"], rows)
    if len(groups) > MOST_CAUSES:
        yield f"And {len(groups) - MOST_CAUSES:,} other causes."


def _costs(evaluation: Evaluation) -> Iterator[str]:
    yield "## Cost"
    yield markdown_table(["what", ""], cost_rows(evaluation))


def cost_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What was paid, saved and used, and how long answers took."""
    cost, totals = evaluation.cost, evaluation.about["totals"]
    latency = totals["latency_seconds"]
    rows = [
        ("paid for answers", f"${cost.answers_usd:,.4f}"),
        ("paid for judges", f"${cost.judges_usd:,.4f}"),
        ("saved by memory", f"${cost.saved_usd:,.4f} ({cost.answers_reused:,} answers)"),
        ("tokens", f"{totals['input_tokens']:,} in, {totals['output_tokens']:,} out"),
    ]
    if cost.unpriced:
        rows.append(("price unknown", f"{cost.unpriced:,} answers"))
    if latency:
        shown = ", ".join(f"{float(share):.0%} within {number(value)} s" for share, value in latency.items())
        rows.append(("latency, when it was made", shown))
    return rows


def _agreement(about: Mapping[str, Any]) -> Iterator[str]:
    if rows := agreement_rows(about):
        yield "## Judges against people"
        yield markdown_table(["metric", "labels", "equal", "kappa", "alpha", "corrected mean"], rows)


def agreement_rows(about: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """How far each judge agrees with people's labels; empty where there are none."""
    return [
        (
            each["metric"],
            f"{each['n']:,}",
            number(each["agreement"]),
            number(each["kappa"]),
            number(each["alpha"]),
            _corrected(each),
        )
        for each in about.get("agreement") or ()
    ]


def _corrected(each: Mapping[str, Any]) -> str:
    if each["corrected"] is None:
        return each["corrected_note"] or ""
    known = each["corrected"]
    return f"{number(known['value'])} ({number(known['ci_low'])} to {number(known['ci_high'])})"

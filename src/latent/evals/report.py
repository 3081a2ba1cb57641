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
        *_gates(evaluation),
        *_judges(evaluation),
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


def _gates(evaluation: Evaluation) -> Iterator[str]:
    from latent.evals.comparing.gate_text import HEADS, gate_rows

    if (report := evaluation.gates) is not None:
        yield f"## Gates: {report.verdict}"
        yield markdown_table(HEADS, gate_rows(report))


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
    yield "## Cost and time"
    heads = [
        "",
        "from memory",
        "paid",
        "tokens in",
        "tokens out",
        "half within",
        "90 % within",
        "99 % within",
    ]
    yield markdown_table(heads, time_rows(evaluation))
    if rows := cost_rows(evaluation):
        yield markdown_table(["what", ""], rows)


def cost_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What memory saved, and whose price is not known."""
    cost = evaluation.cost
    rows = [("saved by memory", f"${cost.saved_usd:,.4f}")] if cost.answers_reused else []
    if cost.unpriced:
        rows.append(("price unknown", f"{cost.unpriced:,} answers"))
    return rows


def time_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """
    Of the answers and of each scorer: name, share from memory, dollars, tokens in and out, and seconds.

    Of the seconds three percentiles: for answers of when they were made, for scorers of those that were
    made in this run.
    """
    about, cost = evaluation.about, evaluation.cost
    totals = about["totals"]
    lines = [("answers", totals["answers"], cost.answers_reused, cost.answers_usd, totals)]
    lines += [
        (each["name"], each.get("scores", 0), each.get("reused", 0), each["cost_usd"], each)
        for each in about["scorers"]
    ]
    return [
        (
            name,
            f"{reused / made:.0%} of {made:,}" if made else "",
            f"${paid:,.4f}" if paid else "",
            f"{known['input_tokens']:,}" if known.get("input_tokens") else "",
            f"{known['output_tokens']:,}" if known.get("output_tokens") else "",
            *(
                number((known.get("latency_seconds") or {}).get(share), "s")
                for share in ("0.5", "0.9", "0.99")
            ),
        )
        for name, made, reused, paid, known in lines
    ]


def judge_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """
    What each judge is worth, as far as it is known.

    Name, model, grades, the share of answers without one, how often it agrees with itself, how often its
    verdict flips with the order of two answers, and its kappa with people.
    """
    kappas = {each["metric"]: each for each in evaluation.about.get("agreement") or ()}
    rows: list[tuple[str, ...]] = []
    for scorer in evaluation.about["scorers"]:
        if not scorer.get("judge"):
            continue
        name, metrics = scorer["name"], [evaluation.metrics.get(each) for each in scorer["metrics"]]
        first = next((metric for metric in metrics if metric is not None), None)
        wanted = first.rows if first is not None else 0
        abstained = first.outcomes.get("abstained", 0) if first is not None else 0
        checked = next((kappas[each] for each in scorer["metrics"] if each in kappas), None)
        rows.append(
            (
                name,
                scorer["judge"]["model"],
                f"{first.n:,} of {wanted:,}" if first is not None else "",
                f"{abstained:,}" if abstained else "none",
                _share(evaluation, f"{name}.self_agreement"),
                _share(evaluation, f"{name}.order_flips"),
                "not checked"
                if checked is None
                else f"kappa {number(checked['kappa']) or 'undefined'} on {checked['n']:,}",
            )
        )
    return rows


def _share(evaluation: Evaluation, name: str) -> str:
    metric = evaluation.metrics.get(name)
    if metric is None or metric.mean is None:
        return "not asked twice" if name.endswith("self_agreement") else ""
    return f"{metric.mean:.0%} of {metric.n:,}"


def _judges(evaluation: Evaluation) -> Iterator[str]:
    if rows := judge_rows(evaluation):
        yield "## What the judges are worth"
        heads = [
            "judge",
            "model",
            "graded",
            "no grade",
            "agrees with itself",
            "flips with the order",
            "people",
        ]
        yield markdown_table(heads, rows)


def _agreement(about: Mapping[str, Any]) -> Iterator[str]:
    if rows := agreement_rows(about):
        yield "## Scorers against people"
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

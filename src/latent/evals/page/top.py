"""The upper part of the page, which needs no script and can be printed: what was measured, how surely."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from latent.evals.comparing.gate_text import HEADS, gate_rows
from latent.evals.metrics import Metric
from latent.evals.origin import Origin, origin_of
from latent.evals.page.drawing import distribution, interval, outcome_bar, span
from latent.evals.page.parts import Raw, chip, code, facts, section, table, text
from latent.evals.report import MOST_CAUSES, agreement_rows, cost_rows, failure_groups, judge_rows, time_rows
from latent.evals.table import COLUMNS, cells

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

MOST_HEADLINES = 4
MOST_SLICE_VALUES = 100

VERSIONS_SHOWN = ("latent-flows", "python", "prefect", "mlflow", "openai", "anthropic")


def top_html(evaluation: Evaluation, note: str | None = None) -> str:
    """
    All sections above the rows.

    Args:
        note: What has to be known of this page: what was left out of it.
    """
    about, origin = evaluation.about, origin_of(evaluation)
    parts = [
        *_gates(evaluation),
        *section("All metrics", _metrics(evaluation), "metrics"),
        *section("What the scorers are worth", _judges(evaluation), "judges"),
        *section("What is missing", _failures(evaluation, origin), "missing"),
        *section("Distributions", _distributions(evaluation), "distributions"),
        *section("Slices", _slices(evaluation), "slices"),
        *section("Cost and time", _costs(evaluation), "cost"),
        *section("What was evaluated", _subject(about, origin), "subject"),
    ]
    links = _links("".join(parts))
    return "\n".join(
        [
            _header(evaluation),
            *(f'<p class="warning">{text(each)}</p>' for each in about.get("warnings", ())),
            *([f'<p class="warning">{note}</p>'] if note else []),
            _headlines(evaluation),
            links,
            *parts,
        ]
    )


def _header(evaluation: Evaluation) -> str:
    about = evaluation.about
    data, totals = about["data"], about["totals"]
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(about["created_at"]))
    source = "" if data["source"].startswith("The ") else f" of {text(data['source'])}"
    repeats = f", each asked {about['repeats']} times" if about["repeats"] > 1 else ""
    shown = ", ".join(f"{count:,} {outcome}" for outcome, count in totals["outcomes"].items())
    return (
        f'<header><p class="eyebrow">Evaluation · {began}</p><h1>{text(evaluation.name)}</h1>'
        f'<p class="lead"><b>{text(about["target"]["name"])}</b> on '
        f"{data['rows']:,} rows{source}{repeats}</p>"
        f'<div class="outcomes">{outcome_bar(totals["outcomes"])}<span class="soft">'
        f"{totals['answers']:,} answers: {shown}</span></div></header>"
    )


def _headlines(evaluation: Evaluation) -> str:
    chosen = [
        metric for metric in evaluation.metrics.values() if not metric.is_derived and metric.kind != "label"
    ]
    cards = "".join(_headline(metric) for metric in chosen[:MOST_HEADLINES])
    return f'<div class="cards">{cards}</div>' if cards else ""


def _headline(metric: Metric) -> str:
    _, mean, ends, rows, bounds, visible, note = cells(metric)
    ends = f"95 % interval {ends}" if ends else "no interval"
    lines = [
        f"{rows} rows"
        + (f" · {bounds} if the missing are worst / best" if metric.missing and bounds else ""),
        *([f"differences from {visible} on can be seen"] if visible else []),
        *([note] if note else []),
    ]
    small = "".join(f"<p>{text(line)}</p>" for line in lines)
    return (
        f'<div class="card"><h3>{text(metric.name)}</h3><p class="figure">{text(mean)}</p>'
        f"{interval(metric)}{_ends(metric)}<p><b>{text(ends)}</b></p>{small}</div>"
    )


def _ends(metric: Metric) -> str:
    """What the ends of the drawn scale are."""
    if metric.mean is None or metric.scale is None:
        return ""
    low, high = (f"{end:g}" for end in metric.scale)
    return f'<div class="ends" aria-hidden="true"><span>{low}</span><span>{high}</span></div>'


def _links(parts: str) -> str:
    names = {
        "gates": "Gates",
        "metrics": "Metrics",
        "missing": "Missing",
        "slices": "Slices",
        "cost": "Cost",
        "subject": "About",
    }
    links = "".join(
        f'<a href="#{name}">{title}</a>' for name, title in names.items() if f'id="{name}"' in parts
    )
    return f'<nav aria-label="Sections">{links}<a href="#browser">Rows</a></nav>'


def _subject(about: Mapping[str, Any], origin: Origin) -> str:
    data, target = about["data"], about["target"]
    judges = [
        (f"judge {each['name']}", f"{each['judge']['model']}: {each['judge']['rubric']}")
        for each in about["scorers"]
        if each.get("judge")
    ]
    versions = [f"{name} {origin.versions[name]}" for name in VERSIONS_SHOWN if origin.versions.get(name)]
    sampling = ", ".join(f"{name} {value}" for name, value in (target.get("sampling") or {}).items())
    scorers = ", ".join(f"{each['name']} {each['version'][:7]}" for each in about["scorers"])
    return facts(
        [
            ("data", f"{data['source']}, {data['rows']:,} rows, content {data['fingerprint'][:12]}"),
            ("target", target["name"] + (f" ({sampling})" if sampling else "")),
            ("code", (target.get("code") or "")[:12]),
            ("system", target.get("system")),
            ("prompt", target.get("prompt")),
            *judges,
            ("scorers", scorers),
            ("clusters", about["cluster"]),
            ("run", about["run_id"]),
            ("scored from", about.get("scored_from")),
            ("command", code(line) if (line := origin.command_line) else None),
            ("versions", ", ".join(versions)),
            ("commit", origin.commit),
        ]
    )


def _metrics(evaluation: Evaluation) -> str:
    if not evaluation.metrics:
        return "<p>Nothing was scored.</p>"
    heads = [*COLUMNS[:2], "", *COLUMNS[2:]]
    return table(heads, map(_metric, evaluation.metrics.values()), "numbers")


def _metric(metric: Metric) -> list[str]:
    name, mean, *rest = cells(metric)
    return [name, mean, Raw(interval(metric)), *rest]


def _gates(evaluation: Evaluation) -> Iterator[str]:
    if (report := evaluation.gates) is not None:
        yield from section(f"Gates: {report.verdict}", table(HEADS, gate_rows(report)), "gates")


def _judges(evaluation: Evaluation) -> str:
    judges = judge_rows(evaluation)
    people = agreement_rows(evaluation.about)
    if not judges and not people:
        return ""
    heads = ["judge", "model", "graded", "no grade", "agrees with itself", "flips with the order", "people"]
    rows = [[*row[:-1], chip(row[-1], "bad") if row[-1] == "not checked" else row[-1]] for row in judges]
    checked = table(["metric", "labels", "equal", "kappa", "alpha", "mean that people would give"], people)
    return table(heads, rows) + (f"<h3>Against people</h3>{checked}" if people else "")


def _distributions(evaluation: Evaluation) -> str:
    figures = [
        f"<figure>{drawn}<figcaption><b>{text(metric.name)}</b> {text(span(metric))}</figcaption></figure>"
        for metric in evaluation.metrics.values()
        if (drawn := distribution(metric))
    ]
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


def _slices(evaluation: Evaluation) -> str:
    rows = []
    lines = [line for line in evaluation.about["slices"] if not line["is_derived"]]
    for line in lines[:MOST_SLICE_VALUES]:
        name, mean, drawn, *rest = _metric(Metric.from_dict(line))
        rows.append([line["slice"], line["value"], name, mean, drawn, *rest[:2]])
    left = len(lines) - MOST_SLICE_VALUES
    more = f"<p>And {left:,} more.</p>" if left > 0 else ""
    return table(["column", "value", "metric", "mean", "", "95 % interval", "rows"], rows, "numbers") + more


def _failures(evaluation: Evaluation, origin: Origin) -> str:
    groups = failure_groups(evaluation)
    rows = [
        [
            chip(outcome, "bad" if outcome == "failed" else "soft"),
            what,
            reason,
            f"{count:,}",
            ", ".join(ids[:3]) + (", …" if count > 3 else ""),
        ]
        for what, outcome, reason, count, ids in groups[:MOST_CAUSES]
    ]
    left = len(groups) - MOST_CAUSES
    more = f"<p>And {left:,} other causes.</p>" if left > 0 else ""
    again = "".join(f"<p>{line}</p>" for line in _again(evaluation, origin, groups[:MOST_CAUSES]))
    return table(["outcome", "of", "why", "rows", "ids"], rows) + more + again


def _again(evaluation: Evaluation, origin: Origin, groups: list[Any]) -> Iterator[str]:
    """The commands that run these groups again, each once."""
    scorer_of = {name: metric.scorer for name, metric in evaluation.metrics.items()}
    commands: dict[str, list[str]] = {}
    for what, outcome, _, _, ids in groups:
        task = scorer_of.get(what, evaluation.about["target"].get("function", what))
        if command := origin.again(outcome, task, ids):
            commands.setdefault(command, []).append(f"{outcome} {what}")
    for command, of in commands.items():
        yield f"Run {text(', '.join(dict.fromkeys(of)))} again: {code(command)}"


def _costs(evaluation: Evaluation) -> str:
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
    return table(heads, time_rows(evaluation), "numbers") + facts(cost_rows(evaluation))

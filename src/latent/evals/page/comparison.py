"""The page of a comparison: what differs, how surely, and each row with both answers side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from latent.evals.comparing.changes import Change, word_diff
from latent.evals.comparing.text import EXPLORATORY, HEADS, comparison_cells, row_counts
from latent.evals.measuring import NOT_APPLICABLE
from latent.evals.page.document import assembled
from latent.evals.page.drawing import difference
from latent.evals.page.packing import SHOWN_CHARS, Mask, one_line, packed
from latent.evals.page.parts import Raw, chip, diff_html, facts, section, table, text
from latent.evals.page.rows import described, details_of, slices_of

if TYPE_CHECKING:
    from latent.evals.comparing.comparison import Comparison, MetricComparison
    from latent.evals.evaluation import Evaluation

Sides = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""What a row opens to in the old evaluation and in the new one, a detail for each repeat."""

KINDS = {"better": "good", "worse": "bad"}


def comparison_page(comparison: Comparison, mask: Mask = str) -> str:
    """
    The page of a comparison, made like that of an evaluation.

    Args:
        mask: Takes secrets out of texts.
    """
    rows = _rows(comparison)
    details = [_detail(*sides) for sides in rows.values()]
    blocks = packed(_table(comparison, rows, details), details, mask)
    old, new = comparison.old.name, comparison.new.name
    runs = f"{comparison.old.run_id[:8]} → {comparison.new.run_id[:8]}"
    title = f"{old} → {new}" if old != new else f"{new}: {runs}"
    return assembled(title, _top(comparison, title), blocks, mask)


# -- the upper part --


def _top(comparison: Comparison, title: str) -> str:
    counts = "".join(f"<p>{text(line)}</p>" for line in row_counts(comparison.pairs))
    return "\n".join(
        [
            f'<header><p class="eyebrow">Comparison</p><h1>{text(title)}</h1></header>',
            f'<div class="versus">{_about("old", comparison.old)}{_about("new", comparison.new)}</div>',
            *section("What can be concluded", _verdicts(comparison), "verdicts"),
            *section("All metrics", _metrics(comparison), "metrics"),
            *section("What else differs", _changes(comparison.changes), "changes"),
            *section("Which rows", counts, "rows"),
        ]
    )


def _about(side: str, evaluation: Evaluation) -> str:
    about = evaluation.about
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(about["created_at"]))
    lines = [
        ("target", about["target"]["name"]),
        ("run", f"{evaluation.run_id[:8]}, {began}"),
        ("data", f"{about['data']['source']}, {about['data']['rows']:,} rows"),
        ("paid", f"${evaluation.cost.total_usd:,.4f}" if evaluation.cost.total_usd else None),
    ]
    name = text(evaluation.name)
    return f'<div class="card"><h3>{side}</h3><p class="side">{name}</p>{facts(lines)}</div>'


def _verdicts(comparison: Comparison) -> str:
    most = _widest(comparison)
    found = "".join(
        f'<div class="verdict {KINDS.get(each.verdict, "")}"><p>{text(each.sentence)}</p>'
        f"{_drawn(each, most)}</div>"
        for each in comparison.metrics.values()
    )
    note = f'<p class="soft">{text(EXPLORATORY)}</p>' if len(comparison.metrics) > 1 else ""
    return found + note


def _widest(comparison: Comparison) -> float:
    """The end of the axis that differences of yes/no scores share; other scales have their own."""
    ends = [
        abs(end)
        for each in comparison.metrics.values()
        if each.difference is not None and _is_share(comparison, each)
        for end in (each.difference.estimate.ci_low, each.difference.estimate.ci_high)
        if end is not None
    ]
    return max(ends, default=0.0)


def _is_share(comparison: Comparison, each: MetricComparison) -> bool:
    return comparison.new.metrics[each.name].scale == (0.0, 1.0)


def _drawn(each: MetricComparison, most: float) -> str:
    if each.difference is None or (value := each.difference.estimate.value) is None:
        return ""
    estimate = each.difference.estimate
    ends = [abs(end) for end in (value, estimate.ci_low, estimate.ci_high) if end is not None]
    return difference(each.name, value, estimate.ci_low, estimate.ci_high, max(most, *ends))


def _metrics(comparison: Comparison) -> str:
    rows = []
    for each in comparison.metrics.values():
        *cells, verdict = comparison_cells(each)
        rows.append([*cells, chip(verdict, KINDS.get(each.verdict, "soft"))])
    return table(HEADS, rows, "numbers")


def _changes(changes: Sequence[Change]) -> str:
    rows = [
        [
            change.what,
            diff_html(word_diff(change.old, change.new))
            if change.old and change.new and " " in change.old
            else Raw(_replaced(change)),
        ]
        for change in changes
    ]
    return table(["what", "old → new"], rows)


def _replaced(change: Change) -> str:
    old = f"<del>{text(change.old)}</del>" if change.old is not None else '<span class="soft">none</span>'
    new = f"<ins>{text(change.new)}</ins>" if change.new is not None else '<span class="soft">none</span>'
    return f"{old} → {new}"


# -- the rows --


def _rows(comparison: Comparison) -> dict[str, Sides]:
    """All rows of either evaluation by their ids: those that flipped first, then as the old one has them."""
    old, new = _by_id(comparison.old), _by_id(comparison.new)
    flipped = dict.fromkeys(flip.id for flip in comparison.flips)
    return {row: (old.get(row, []), new.get(row, [])) for row in dict.fromkeys([*flipped, *old, *new])}


def _by_id(evaluation: Evaluation) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    ids = evaluation.rows_table.column("id").to_pylist()
    for row, detail in zip(ids, details_of(evaluation), strict=True):
        found.setdefault(row, []).append(detail)
    return found


def _detail(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> dict[str, Any]:
    first = (new or old)[0]
    shown = ("output", "outcome", "error", "scores")
    sides = [[{name: each[name] for name in shown if name in each} for each in side] for side in (old, new)]
    return {"input": first["input"], "expected": first.get("expected"), "old": sides[0], "new": sides[1]}


def _table(
    comparison: Comparison, rows: Mapping[str, Sides], details: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    pairs = comparison.pairs
    kinds = {row: kind for kind in ("changed", "added", "removed") for row in getattr(pairs, kind)}
    names = {"changed": "changed", "added": "new", "removed": "gone"}
    metrics = [name for name in comparison.metrics if not comparison.new.metrics[name].is_derived]
    before, values = (
        {name: [_score(sides[side], name) for sides in rows.values()] for name in metrics} for side in (0, 1)
    )
    return {
        "metrics": [described(comparison.new, name) for name in metrics],
        "id": [*rows],
        "outcome": [names.get(kinds.get(row, ""), "same") for row in rows],
        "input": [one_line(detail["input"]) for detail in details],
        "output": [_output(*sides) for sides in rows.values()],
        "before": before,
        "values": values,
        "slices": slices_of(comparison.new, details),
    }


def _score(side: Sequence[Mapping[str, Any]], metric: str) -> Any:
    """A row's score over its repeats: their mean, or their labels; None: missing, {}: it does not apply."""
    found = [score for each in side for score in each["scores"] if score["metric"] == metric]
    values = [score["value"] for score in found if score.get("value") is not None]
    if not values:
        return {} if found and all(score["outcome"] == NOT_APPLICABLE for score in found) else None
    if isinstance(values[0], str):
        return ", ".join(values)
    return sum(values) / len(values)


def _output(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str:
    texts = (each.get("output") or each.get("error") or "" for each in new or old)
    return " | ".join(texts)[:SHOWN_CHARS]

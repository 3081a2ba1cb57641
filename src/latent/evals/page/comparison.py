"""The page of a comparison: what differs, how surely, and each row with both answers side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.evals.comparing import text as texts
from latent.evals.comparing.causes import Causes
from latent.evals.comparing.changes import Change, word_diff
from latent.evals.comparing.comparison import Comparison
from latent.evals.comparing.metric import MetricComparison
from latent.evals.comparing.ranking import RankedMetric, Ranking
from latent.evals.export import kind_of_file
from latent.evals.measuring import NOT_APPLICABLE
from latent.evals.page.document import assembled
from latent.evals.page.drawing import difference, estimate_on
from latent.evals.page.packing import SHOWN_CHARS, Mask, one_line, packed
from latent.evals.page.parts import Raw, chip, diff_html, facts, section, table, text
from latent.evals.page.rows import described, details_of, slices_of
from latent.files import replace_file

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

Compared = Comparison | Causes | Ranking
"""Two evaluations; why they differ; or more than two."""

Sides = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""What a row opens to in the old evaluation and in the new one, a detail for each repeat."""

KINDS = {"better": "good", "worse": "bad"}


def export_comparison(found: Compared, path: str | Path) -> Path:
    """
    Write the page (`.html`) or the Markdown (`.md`) of a comparison to a file, masked; where it is.

    Raises:
        UsageError: The suffix is another one.
    """
    from latent.config import find_workspace, masker_for

    target, mask = Path(path), masker_for(find_workspace()).text
    kind = kind_of_file(target, ("html", "md"))
    content = comparison_page(found, mask) if kind == "html" else mask(_markdown(found))
    replace_file(target, content.encode("utf-8", "backslashreplace"))
    return target


def _markdown(found: Compared) -> str:
    if isinstance(found, Ranking):
        return texts.ranking_markdown(found)
    if isinstance(found, Causes):
        return texts.comparison_markdown(found.comparison) + "\n" + texts.causes_markdown(found)
    return texts.comparison_markdown(found)


def sides_of(found: Compared) -> tuple[Evaluation, Evaluation]:
    """The two evaluations whose rows the page shows: of more than two, the first and the last one."""
    comparison = _shown(found)
    return comparison.old, comparison.new


def _shown(found: Compared) -> Comparison:
    if isinstance(found, Ranking):
        return found.comparisons[0, len(found.evaluations) - 1]
    return found.comparison if isinstance(found, Causes) else found


def comparison_page(found: Compared, mask: Mask = str) -> str:
    """
    The page of a comparison, made like that of an evaluation.

    Args:
        mask: Takes secrets out of texts.
    """
    comparison = _shown(found)
    rows = _rows(comparison)
    details = [_detail(*sides) for sides in rows.values()]
    content = _table(comparison, rows, details)
    if isinstance(found, Causes):
        content["slices"] |= {
            f"cause of {name}": [each.rows.get(row, "(no flip)") for row in rows]
            for name, each in found.metrics.items()
            if each.flips
        }
    old, new = comparison.old.name, comparison.new.name
    runs = f"{comparison.old.run_id[:8]} → {comparison.new.run_id[:8]}"
    title = f"{old} → {new}" if old != new else f"{new}: {runs}"
    return assembled(title, _top(found, title), packed(content, details, mask), mask)


# -- the upper part --


def _top(found: Compared, title: str) -> str:
    comparison = _shown(found)
    if isinstance(found, Ranking):
        heading = f"{len(found.evaluations)} evaluations"
        cards = "".join(_about(each.run_id[:8], each) for each in found.evaluations)
        parts = [*section("Ranking", _ranking(found), "ranking")]
        parts += [*section("Which rows", f"<p>{text(texts.ranked_counts(found))}</p>", "rows")]
        rows_of = f'<p class="soft">The rows below compare the first with the last: {text(title)}.</p>'
    else:
        heading = title
        cards = _about("old", comparison.old) + _about("new", comparison.new)
        counts = "".join(f"<p>{text(line)}</p>" for line in texts.row_counts(comparison.pairs))
        parts = [*section("What can be concluded", _verdicts(comparison), "verdicts")]
        parts += [*section("All metrics", _metrics(comparison), "metrics")]
        if isinstance(found, Causes):
            parts += [*section("Causes of the flips", "".join(_causes(found)), "causes")]
        parts += [*section("What else differs", _changes(comparison.changes), "changes")]
        parts += [*section("Which rows", counts, "rows")]
        rows_of = ""
    header = f'<header><p class="eyebrow">Comparison</p><h1>{text(heading)}</h1></header>'
    return "\n".join([header, f'<div class="versus">{cards}</div>', *parts, rows_of])


def _causes(causes: Causes) -> Iterator[str]:
    for each in causes.metrics.values():
        if each.flips:
            yield table([each.metric, *texts.CAUSE_HEADS], texts.cause_rows(each), "numbers")
    for note in texts.cause_notes(causes):
        yield f'<p class="soft">{text(note)}</p>'


def _ranking(ranking: Ranking) -> str:
    parts = [_ranked(each, ranking) for each in ranking.metrics.values()]
    return "".join(parts) + f'<p class="soft">{text(texts.SAME_LETTER)}</p>'


def _ranked(each: RankedMetric, ranking: Ranking) -> str:
    scale = ranking.evaluations[0].metrics[each.name].scale
    rows = [
        [name, mean, Raw(estimate_on(scale, standing.estimate, name)), *rest]
        for (name, mean, *rest), standing in zip(texts.ranked_cells(each), each.standings, strict=True)
    ]
    name, mean, *heads = texts.ranked_heads(each)
    sentences = "".join(f"<p>{text(line)}</p>" for line in each.sentences)
    return table([name, mean, "", *heads], rows, "numbers") + sentences


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
    note = texts.adjustment(comparison)
    return found + (f'<p class="soft">{text(note)}</p>' if note else "")


def _widest(comparison: Comparison) -> float:
    """The end of the axis that differences of yes/no scores share; other scales have their own."""
    ends = [
        abs(end)
        for each in comparison.metrics.values()
        if each.difference is not None and _is_share(comparison, each)
        for end in (each.difference.estimate.ci_low, each.difference.estimate.ci_high)
        if end is not None
    ]
    return 1.1 * max(ends, default=0.0)


def _is_share(comparison: Comparison, each: MetricComparison) -> bool:
    return comparison.new.metrics[each.name].scale == (0.0, 1.0)


def _drawn(each: MetricComparison, most: float) -> str:
    if each.difference is None or (value := each.difference.estimate.value) is None:
        return ""
    estimate = each.difference.estimate
    ends = [abs(end) for end in (value, estimate.ci_low, estimate.ci_high) if end is not None]
    return difference(each.name, value, estimate.ci_low, estimate.ci_high, max(most, 1.1 * max(ends)))


def _metrics(comparison: Comparison) -> str:
    rows = []
    for each in comparison.metrics.values():
        *cells, verdict = texts.comparison_cells(each)
        rows.append([*cells, chip(verdict, KINDS.get(each.verdict, "soft"))])
    return table(texts.HEADS, rows, "numbers")


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
    answers = (each.get("output") or each.get("error") or "" for each in new or old)
    return " | ".join(answers)[:SHOWN_CHARS]

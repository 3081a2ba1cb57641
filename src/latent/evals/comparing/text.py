"""A comparison as text and in Markdown."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from latent.evals.comparing.changes import word_diff
from latent.evals.table import aligned, html_table, markdown_table, number

if TYPE_CHECKING:
    from latent.evals.comparing.causes import Causes, CauseShare, MetricCauses
    from latent.evals.comparing.changes import Change
    from latent.evals.comparing.comparison import Comparison
    from latent.evals.comparing.metric import Flip, MetricComparison
    from latent.evals.comparing.pairing import Pairs
    from latent.evals.comparing.ranking import RankedMetric, Ranking
    from latent.evals.evaluation import Evaluation

HEADS = ("metric", "old", "new", "difference", "95 % interval", "p", "gained / lost", "rows", "")
IDS_SHOWN = 10
EXPLORATORY = (
    "The p values are not adjusted for how many metrics there are: take them as hints, not as tests."
)
SAME_LETTER = "Those that share a letter are tied: pairwise differences, p adjusted by Holm."
CAUSE_HEADS = ("flips", "effect", "95 % interval")
NO_FLIPS = "No score is another one now."
NOISE_UNKNOWN = (
    "How many flips are noise is not known: a side cannot be asked again. `--repeats` would show it."
)
HOLM = (
    "p of {gated}, which have gates, are adjusted for how many they are (Holm); the others are exploratory."
)


def comparison_text(comparison: Comparison, *, flips: int = 0) -> str:
    """
    The whole comparison for a terminal.

    Args:
        flips: So many rows whose score is another one are shown, with both answers.
    """
    parts = [
        "\n".join(aligned([("old", *_about(comparison.old)), ("new", *_about(comparison.new))])),
        "\n".join(row_counts(comparison.pairs)),
        "\n".join(aligned([HEADS, *map(comparison_cells, comparison.metrics.values())])),
        "\n".join(each.sentence for each in comparison.metrics.values()),
        adjustment(comparison),
        "\n".join(["What else differs:", *_changes(comparison.changes)]) if comparison.changes else "",
        "\n\n".join("\n".join(_flip(each)) for each in comparison.flips[:flips]),
        _flips_left(comparison, flips),
    ]
    return "\n\n".join(part for part in parts if part)


def comparison_html(comparison: Comparison) -> str:
    """The metrics as a notebook shows them."""
    return html_table(HEADS, map(comparison_cells, comparison.metrics.values()))


def comparison_markdown(comparison: Comparison, *, flips: int = 20) -> str:
    """The whole comparison in Markdown, as for a pull request."""
    old, new = " ".join(_about(comparison.old)), " ".join(_about(comparison.new))
    parts = [
        "# Comparison",
        markdown_table(["", "evaluation"], [("old", old), ("new", new)]),
        "\n".join(f"- {line}" for line in row_counts(comparison.pairs)),
        "## Metrics",
        markdown_table(HEADS, map(comparison_cells, comparison.metrics.values())),
        "\n".join(f"- {each.sentence}" for each in comparison.metrics.values()),
        adjustment(comparison),
    ]
    if comparison.changes:
        parts += ["## What else differs", "\n".join(["```diff", *_changes(comparison.changes), "```"])]
    if comparison.flips and flips:
        parts.append("## Rows whose score is another one")
        lines = [
            (flip.id, flip.metric, _score(flip.old), _score(flip.new), *map(_texts, flip.answers))
            for flip in comparison.flips[:flips]
        ]
        parts.append(markdown_table(["row", "metric", "old", "new", "old answer", "new answer"], lines))
        parts.append(_flips_left(comparison, flips))
    return "\n\n".join(part for part in parts if part) + "\n"


def adjustment(comparison: Comparison) -> str:
    """What the p values can be taken for."""
    gated = [name for name, each in comparison.metrics.items() if each.p_adjusted is not None]
    if len(comparison.metrics) < 2:
        return ""
    return HOLM.format(gated=", ".join(gated)) if gated else EXPLORATORY


def _about(evaluation: Evaluation) -> tuple[str, ...]:
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(evaluation.about["created_at"]))
    return evaluation.run_id[:8], evaluation.name, began, evaluation.about["target"]["name"]


def row_counts(pairs: Pairs) -> Iterator[str]:
    """How many rows are the same, and which are changed, new or gone."""
    yield f"{len(pairs.ids):,} rows are the same in both."
    for ids, what in (
        (pairs.changed, "have other content now, and are left out"),
        (pairs.added, "are new"),
        (pairs.removed, "are gone"),
    ):
        if ids:
            shown = ", ".join(ids[:IDS_SHOWN]) + (", ..." if len(ids) > IDS_SHOWN else "")
            yield f"{len(ids):,} {what}: {shown}"


def comparison_cells(each: MetricComparison) -> tuple[str, ...]:
    """One metric's line of the table; the last cell is the verdict."""
    difference = each.difference
    note = each.verdict + (", another scorer" if each.is_other_scorer else "")
    if difference is None or difference.estimate.value is None:
        return (each.name, "", "", "", "", "", "", f"{each.pairs:,}", note)
    estimate = difference.estimate
    has_interval = estimate.ci_low is not None and estimate.ci_high is not None
    return (
        each.name,
        number(each.old, each.unit),
        number(each.new, each.unit),
        f"{estimate.value:+.3f}",
        f"{estimate.ci_low:+.3f} to {estimate.ci_high:+.3f}" if has_interval else "",
        _p_value(each),
        f"{difference.gained:,} / {difference.lost:,}",
        f"{each.pairs:,}",
        note,
    )


def _p_value(each: MetricComparison) -> str:
    p_value = each.p_adjusted
    if p_value is None and each.difference is not None:
        p_value = each.difference.p_value
    return "" if p_value is None else f"{p_value:.3g}"


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        yield f"  {change.what}"
        old, new = (change.old or "").splitlines(), (change.new or "").splitlines()
        lines = list(difflib.unified_diff(old, new, lineterm="", n=1))[3:]  # without the names of files
        yield from (f"{line[0]} {line[1:]}" for line in lines)


def _flip(flip: Flip) -> Iterator[str]:
    yield f"{flip.id}  {flip.metric}: {_score(flip.old)} -> {_score(flip.new)}"
    if flip.row.expected is not None:
        yield f"  expected  {_line(flip.row.expected)}"
    old, new = map(_texts, flip.answers)
    if old == new:
        yield f"  answer    {_line(new)}"
        return
    marks = {"same": "{}", "old": "[-{}-]", "new": "{{+{}+}}"}
    yield "  answer    " + _line("".join(marks[kind].format(piece) for kind, piece in word_diff(old, new)))


def _flips_left(comparison: Comparison, shown: int) -> str:
    left = len(comparison.flips) - shown
    if left <= 0:
        return ""
    more = "more " if shown else ""
    command = f"`latent compare ... --flips {len(comparison.flips)}`"
    return f"{left:,} {more}scores of single rows differ: {command} shows all."


def _texts(outputs: Sequence[str | None]) -> str:
    return " | ".join("(no answer)" if output is None else output for output in outputs)


def _score(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _line(text: str) -> str:
    return " ".join(text.split())


def ranking_text(ranking: Ranking) -> str:
    """A ranking for a terminal: for each metric the evaluations, the best first, and who is tied."""
    parts = [ranked_counts(ranking)]
    for each in ranking.metrics.values():
        parts += ["\n".join(aligned([ranked_heads(each), *ranked_cells(each)])), "\n".join(each.sentences)]
    return "\n\n".join([*parts, SAME_LETTER])


def ranking_markdown(ranking: Ranking) -> str:
    """The same in Markdown."""
    parts = ["# Ranking", ranked_counts(ranking)]
    for each in ranking.metrics.values():
        sentences = "\n".join(f"- {line}" for line in each.sentences)
        parts += [f"## {each.name}", markdown_table(ranked_heads(each), ranked_cells(each)), sentences]
    return "\n\n".join([*parts, SAME_LETTER]) + "\n"


def ranked_counts(ranking: Ranking) -> str:
    """How many rows all have."""
    return f"{len(ranking.rows):,} rows are the same in all {len(ranking.evaluations)}."


def ranked_heads(each: RankedMetric) -> tuple[str, ...]:
    """What stands above the lines of `ranked_cells`."""
    return (each.name, "mean", "95 % interval", "tied", "rows", "missing")


def ranked_cells(each: RankedMetric) -> Iterator[tuple[str, ...]]:
    """A line for each evaluation, the best first."""
    for standing in each.standings:
        estimate = standing.estimate
        has_interval = estimate.ci_low is not None and estimate.ci_high is not None
        yield (
            standing.name,
            "not scored" if estimate.value is None else number(estimate.value, each.unit),
            f"{number(estimate.ci_low)} to {number(estimate.ci_high)}" if has_interval else "",
            standing.letters,
            f"{estimate.n:,}",
            f"{standing.missing:,}" if standing.missing else "",
        )


def causes_text(causes: Causes) -> str:
    """Why two evaluations differ, for a terminal."""
    parts = [
        "\n".join(aligned([(each.metric, *CAUSE_HEADS), *cause_rows(each)]))
        for each in causes.metrics.values()
        if each.flips
    ]
    return "\n\n".join([*(parts or [NO_FLIPS]), *cause_notes(causes)])


def causes_markdown(causes: Causes) -> str:
    """The same in Markdown."""
    parts = [
        markdown_table([each.metric, *CAUSE_HEADS], cause_rows(each))
        for each in causes.metrics.values()
        if each.flips
    ]
    return "\n\n".join(["## Causes", *(parts or [NO_FLIPS]), *cause_notes(causes)]) + "\n"


def cause_rows(each: MetricCauses) -> Iterator[tuple[str, ...]]:
    """A line for each cause of one metric's flips, with `CAUSE_HEADS` above all but the first cell."""
    for share in each.shares:
        yield share.cause, f"{share.flips:,}", *_effect(share)
    if each.together:
        yield "several together", f"{each.together:,}", "", ""
    yield "noise", "not known" if each.noise is None else f"{each.noise:,}", "", ""
    if each.unknown:
        yield "unknown", f"{each.unknown:,}", "", ""
    yield "all", f"{each.flips:,}", "", ""


def _effect(share: CauseShare) -> tuple[str, str]:
    effect = share.effect
    if effect is None or effect.value is None:
        return "", ""
    has_interval = effect.ci_low is not None and effect.ci_high is not None
    return f"{effect.value:+.3f}", f"{effect.ci_low:+.3f} to {effect.ci_high:+.3f}" if has_interval else ""


def cause_notes(causes: Causes) -> Iterator[str]:
    """What could not be found out."""
    if causes.notes:
        yield "\n".join(causes.notes)
    if any(each.noise is None and each.flips for each in causes.metrics.values()):
        yield NOISE_UNKNOWN

"""Small drawings in SVG, which the page's style colours: an interval with its bounds, a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from latent.evals.table import number

if TYPE_CHECKING:
    from latent.evals.metrics import Metric
    from latent.evals.stats.estimate import Estimate

WIDTH, HEIGHT = 200, 20
ROOM = 6
"""At both ends, so that a mean at the end of its scale is drawn whole."""
MOST_BARS = 30


def interval(metric: Metric) -> str:
    """The mean on its scale, its interval, and, paler, from the worst to the best that missing rows allow."""
    bounds = (
        None
        if metric.worst is None or metric.best is None or metric.worst == metric.best
        else (metric.worst, metric.best)
    )
    return _on_scale(metric.scale, (metric.mean, metric.ci_low, metric.ci_high), bounds, metric.name)


def estimate_on(scale: tuple[float, float] | None, estimate: Estimate, name: str) -> str:
    """An estimate on a scale with its interval."""
    return _on_scale(scale, (estimate.value, estimate.ci_low, estimate.ci_high), None, name)


def _on_scale(
    scale: tuple[float, float] | None,
    known: tuple[float | None, float | None, float | None],
    bounds: tuple[float, float] | None,
    name: str,
) -> str:
    mean, first_end, last_end = known
    if mean is None:
        return ""
    ends = [end for end in known if end is not None]
    low, high = scale or (min(0.0, *ends), max(0.0, *ends))

    def at(value: float) -> float:
        return round(WIDTH * (value - low) / (high - low), 1) if high > low else WIDTH / 2

    middle = HEIGHT / 2
    parts = [f'<line class="axis" x1="0" y1="{middle}" x2="{WIDTH}" y2="{middle}"/>']
    if bounds is not None:
        first, last = sorted(map(at, bounds))
        parts.append(f'<rect class="bounds" x="{first}" y="3" width="{round(last - first, 1)}" height="14"/>')
    if first_end is not None and last_end is not None:
        first, last = at(first_end), at(last_end)
        parts.append(
            f'<rect class="interval" x="{first}" y="7" width="{max(round(last - first, 1), 1)}" height="6"/>'
        )
    parts.append(f'<circle class="mean" cx="{at(mean)}" cy="{middle}" r="4"/>')
    label = f"{name}: {number(mean)}, {number(first_end)} to {number(last_end)}"
    return _svg(WIDTH, HEIGHT, label, parts)


def outcome_bar(outcomes: Mapping[str, int]) -> str:
    """Answers by outcome, as shares of a bar."""
    total = sum(outcomes.values())
    parts, left = [], 0.0
    for name, count in outcomes.items():
        width = WIDTH * count / total
        title = f"<title>{escape(name)}: {count:,}</title>"
        parts.append(
            f'<rect class="of-{escape(name)}" x="{round(left, 1)}" y="0" width="{round(width, 1)}" '
            f'height="10">{title}</rect>'
        )
        left += width
    return _svg(WIDTH, 10, "Answers by outcome", parts, room=0) if total else ""


def difference(name: str, value: float, low: float | None, high: float | None, most: float) -> str:
    """
    A difference with its interval, about a line at zero.

    Args:
        most: The end of the axis on either side.
    """
    middle = HEIGHT / 2

    def at(amount: float) -> float:
        return round(WIDTH / 2 * (1 + max(min(amount / most, 1.0), -1.0)), 1) if most > 0 else WIDTH / 2

    parts = [
        f'<line class="axis" x1="0" y1="{middle}" x2="{WIDTH}" y2="{middle}"/>',
        f'<line class="zero" x1="{WIDTH / 2}" y1="0" x2="{WIDTH / 2}" y2="{HEIGHT}"/>',
    ]
    if low is not None and high is not None:
        first, last = at(low), at(high)
        parts.append(
            f'<rect class="interval" x="{first}" y="7" width="{max(round(last - first, 1), 1)}" height="6"/>'
        )
    parts.append(f'<circle class="mean" cx="{at(value)}" cy="{middle}" r="4"/>')
    return _svg(WIDTH, HEIGHT, f"{name}: difference {value:+.3f}", parts)


def span(metric: Metric) -> str:
    """From which value to which a distribution is drawn."""
    names = [name for name, _ in _counts(metric.distribution)[:MOST_BARS]]
    return "" if not names else names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"


def distribution(metric: Metric) -> str:
    """A bar for each value, or for each bin of values; empty where nothing was scored."""
    counts = _counts(metric.distribution)[:MOST_BARS]
    if not counts:
        return ""
    most, height = max(count for _, count in counts) or 1, 48
    width = WIDTH / len(counts)
    parts = []
    for place, (name, count) in enumerate(counts):
        tall = round(height * count / most, 1)
        title = f"<title>{escape(name)}: {count:,}</title>"
        parts.append(
            f'<rect class="bar" x="{round(place * width + 0.5, 1)}" y="{round(height - tall, 1)}" '
            f'width="{round(max(width - 1, 0.5), 1)}" height="{tall}">{title}</rect>'
        )
    return _svg(WIDTH, height, f"Distribution of {metric.name}", parts)


def _counts(known: Mapping[str, Any]) -> list[tuple[str, int]]:
    if "counts" in known:
        return [(str(name), int(count)) for name, count in known["counts"].items()]
    if "bins" in known:
        names = [f"{number(low)} to {number(high)}" for low, high in pairwise(known["edges"])]
        return [(name, int(count)) for name, count in zip(names, known["bins"], strict=True)]
    return []


def _svg(width: float, height: float, label: str, parts: list[str], room: float = ROOM) -> str:
    inner = "".join(parts)
    return (
        f'<svg viewBox="{-room:g} 0 {width + 2 * room:g} {height:g}" '
        f'width="{width + 2 * room:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(label)}">{inner}</svg>'
    )

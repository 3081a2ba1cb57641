"""More than two evaluations of the same rows: ranked, and which of them cannot be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from string import ascii_lowercase
from typing import TYPE_CHECKING

from latent.evals.comparing.comparison import Comparison
from latent.evals.comparing.metric import MetricComparison
from latent.evals.evaluation import Evaluation
from latent.evals.stats.estimate import Estimate
from latent.evals.stats.paired import Difference, holm

if TYPE_CHECKING:
    from pathlib import Path

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One evaluation in the ranking of a metric."""

    place: int
    """Of the evaluation, among those that were given."""
    name: str
    estimate: Estimate
    """Its mean over the rows that all have; of those that have a score."""
    missing: int
    """Rows that should have a score and have none."""
    letters: str
    """Those that share a letter cannot be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedMetric:
    """One metric in all evaluations, the best first."""

    name: str
    standings: tuple[Standing, ...]
    p_values: Mapping[Pair, float]
    """Of each pair of places, adjusted by Holm for how many pairs there are."""
    groups: tuple[tuple[int, ...], ...]
    """Places of evaluations none of which can be told from another; as large as they can be."""
    detectable: float | None
    """The smallest difference that any two of these show with 80 % probability."""
    unit: str | None = None

    @property
    def sentences(self) -> list[str]:
        """What can be concluded: who is ahead of whom, and who is tied."""
        names = {each.place: each.name for each in self.standings}
        together = [set(group) for group in self.groups]
        found = []
        for at, one in enumerate(self.standings):
            behind = [
                other.name
                for other in self.standings[at + 1 :]
                if not any({one.place, other.place} <= group for group in together)
            ]
            if behind:
                found.append(f"{self.name}: {one.name} is ahead of {', '.join(behind)}.")
        for group in self.groups:
            if len(group) > 1:
                limit = self.detectable
                unseen = "" if limit is None else f" (a difference below {limit:.3f} could not be seen)"
                tied = ", ".join(names[place] for place in group)
                found.append(f"{self.name}: {tied} are tied: these rows do not tell them apart{unseen}.")
        return found


class Ranking:
    """Evaluations of the same rows, metric by metric; `print(ranking)` shows who is ahead and who is tied."""

    def __init__(self, evaluations: Sequence[Evaluation], *, level: float = 0.95) -> None:
        self.evaluations, self.level = list(evaluations), level

    @cached_property
    def rows(self) -> list[str]:
        """Ids of the rows that all have with the same content."""
        first, *others = self.evaluations
        same = [frozenset(Comparison(first, each).pairs.ids) for each in others]
        return [key for key in Comparison(first, others[0]).pairs.ids if all(key in ids for ids in same)]

    @cached_property
    def comparisons(self) -> dict[Pair, Comparison]:
        """Each two of them, over the rows that all have."""
        rows = frozenset(self.rows)
        return {
            (one, other): Comparison(
                self.evaluations[one], self.evaluations[other], level=self.level, only=rows
            )
            for one, other in combinations(range(len(self.evaluations)), 2)
        }

    @cached_property
    def metrics(self) -> dict[str, RankedMetric]:
        """Each metric that all have, labels left out."""
        common = set.intersection(*(set(each.metrics) for each in self.evaluations))
        return {
            name: self._ranked(name)
            for name, metric in self.evaluations[-1].metrics.items()
            if name in common and not metric.is_derived and metric.kind != "label"
        }

    @property
    def names(self) -> list[str]:
        """What the evaluations are called: by their names, and with their runs where two share one."""
        plain = [each.name for each in self.evaluations]
        return [
            name if plain.count(name) == 1 else f"{name} {each.run_id[:8]}"
            for name, each in zip(plain, self.evaluations, strict=True)
        ]

    def _ranked(self, name: str) -> RankedMetric:
        found = {pair: each.metrics[name] for pair, each in self.comparisons.items()}
        p_values = dict(zip(found, holm([self._p_value(pair, name) for pair in found]), strict=True))
        estimates = [self._estimate(place, name) for place in range(len(self.evaluations))]
        lower_is_better = self.evaluations[-1].metrics[name].higher_is_better is False
        order = sorted(
            range(len(estimates)),
            key=lambda place: (
                (value := estimates[place].value) is None,
                0.0 if value is None else value if lower_is_better else -value,
            ),
        )
        apart = {pair for pair, p_value in p_values.items() if p_value <= 1.0 - self.level}
        groups = groups_of(order, apart)
        letters = letters_of(groups)
        return RankedMetric(
            name=name,
            standings=tuple(
                Standing(
                    place=place,
                    name=self.names[place],
                    estimate=estimates[place],
                    missing=self._missing(place, found),
                    letters=letters[place],
                )
                for place in order
            ),
            p_values=p_values,
            groups=groups,
            detectable=_largest(each.difference for each in found.values()),
            unit=self.evaluations[-1].metrics[name].unit,
        )

    def _p_value(self, pair: Pair, name: str) -> float:
        """Of the pair's difference; where rows are missing, of the one that they would make least of it."""
        comparison = self.comparisons[pair]
        found = comparison.metrics[name]
        difference = found.difference
        if difference is None or difference.p_value is None or not difference.estimate.value:
            return 1.0
        if not found.missing_old + found.missing_new:
            return difference.p_value
        is_up = difference.estimate.value > 0
        least, most = comparison.extremes(name)
        worst = least if is_up else most
        if worst is None or worst.p_value is None or not worst.estimate.value:
            return 1.0
        return max(difference.p_value, worst.p_value) if (worst.estimate.value > 0) == is_up else 1.0

    def _estimate(self, place: int, name: str) -> Estimate:
        other = 1 if place == 0 else 0
        pair = (min(place, other), max(place, other))
        return self.comparisons[pair].mean_of(self.evaluations[place], name)

    def _missing(self, place: int, found: Mapping[Pair, MetricComparison]) -> int:
        pair = next(pair for pair in found if place in pair)
        return found[pair].missing_old if pair[0] == place else found[pair].missing_new

    def __str__(self) -> str:
        from latent.evals.comparing.text import ranking_text

        return ranking_text(self)

    def export(self, path: str | Path) -> Path:
        """Write the page or the Markdown to a file, as `Comparison.export` does."""
        from latent.evals.page.comparison import export_comparison

        return export_comparison(self, path)


def groups_of(order: Sequence[int], apart: set[Pair]) -> tuple[tuple[int, ...], ...]:
    """
    The largest sets of which no two are told apart, in the order of their best members.

    The maximal cliques of the graph of what cannot be told apart: Bron and Kerbosch 1973, algorithm 457 of
    the ACM; what they stand for: Piepho 2004, Journal of Computational and Graphical Statistics 13:456.
    """
    near = {
        one: {other for other in order if other != one and (min(one, other), max(one, other)) not in apart}
        for one in order
    }
    found: list[set[int]] = []

    def extend(chosen: set[int], open_to: set[int], done: set[int]) -> None:
        if not open_to and not done:
            found.append(chosen)
        for each in sorted(open_to, key=order.index):
            extend(chosen | {each}, open_to & near[each], done & near[each])
            open_to, done = open_to - {each}, done | {each}

    extend(set(), set(order), set())
    ranked = [tuple(sorted(group, key=order.index)) for group in found]
    return tuple(sorted(ranked, key=lambda group: [order.index(place) for place in group]))


def letters_of(groups: Sequence[Sequence[int]]) -> dict[int, str]:
    """The letters of each place: one for each group that it is in."""
    found: dict[int, str] = {}
    for number, group in enumerate(groups):
        turns, at = divmod(number, len(ascii_lowercase))
        letter = ascii_lowercase[at] + (str(turns) if turns else "")
        for place in group:
            found[place] = found.get(place, "") + letter
    return found


def _largest(differences: Iterable[Difference | None]) -> float | None:
    found = [each.detectable for each in differences if each is not None]
    return max((each for each in found if each is not None), default=None)

"""
How often 95 % intervals hold the true mean: ours beside Student's t, percentile bootstrap and BCa.

    python -m benchmarks.coverage        # prints the table of docs/statistics.md; some two minutes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from latent.evals.stats import mean_interval

Floats = npt.NDArray[np.float64]

TRIES = 2_000
RESAMPLES = 1_000
SIZES = (15, 30, 100, 1_000)
REPEATS = 3
CLUSTER = 5
WITHIN_ROW = 0.6
"""Correlation of the repeats of a row, before they are made into scores."""
WITHIN_CLUSTER = 0.3
FEWEST_CLUSTERS = 6
"""With fewer clusters nothing is known about their spread: shown, and left out of means."""

METHODS = ("ours", "t", "percentile", "BCa")
DESIGNS = ("plain", "3 repeats", "clusters of 5")

POPULATIONS: dict[str, Callable[[Floats], Floats]] = {
    # Each makes scores of uniform numbers, from the lowest to the highest.
    "binary, 90 % ones": lambda u: (u >= 0.1).astype(float),
    "Likert, skewed": lambda u: np.select([u < 0.03, u < 0.08, u < 0.2, u < 0.5], [0, 0.25, 0.5, 0.75], 1.0),
    "Likert, 95 % fives": lambda u: np.select(
        [u < 0.01, u < 0.02, u < 0.03, u < 0.05], [0, 0.25, 0.5, 0.75], 1.0
    ),
    "90 % ones, rest beta(2, 3)": lambda u: np.where(
        u < 0.1, special.betaincinv(2, 3, np.minimum(u / 0.1, 1.0)), 1.0
    ),
    "beta(8, 2)": lambda u: special.betaincinv(8, 2, u),
    "U-shaped, beta(0.4, 0.4)": lambda u: special.betaincinv(0.4, 0.4, u),
    "like ROUGE, beta(2, 6)": lambda u: special.betaincinv(2, 6, u),
}


@dataclass(frozen=True)
class Cell:
    """Coverage and mean width of each method, for one population, design and size."""

    population: str
    design: str
    rows: int
    coverage: dict[str, float]
    width: dict[str, float]

    @property
    def counts(self) -> bool:
        """Whether it belongs into means: it has clusters enough."""
        return self.design != "clusters of 5" or self.rows // CLUSTER >= FEWEST_CLUSTERS


def cells(tries: int = TRIES, seed: int = 1) -> Iterator[Cell]:
    """Every cell of the grid, in its order."""
    for design in DESIGNS:
        for population, scores_of in POPULATIONS.items():
            for rows in SIZES:
                yield _cell(population, scores_of, design, rows, tries, np.random.default_rng([seed, rows]))


def draw(
    scores_of: Callable[[Floats], Floats], design: str, rows: int, tries: int, random: np.random.Generator
) -> tuple[Floats, dict[str, npt.NDArray[np.intp]]]:
    """Scores, shape (tries, rows or clusters, scores of each), and which row or cluster each is of."""
    groups, size, correlation = {
        "plain": (rows, 1, 0.0),
        "3 repeats": (rows, REPEATS, WITHIN_ROW),
        "clusters of 5": (rows // CLUSTER, CLUSTER, WITHIN_CLUSTER),
    }[design]
    common = random.standard_normal((tries, groups, 1))
    own = random.standard_normal((tries, groups, size))
    normal = np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * own
    unit = np.repeat(np.arange(groups), size)
    given = {"plain": {}, "3 repeats": {"rows": unit}, "clusters of 5": {"clusters": unit}}[design]
    return scores_of(special.ndtr(normal)), given


def true_mean(scores_of: Callable[[Floats], Floats]) -> float:
    """The mean of a population."""
    return float(np.mean(scores_of((np.arange(200_000) + 0.5) / 200_000)))


def _cell(
    population: str,
    scores_of: Callable[[Floats], Floats],
    design: str,
    rows: int,
    tries: int,
    random: np.random.Generator,
) -> Cell:
    truth = true_mean(scores_of)
    scores, given = draw(scores_of, design, rows, tries, random)
    ends = {"ours": _ours(scores.reshape(tries, -1), given), **_others(scores.mean(axis=2), random)}
    return Cell(
        population,
        design,
        rows,
        coverage={
            name: float(np.mean((low <= truth) & (truth <= high))) for name, (low, high) in ends.items()
        },
        width={name: float(np.mean(high - low)) for name, (low, high) in ends.items()},
    )


def _ours(scores: Floats, given: dict[str, npt.NDArray[np.intp]]) -> tuple[Floats, Floats]:
    estimates = [mean_interval(each, **given) for each in scores]
    return np.array([each.ci_low for each in estimates]), np.array([each.ci_high for each in estimates])


def _others(units: Floats, random: np.random.Generator) -> dict[str, tuple[Floats, Floats]]:
    """
    The intervals of the mean of rows, or of equal clusters, by the methods that users know.

    All tries share their resamples, which do not depend on the data: so they are one product of matrices.
    """
    tries, n = units.shape
    mean, stderr = units.mean(axis=1), units.std(axis=1, ddof=1) / np.sqrt(n)
    half = special.stdtrit(n - 1, 0.975) * stderr
    weights = random.multinomial(n, np.full(n, 1.0 / n), RESAMPLES) / n
    drawn = np.sort(units @ weights.T, axis=1)
    # Bias: the share of resamples below the mean. Acceleration: the skewness of the jackknife (Efron 1987).
    apart = drawn - mean[:, None]
    same = np.abs(apart) < 1e-12
    below = ((apart < 0) & ~same).mean(axis=1) + same.mean(axis=1) / 2.0
    bias = special.ndtri(np.clip(below, 1.0 / RESAMPLES, 1.0 - 1.0 / RESAMPLES))
    left = mean[:, None] - units
    spread = np.maximum((left**2).sum(axis=1), 1e-30)  # equal scores have no skewness
    acceleration = -(left**3).sum(axis=1) / (6.0 * spread**1.5)
    shares = []
    for normal in (-1.959964, 1.959964):
        moved = bias + normal
        shares.append(special.ndtr(bias + moved / (1.0 - acceleration * moved)))
    every = np.arange(tries)

    def quantiles(share: Floats) -> Floats:
        places = np.clip(np.rint(share * (RESAMPLES - 1)), 0, RESAMPLES - 1).astype(int)
        return np.asarray(drawn[every, places])

    return {
        "t": (mean - half, mean + half),
        "percentile": (quantiles(np.full(tries, 0.025)), quantiles(np.full(tries, 0.975))),
        "BCa": (quantiles(shares[0]), quantiles(shares[1])),
    }


def table(found: list[Cell]) -> str:
    """Coverage by population and size, a Markdown table for each design, and the summary of all."""
    lines = []
    for design in DESIGNS:
        sizes = " | ".join(f"{rows:,} rows" for rows in SIZES)
        lines += [f"| {design} | {sizes} |", "|---|" + "---|" * len(SIZES)]
        for population in POPULATIONS:
            of_row = [cell for cell in found if (cell.design, cell.population) == (design, population)]
            lines.append(f"| {population} | " + " | ".join(map(_shown, of_row)) + " |")
        lines.append("")
    counted = [cell for cell in found if cell.counts]
    for name, summary in (("mean", np.mean), ("least", np.min)):
        by_method = (f"{each} {summary([cell.coverage[each] for cell in counted]):.3f}" for each in METHODS)
        lines.append(f"{name}: {', '.join(by_method)}\n")
    return "\n".join(lines)


def _shown(cell: Cell) -> str:
    others = " ".join(f"{cell.coverage[method]:.2f}".lstrip("0") for method in METHODS[1:])
    return f"**{cell.coverage['ours']:.3f}** {others}" + ("" if cell.counts else " *")


if __name__ == "__main__":
    print(table(list(cells())))

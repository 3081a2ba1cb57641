"""Whether intervals hold what they say, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.coverage import DESIGNS, METHODS, TRIES, Cell, cells
from benchmarks.measure import Figure, paired
from latent.evals.stats import corrected_mean, mean_interval, missing_bounds

Floats = npt.NDArray[np.float64]

MISSING_SHARES = (0.0, 0.1, 0.3, 0.5)
MISSING_TRIES = 10_000
LABELS = {20: 92.0, 50: 94.0, 200: 94.0}
"""Labels of people, and the coverage in percent that is promised with so many."""
JUDGED_ROWS = 1_000
ROWS, METRICS, SLICES = 10_000, 20, 10
ROUNDS = 5

Judged = Callable[[np.random.Generator], tuple[Floats, Floats]]


def figures() -> Iterator[Figure]:
    """Coverage by simulation, with seeds; and the time for the table of a large evaluation."""
    yield from _coverage()
    yield from _missing()
    yield from _corrected()
    yield _speed()


def _coverage() -> Iterator[Figure]:
    counted = [cell for cell in cells() if cell.counts]
    what = f"coverage of 95 %, mean over 7 populations, 4 sizes, 3 designs, {TRIES:,} tries each"
    ours = _percent(counted, np.mean)
    yield _promise(what, ours, 94.0, "at least 94 %")
    yield _promise(what, ours, 97.0, "at most 97 %", at_least=False)
    yield _promise("coverage of 95 %, the least of them", _percent(counted, np.min), 90.0, "at least 90 %")
    for method in METHODS[1:]:
        for name, summary in (("mean", np.mean), ("least", np.min)):
            theirs = _percent(counted, summary, method)
            yield paired(
                f"coverage of 95 %, {name}", [_percent(counted, summary)], theirs, peer=method, unit="%"
            )
    for design in DESIGNS:
        small = [cell for cell in counted if cell.design == design and cell.rows <= 30]
        theirs = _percent(small, np.mean, "t")
        yield paired(
            f"coverage, {design}, 30 rows and fewer", [_percent(small, np.mean)], theirs, peer="t", unit="%"
        )


def _percent(found: list[Cell], summary: Callable[..., np.floating], method: str = "ours") -> float:
    return 100.0 * float(summary([cell.coverage[method] for cell in found]))


def _promise(what: str, ours: float, bound: float, peer: str, *, at_least: bool = True) -> Figure:
    return paired(what, [ours], bound, peer=peer, reach=1.0, unit="%", at_least=at_least)


def _missing() -> Iterator[Figure]:
    """Rows that fail at random, or the more often the worse they would have scored."""
    random = np.random.default_rng(2)
    for by_difficulty in (False, True):
        held, within, tries = 0, 0, 0
        for share in MISSING_SHARES:
            for _ in range(MISSING_TRIES // len(MISSING_SHARES)):
                scores = random.beta(2.0, 1.0, 100)
                chance = share * (2.0 * (1.0 - scores) if by_difficulty else 1.0)
                kept = scores[random.random(100) >= chance]
                bounds, estimate, full = (
                    missing_bounds(kept, 100 - len(kept)),
                    mean_interval(kept),
                    np.mean(scores),
                )
                held += bounds.worst - 1e-12 <= full <= bounds.best + 1e-12
                within += estimate.ci_low <= full <= estimate.ci_high
                tries += 1
        what = (
            f"0 to 50 % of rows missing {'by difficulty' if by_difficulty else 'at random'}, {tries:,} tries"
        )
        ours, theirs = 100.0 * held / tries, 100.0 * within / tries
        yield _promise(f"{what}: bounds hold the mean of all", ours, 100.0, "every time")
        yield paired(f"{what}: the same", [ours], theirs, peer="the interval of what was scored", unit="%")


def _corrected() -> Iterator[Figure]:
    random = np.random.default_rng(3)
    for labels, promised in LABELS.items():
        found = [_coverage_of_labels(judged, truth, labels, random) for judged, truth in _judges()]
        what = f"a judge's mean corrected by {labels} labels, coverage of 95 %, {len(found)} judges"
        yield _promise(what, float(np.mean(found)), promised, f"at least {promised:g} %")
        yield paired(f"{what}, the least", [min(found)], promised, peer=f"{promised:g} %", unit="%")


def _coverage_of_labels(judged: Judged, truth: float, labels: int, random: np.random.Generator) -> float:
    held = 0
    for _ in range(TRIES):
        people, judge = judged(random)
        estimate = corrected_mean(people[:labels], judge[:labels], judge[labels:]).estimate
        held += estimate.ci_low <= truth <= estimate.ci_high
    return 100.0 * held / TRIES


def _judges() -> Iterator[tuple[Judged, float]]:
    """Judges, by the share of good answers, and of good and of bad ones that they see; or by their noise."""
    for good, sees_good, sees_bad in (
        (0.5, 0.9, 0.9),
        (0.7, 0.9, 0.8),
        (0.8, 0.95, 0.7),
        (0.9, 0.95, 0.6),
        (0.95, 0.97, 0.7),
        (0.8, 0.8, 0.2),  # no better than chance
        (0.8, 1.0, 1.0),
    ):
        yield _binary_judge(good, sees_good, sees_bad), good
    grades = np.array([0.05, 0.1, 0.15, 0.3, 0.4])
    for noise in (0.5, 1.0):
        yield _grading_judge(grades, noise), float(grades @ np.arange(5)) / 4.0


def _binary_judge(good: float, sees_good: float, sees_bad: float) -> Judged:
    def judged(random: np.random.Generator) -> tuple[Floats, Floats]:
        people = random.random(JUDGED_ROWS) < good
        chance = np.where(people, sees_good, 1.0 - sees_bad)
        return people.astype(float), (random.random(JUDGED_ROWS) < chance).astype(float)

    return judged


def _grading_judge(grades: Floats, noise: float) -> Judged:
    def judged(random: np.random.Generator) -> tuple[Floats, Floats]:
        people = random.choice(5, JUDGED_ROWS, p=grades).astype(float)
        judge = np.clip(np.rint(people + random.normal(0.3, noise, JUDGED_ROWS)), 0, 4)
        return people / 4.0, judge / 4.0

    return judged


def _speed() -> Figure:
    random = np.random.default_rng(4)
    metrics = random.random((METRICS, ROWS))
    metrics[::2] = np.rint(metrics[::2])
    of_slice = random.integers(0, SLICES, ROWS)
    slices = [np.flatnonzero(of_slice == number) for number in range(SLICES)]
    clusters = random.integers(0, ROWS // 5, ROWS)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for scores in metrics:
            for chosen in (slice(None), *slices):
                assert mean_interval(scores[chosen], clusters=clusters[chosen]).detectable
                missing_bounds(scores[chosen], 10)
        seconds.append(time.perf_counter() - started)
    what = f"statistics of {ROWS:,} rows x {METRICS} metrics x {SLICES} slices, clustered"
    return paired(what, [each * 1e3 for each in seconds], 1_000.0, peer="1 s", reach=1.0)

"""How often comparisons and gates are wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from math import nan

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from benchmarks.coverage import DESIGNS, FEWEST_CLUSTERS, POPULATIONS, draw, true_mean
from benchmarks.measure import Figure, paired
from latent.evals import Comparison, Evaluation, scorer
from latent.evals.answering import Answered
from latent.evals.comparing.gates import gate_interval, gate_verdict
from latent.evals.items import Item
from latent.evals.measuring import Measured, ScoreRow
from latent.evals.metrics import metrics_of
from latent.evals.records import rows_table, scores_table
from latent.evals.stats import paired_difference

Floats = npt.NDArray[np.float64]
Random = np.random.Generator

TRIES = 20_000
ROWS = 100
CLUSTERS = np.repeat(np.arange(20), 5)
CHUNKS = 8
"""Of the tries of one kind, each with random numbers of its own."""
ALARM, WRONG, WORST = 5.5, 2.5, 6.0
"""What is promised, in percent."""

LINES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
GATE_ROWS = (20, 50, 100, 200, 500, 1_000)
GATE_TRIES = 2_000
OTHER_ROWS = (30, 100, 300)

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
FAILING_TRIES = 25

NOTE = """\
Alarms: two independent runs of one system on 100 rows; an alarm is an interval of the difference that
does not hold 0, which is what `better` and `worse` go by. The p values are those of the same tries.
Gates at their line: binary ones by the exact binomial distribution, over 6 lines and 6 sizes from 20 to
1,000 rows; others over 7 populations, 30, 100 and 300 rows, plain, with repeats and clustered. Rows fail
where that helps the worse system most."""


def figures() -> Iterator[Figure]:
    """Alarms by kind of metric, a run against itself, gates at their threshold, and rows that fail."""
    yield from _alarms()
    yield from _against_itself()
    yield from _binary_gates()
    yield from _other_gates()
    yield from _failing_rows()


def _promise(what: str, ours: float, bound: float) -> Figure:
    return paired(what, [ours], bound, peer=f"at most {bound:g} %", reach=1.0, unit="%")


def _none(what: str, count: int) -> Figure:
    """A promise that something never happens: there is no ratio to none."""
    return Figure(
        what=what, peer="none", ours=float(count), theirs=0.0, ratio=nan if count else 0.0, reach=0.0, unit=""
    )


def _binary(random: Random) -> tuple[Floats, Floats]:
    chance = random.beta(2.0, 1.0, ROWS)
    one, other = random.random((2, ROWS)) < chance
    return one.astype(float), other.astype(float)


def _bounded(random: Random) -> tuple[Floats, Floats]:
    mean = random.beta(2.0, 1.0, ROWS)
    one, other = random.beta(4.0 * mean, 4.0 * (1.0 - mean), (2, ROWS))
    return one, other


def _grades(random: Random) -> tuple[Floats, Floats]:
    one, other = (np.rint(4.0 * each) / 4.0 for each in _bounded(random))
    return one, other


def _unbounded(random: Random) -> tuple[Floats, Floats]:
    usual = random.lognormal(0.0, 0.5, ROWS)
    one, other = usual * random.lognormal(0.0, 0.5, (2, ROWS))
    return one, other


def _clustered(random: Random) -> tuple[Floats, Floats]:
    """The rows of a document go well or badly together, in each run independently."""
    row = random.standard_normal(ROWS)
    shared = random.standard_normal((2, CLUSTERS[-1] + 1))[:, CLUSTERS]
    one, other = special.ndtr(0.7 + row + 0.6 * shared + 0.6 * random.standard_normal((2, ROWS)))
    return one, other


def _clustered_binary(random: Random) -> tuple[Floats, Floats]:
    one, other = (np.rint(each) for each in _clustered(random))
    return one, other


def _repeated(random: Random) -> tuple[Floats, Floats]:
    chance = random.beta(2.0, 1.0, ROWS)
    one, other = (random.random((2, 3, ROWS)) < chance).mean(axis=1)
    return one, other


KINDS: dict[str, Callable[[Random], tuple[Floats, Floats]]] = {
    "binary": _binary,
    "bounded": _bounded,
    "five grades": _grades,
    "seconds": _unbounded,
    "clusters of 5": _clustered,
    "binary, clusters of 5": _clustered_binary,
    "binary, 3 repeats": _repeated,
}


def _alarms() -> Iterator[Figure]:
    chunks = [(kind, chunk) for kind in KINDS for chunk in range(CHUNKS)]
    with ProcessPoolExecutor() as pool:
        found = dict(zip(chunks, pool.map(_alarms_of, *zip(*chunks, strict=True)), strict=True))
    for kind in KINDS:
        by_interval, by_p = np.sum([found[kind, chunk] for chunk in range(CHUNKS)], axis=0) * 100.0 / TRIES
        yield _promise(f"alarms between two runs of one system, {kind}, {TRIES:,} tries", by_interval, ALARM)
        yield _promise(f"the same, {kind}, p below 0.05", by_p, ALARM)


def _alarms_of(kind: str, chunk: int) -> tuple[int, int]:
    """Tries in which the interval does not hold 0, and in which p is below 0.05."""
    random = np.random.default_rng([11, list(KINDS).index(kind), chunk])
    clusters = CLUSTERS if "clusters" in kind else None
    scale = None if kind == "seconds" else (0.0, 1.0)
    by_interval = by_p = 0
    for _ in range(TRIES // CHUNKS):
        difference = paired_difference(*KINDS[kind](random), scale=scale, clusters=clusters)
        estimate = difference.estimate
        by_interval += not estimate.ci_low <= 0.0 <= estimate.ci_high
        by_p += difference.p_value < 0.05
    return by_interval, by_p


def _against_itself() -> Iterator[Figure]:
    random, alarms, tries = np.random.default_rng(12), 0, 100
    for kind, draw_two in KINDS.items():
        for _ in range(tries):
            run = _evaluation(draw_two(random)[0], "seconds" if kind == "seconds" else "score")
            found = Comparison(run, run)
            alarms += len(found.flips) + sum(
                each.verdict != "no difference seen" or each.difference.p_value != 1.0
                for each in found.metrics.values()
            )
    yield _none(f"alarms and flips of a run against itself, {tries * len(KINDS):,} runs of all kinds", alarms)


def _binary_gates() -> Iterator[Figure]:
    passes, fails = [], []
    for rows in GATE_ROWS:
        for line in LINES:
            chances = stats.binom.pmf(np.arange(rows + 1), rows, line)
            verdicts = np.array([_binary_verdict(right, rows, line) for right in range(rows + 1)])
            passes.append(100.0 * chances[verdicts == "pass"].sum())
            fails.append(100.0 * chances[verdicts == "fail"].sum())
    yield _promise("a binary gate at its line: passed, the worst of all", max(passes), WRONG)
    yield _promise("a binary gate at its line: failed, the worst of all", max(fails), WRONG)


@cache
def _binary_bounds(right: int, rows: int) -> tuple[float, float]:
    return gate_interval([1.0] * right + [0.0] * (rows - right), scale=(0.0, 1.0), is_binary=True)


def _binary_verdict(right: int, rows: int, line: float) -> str:
    return gate_verdict(*_binary_bounds(right, rows), line)


def _other_gates() -> Iterator[Figure]:
    passes, fails = [], []
    for design in DESIGNS:
        for population, scores_of in POPULATIONS.items():
            if design == "plain" and population.startswith("binary"):
                continue
            for rows in OTHER_ROWS:
                passed, failed = _at_the_line(scores_of, design, rows, population.startswith("binary"))
                passes.append(passed)
                fails.append(failed)
    for what, found in (("passed", passes), ("failed", fails)):
        yield _promise(f"other gates at their line: {what}, mean over the grid", float(np.mean(found)), WRONG)
        yield _promise(f"other gates at their line: {what}, the worst of it", max(found), WORST)


def _at_the_line(
    scores_of: Callable[[Floats], Floats], design: str, rows: int, is_binary: bool
) -> tuple[float, float]:
    """How often a gate whose line is the true mean passes, and fails, in percent."""
    truth, random = true_mean(scores_of), np.random.default_rng([13, rows])
    scores, given = draw(scores_of, design, rows, GATE_TRIES, random)
    clusters = given.get("clusters")
    assert clusters is None or clusters[-1] + 1 >= FEWEST_CLUSTERS
    means = scores.reshape(GATE_TRIES, -1) if clusters is not None else scores.mean(axis=2)
    verdicts = [
        gate_verdict(*gate_interval(each, scale=(0.0, 1.0), is_binary=is_binary, clusters=clusters), truth)
        for each in means
    ]
    return 100.0 * verdicts.count("pass") / GATE_TRIES, 100.0 * verdicts.count("fail") / GATE_TRIES


def _failing_rows() -> Iterator[Figure]:
    """The new system is worse by 0.1, and in one run the rows that speak against it have no answer."""
    random, wrong, tries = np.random.default_rng(14), 0, 0
    for share in SHARES:
        for is_binary in (True, False):
            for _ in range(FAILING_TRIES):
                old, new = _worse(random, is_binary)
                for failing in ("old", "new"):
                    tries += 1
                    wrong += _called_better(old, new, failing, share)
    yield _none(f"a worse system called better, 0 to 50 % of rows missing in one run, {tries:,} tries", wrong)


def _worse(random: Random, is_binary: bool) -> tuple[Floats, Floats]:
    """The old scores and the new ones."""
    chances = np.stack([0.2 + 0.8 * random.beta(2.0, 1.0, ROWS)] * 2) - np.array([[0.0], [0.1]])
    if is_binary:
        old, new = (random.random((2, ROWS)) < chances).astype(float)
    else:
        old, new = random.beta(4.0 * chances, 4.0 * (1.001 - chances))
    return old, new


def _called_better(old: Floats, new: Floats, failing: str, share: float) -> bool:
    """Whether a comparison or a gate takes the new system for better; rows fail where that helps it most."""
    old, new, missing = old.copy(), new.copy(), round(share * ROWS)
    helps = np.argsort(new if failing == "new" else -old)[:missing]
    (new if failing == "new" else old)[helps] = nan
    before, after = _evaluation(old), _evaluation(new)
    said = Comparison(before, after).metrics["score"].verdict == "better"
    report = after.check({"score": "better than old"}, against=before)
    return said or report.verdict == "pass"


@scorer(scale=(0, 1))
def score(output: str) -> float:
    """Stands for a bounded score."""
    return float(output)


@scorer(unit="s", higher_is_better=False)
def seconds(output: str) -> float:
    """Stands for a score without a scale."""
    return float(output)


def _evaluation(values: Floats, metric: str = "score") -> Evaluation:
    """An evaluation of these scores, NaN for rows that failed, as `evaluate` would have made it."""
    asked = {"score": score, "seconds": seconds}[metric]
    answered = [
        Answered(Item(str(place), {"question": place}), outcome="failed" if np.isnan(value) else "ok")
        for place, value in enumerate(values)
    ]
    rows = [
        ScoreRow(place, metric, None, "failed") if np.isnan(value) else ScoreRow(place, metric, value, "ok")
        for place, value in enumerate(values.tolist())
    ]
    measured = Measured(asked, "1", rows, 0.0, [metric])
    about = {
        "name": "simulated",
        "run_id": "simulated",
        "flow": "simulated",
        "created_at": time.time(),
        "data": {"source": "simulated", "fingerprint": "", "rows": len(values), "expected": "expected"},
        "target": {"name": "given outputs", "kind": "given"},
        "repeats": 1,
        "cluster": None,
        "scorers": [{"name": metric, "version": "1"}],
        "totals": {"rows": len(values)},
        "cost": {"answers_usd": 0, "judges_usd": 0, "saved_usd": 0, "answers_reused": 0, "unpriced": 0},
        "metrics": [each.as_dict() for each in metrics_of(measured, answered, None)],
    }
    return Evaluation(about, rows_table(answered, "expected"), scores_table([measured], answered), None)

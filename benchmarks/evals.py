"""What scoring costs: 10,000 answers with five deterministic scorers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import UNTRACKED, Figure, measure, paired
from benchmarks.subjects.evals_latent import FUNCTIONS, ROWS
from latent.testing import write_files

ROUNDS = 5
SCORES = ROWS * len(FUNCTIONS)


def figures() -> Iterator[Figure]:
    """Beside maps of the same functions, which remember the same and report nothing."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(folder, {"config/latent.toml": ""})
        rounds = [
            measure("evals_latent", number * ROWS, folder=folder, **UNTRACKED) for number in range(ROUNDS)
        ]
    for kind in ("new", "remembered"):
        ours = [found[f"evaluated_{kind}"] * 1e3 for found in rounds]
        maps = [found[f"mapped_{kind}"] * 1e3 for found in rounds]
        what = f"{SCORES:,} {kind} scores, with records, metrics and report"
        reach = 1.1 if kind == "new" else None
        yield paired(what, ours, maps, peer="`.map` over the same functions", reach=reach)
    new = [found["evaluated_new"] * 1e6 / SCORES for found in rounds]
    yield paired("a new score", new, 200.0, peer="200 us", reach=1.0, unit="us")
    remembered = [found["evaluated_remembered"] * 1e3 / len(FUNCTIONS) for found in rounds]
    yield paired(f"{ROWS:,} remembered scores of a scorer", remembered, 300.0, peer="0.3 s", reach=1.0)

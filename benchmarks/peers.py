"""What 1,000 answers and their scores take beside other tools, and what changing a scorer does."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT, Figure, environment, measure, paired
from benchmarks.subjects.peers_workload import AT_ONCE
from benchmarks.subjects.workload import Stopwatch
from latent.testing import ProviderSimulator, write_files

LATENCY_SECONDS = 0.02
ROWS = 1_000
ROUNDS = 2
LONGEST, CHANGED = 16, 17
"""What the second scorer holds answers to at first, and after its change."""

ENVIRONMENTS = ROOT / ".venv-peers"
PACKAGES = {
    "inspect": ("inspect-ai>=0.3.285,<0.4", "openai>=3.54,<4"),
    "pydantic": ("pydantic-evals>=2.62,<3", "openai>=3.54,<4"),
    "pytest_html": ("pytest-html>=4.1,<5",),
}
"""What a peer's environment holds: one for each, since what they require is not what latent does."""

NAMES = {"inspect": "Inspect", "pydantic": "pydantic-evals"}
WAYS = {"inspect": ("score", "eval", "cached"), "pydantic": ("eval",)}
"""How a peer comes to new scores when a scorer has changed."""
SAID = {"score": "`score` of its log", "eval": "evaluated again", "cached": "evaluated again with its cache"}

NOTE = (
    f"The simulated provider answers after {LATENCY_SECONDS * 1e3:.0f} ms; each tool asks {AT_ONCE} rows "
    "at a time. Times are those of whole\nprocesses, with imports and records; pydantic-evals keeps none. "
    "The scorers are deterministic, and all tools must come\nto the same means. Beside: "
    f"{' and '.join(packages[0] for packages in map(PACKAGES.__getitem__, NAMES))}."
)


@dataclass(frozen=True)
class Measured:
    """One process: what its user waits for, and what the provider would bill."""

    seconds: float
    calls: int
    means: Mapping[str, float]


Round = dict[tuple[str, str], Measured]
"""By tool and `new`, or tool and the way by which it scored again."""


def figures() -> Iterator[Figure]:
    """Whole processes from start to end, each tool with the records that it keeps by default."""
    pythons = {peer: python_of(peer) for peer in NAMES}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        ProviderSimulator(latency=LATENCY_SECONDS, own_process=True) as provider,
    ):
        folder = Path(name)
        write_files(folder, {"config/latent.toml": f"[rows]\nmax_workers = {AT_ONCE}\n"})
        # What only the first run of a tool does, compiling files and making databases, does not count.
        _round(range(ROWS, ROWS + AT_ONCE), folder, provider, pythons)
        rounds = [
            _round(range(first, first + ROWS), folder, provider, pythons)
            for first in range(2 * ROWS, (2 + ROUNDS) * ROWS, ROWS)
        ]
    for peer, name in NAMES.items():
        yield _figure(f"{ROWS:,} new answers, two scores each", "new", rounds, peer, "new", name)
    for peer, name in NAMES.items():
        for way in WAYS[peer]:
            yield _figure("one scorer changed", "eval", rounds, peer, way, f"{name}, {SAID[way]}")


def python_of(peer: str) -> str | None:
    """The interpreter of the peer's environment, which is made once; None, and why, where that fails."""
    folder = ENVIRONMENTS / peer
    python, done = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(PACKAGES[peer])
    if done.exists() and done.read_text("utf-8") == wanted:
        return str(python)
    # Neither are the versions that latent is tested with a bound for its peers.
    variables = {k: v for k, v in environment({}).items() if k != "PIP_CONSTRAINT"}
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PACKAGES[peer]],
    ):
        made = subprocess.run(command, env=variables, capture_output=True, text=True)
        if made.returncode != 0:
            print(f"{NAMES[peer]} cannot be installed: {made.stderr[-1000:]}", file=sys.stderr)
            return None
    done.write_text(wanted, "utf-8")
    return str(python)


def _round(
    rows: range, folder: Path, provider: ProviderSimulator, pythons: Mapping[str, str | None]
) -> Round:
    """Each tool once on rows that it has not seen, and once in each way after the change."""

    def run(tool: str, way: str, python: str, longest: int) -> Measured:
        before = provider.requests
        # Where Inspect keeps its cache, and a key, without which it does not score its own log.
        own = {"XDG_CACHE_HOME": str(folder), "XDG_DATA_HOME": str(folder), "OPENAI_API_KEY": "any"}
        with Stopwatch() as watch:
            means = measure(
                f"peers_{tool}", way, provider.openai_base_url, rows.start, len(rows), longest,
                folder=folder, python=python, **own,
            )  # fmt: skip
        return Measured(watch.seconds, provider.requests - before, means)

    found: Round = {}
    for tool, python in {"latent": sys.executable, **pythons}.items():
        if python is None:
            continue
        found[tool, "new"] = run(tool, "eval", python, LONGEST)
        for way in WAYS.get(tool, ("eval",)):
            if way == "cached":
                run(tool, way, python, LONGEST)  # the cache is filled with the first evaluation
            found[tool, way] = run(tool, way, python, CHANGED)
    for changed in (False, True):
        means = {tool: each.means for tool, each in found.items() if (tool[1] != "new") == changed}
        if any(each != means["latent", "eval" if changed else "new"] for each in means.values()):
            raise RuntimeError(f"The tools did not compute the same: {means}")
    return found


def _figure(what: str, ours: str, rounds: list[Round], peer: str, way: str, label: str) -> Figure:
    """The time of both, with the calls that each made in words."""
    mine = [found["latent", ours] for found in rounds]
    theirs = [found[peer, way] for found in rounds if (peer, way) in found]
    calls = f"{theirs[-1].calls:,} calls" if theirs else "could not be installed"
    return paired(
        f"{what}: {mine[-1].calls:,} calls",
        [each.seconds for each in mine],
        [each.seconds for each in theirs] or math.nan,
        peer=f"{label}: {calls}",
        unit="s",
    )

"""Measure everything, print the table, and with `--write` keep it in `benchmarks/RESULTS.md`."""

from __future__ import annotations

import platform
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks import calls, starts
from benchmarks.measure import Figure

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADER = "| what | ours | peer | peer's | ratio | reach | |\n|---|---:|---|---:|---:|---:|---|"


def main() -> int:
    """Print each figure as soon as it is there; 0 even when a promise is broken, since machines are noisy."""
    print(HEADER, flush=True)
    lines = []
    for room in (starts, calls):
        for figure in room.figures():
            lines.append(line(figure))
            print(lines[-1], flush=True)
    if "--write" in sys.argv:
        RESULTS.write_text(document(lines), encoding="utf-8")
    return 0


def line(figure: Figure) -> str:
    """One figure as a row of a Markdown table."""
    verdict = {True: "kept", False: "**missed**", None: "reported"}[figure.holds]
    reach = "" if figure.reach is None else f"{figure.reach:g}"
    ours, peer = f"{figure.ours_seconds * 1e3:,.2f} ms", f"{figure.peer_seconds * 1e3:,.2f} ms"
    return f"| {figure.what} | {ours} | {figure.peer} | {peer} | {figure.ratio:.2f} | {reach} | {verdict} |"


def document(lines: list[str]) -> str:
    """The page that keeps the figures."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("prefect", "mlflow", "typer"))
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {versions}"
    return (
        "# Results\n\n"
        f"Measured on {date.today():%Y-%m-%d} by `make bench` ({where}). Each ratio is the median over pairs "
        "that were measured back to back; only ratios can be compared between machines.\n\n"
        + "\n".join([HEADER, *lines])
        + "\n"
    )


if __name__ == "__main__":
    raise SystemExit(main())

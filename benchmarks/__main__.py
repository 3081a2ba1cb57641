"""
Measure everything, or the groups named, and print the tables.

    python -m benchmarks [GROUP ...] [--write]

The groups: starts, calls, rows, stream, limits, models, ingestion, evals, services, peers, page, numbers,
alarms.

With `--write`, the figures are kept in `benchmarks/RESULTS.md`; groups that were not measured keep theirs.
"""

from __future__ import annotations

import ast
import platform
import re
import sys
from contextlib import suppress
from datetime import date
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from math import isnan
from pathlib import Path

from benchmarks.measure import Figure

RESULTS = Path(__file__).parent / "RESULTS.md"
GROUPS = (
    "starts",
    "calls",
    "rows",
    "stream",
    "limits",
    "models",
    "ingestion",
    "evals",
    "services",
    "peers",
    "page",
    "numbers",
    "alarms",
)
PACKAGES = ("prefect", "mlflow", "dask", "ray", "joblib", "diskcache", "scipy")
HEADER = "| what | ours | peer | peer's | ratio | reach | |\n|---|---:|---|---:|---:|---:|---|"


def main(arguments: list[str]) -> int:
    """Print each figure as soon as it is there; 0 even when a promise is broken, since machines are noisy."""
    names = [name for name in arguments if name != "--write"]
    if unknown := set(names) - set(GROUPS):
        sys.exit(
            f"There is no group {', '.join(map(repr, sorted(unknown)))}. The groups: {', '.join(GROUPS)}."
        )
    sections = sections_of(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in names or GROUPS:
        group = import_module(f"benchmarks.{name}")
        print(heading(name), HEADER, sep="\n", flush=True)
        lines = [HEADER]
        for figure in group.figures():
            lines.append(line(figure))
            print(lines[-1], flush=True)
        print(flush=True)
        notes = [f"\n{note}"] if (note := getattr(group, "NOTE", None)) else []
        sections[heading(name)] = "\n".join([f"\nMeasured {when_and_where()}.\n", *lines, *notes, ""])
        if "--write" in arguments:  # at once: what a later group breaks on does not lose these
            titles = map(heading, GROUPS)
            RESULTS.write_text(
                document({title: sections[title] for title in titles if title in sections}), "utf-8"
            )
    return 0


def heading(group: str) -> str:
    """The title of a group's section, read without an import: what it measures may not be installed."""
    source = Path(__file__).with_name(f"{group}.py").read_text(encoding="utf-8")
    return f"## {ast.get_docstring(ast.parse(source))}\n"


def when_and_where() -> str:
    """Today, this machine, and the versions of those packages that are installed."""
    found = [f"Python {platform.python_version()}", f"{platform.system()} {platform.machine()}"]
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return f"on {date.today():%Y-%m-%d} ({', '.join(found)})"


def sections_of(page: str) -> dict[str, str]:
    """The text under each heading of the page, by the heading."""
    found = (section.partition("\n") for section in re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:])
    return {f"{title}\n": text.rstrip("\n") + "\n" for title, _, text in found}


def line(figure: Figure) -> str:
    """One figure as a row of a Markdown table."""
    verdict = {True: "kept", False: "**missed**", None: "reported"}[figure.holds]
    reach = "" if figure.reach is None else f"{'≥' if figure.at_least else '≤'} {figure.reach:.3g}"
    ours, theirs = (
        "not measured" if isnan(value) else f"{value:,.2f} {figure.unit}"
        for value in (figure.ours, figure.theirs)
    )
    ratio = "" if isnan(figure.ratio) else f"{figure.ratio:{'.2f' if figure.ratio >= 0.1 else '.2g'}}"
    return f"| {figure.what} | {ours} | {figure.peer} | {theirs} | {ratio} | {reach} | {verdict} |"


def document(sections: dict[str, str]) -> str:
    """The page that keeps the figures."""
    return (
        "# Results\n\n"
        "Measured by `make bench`. Each ratio is the median over rounds in which both sides were "
        "measured back to back; only ratios can be compared between machines. A peer with a number and "
        "nothing else is what we promise.\n\n" + "\n".join(title + text for title, text in sections.items())
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""What rows that do not fit into memory take of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.measure import UNTRACKED, Figure, measure, paired
from latent.config import find_workspace
from latent.testing import write_files
from latent.tracking import stop_writer

FEW, SOME, MANY = 10_000, 200_000, 1_000_000
MEGABYTES_MORE = 50.0
KILOBYTES_A_ROW = 0.05


def figures() -> Iterator[Figure]:
    """
    Many rows from an iterator beside ten thousand, each number in a fresh process.

    A million where nothing is remembered or tracked; two hundred thousand where it is.
    """
    for kind, tracked in product(("sync", "async"), (False, True)):
        what = f"{kind}, {'tracked' if tracked else 'untracked'}"
        (few,), (many,) = (_measured(rows, kind, "off", tracked) for rows in (FEW, SOME if tracked else MANY))
        yield from _compared(few, many, SOME if tracked else MANY, f"{what}, not remembered")
        few_both, many_both = (_measured(rows, kind, "on", tracked) for rows in (FEW, SOME))
        for few, many, how in zip(few_both, many_both, ("then remembered", "remembered before"), strict=True):
            yield from _compared(few, many, SOME, f"{what}, {how}")


def _compared(few: dict[str, float], many: dict[str, float], rows: int, how: str) -> Iterator[Figure]:
    what = f"{rows:,} rows, {how}"
    more = max(many["peak"] - few["peak"], 0.0)
    yield paired(
        f"memory of {what}, above that of {FEW:,}", [more], MEGABYTES_MORE, peer="50 MB", reach=1.0, unit="MB"
    )
    slope = (many["peak"] - many["half"]) * 1024 / (rows / 2)
    yield paired(
        f"{what}: growth in their second half, a row", [slope], KILOBYTES_A_ROW, peer="0.05 kB", reach=1.0,
        unit="kB",
    )  # fmt: skip
    yield paired(
        f"{what}: time of a row", [many["row"] * 1e6], few["row"] * 1e6, peer=f"of {FEW:,}", unit="us"
    )


def _measured(rows: int, kind: str, cache: str, tracked: bool) -> list[dict[str, Any]]:
    """One process in a workspace of its own; with `cache`, a second one finds what the first remembered."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(folder, {"config/latent.toml": ""})
        variables = {} if tracked else UNTRACKED
        times = 2 if cache == "on" else 1
        try:
            return [
                measure("stream_latent", kind, cache, rows, folder=folder, **variables) for _ in range(times)
            ]
        finally:
            stop_writer(find_workspace(folder))

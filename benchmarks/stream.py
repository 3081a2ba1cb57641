"""What rows that do not fit into memory take of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import UNTRACKED, Figure, measure, paired
from latent.testing import write_files

FEW, MANY = 10_000, 1_000_000
MEGABYTES_MORE = 50.0


def figures() -> Iterator[Figure]:
    """A million rows from an iterator beside ten thousand, each number in a fresh process and workspace."""
    few, many = (_measured(rows) for rows in (FEW, MANY))
    more = max(many["peak"] - few["peak"], 0.0)
    what = f"memory of {MANY:,} rows from an iterator"
    yield paired(what, [many["peak"]], few["peak"], peer=f"of {FEW:,} rows", unit="MB")
    yield paired(f"{what}, above that of {FEW:,}", [more], MEGABYTES_MORE, peer="50 MB", reach=1.0, unit="MB")
    yield paired("a row of a million", [many["row"] * 1e6], few["row"] * 1e6, peer=f"of {FEW:,}", unit="us")


def _measured(rows: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        write_files(Path(name), {"config/latent.toml": ""})
        return measure("stream_latent", rows, folder=Path(name), **UNTRACKED)

"""From documents to an index."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import ROOT, UNTRACKED, Figure, measure, paired
from latent.testing import write_files

ROUNDS = 3
CORPUS = ROOT.parent / "shared" / "data" / "corpus"
"""346 documents: Markdown, reStructuredText, HTML."""
PLAIN = "a plain script with the same libraries"


def figures() -> Iterator[Figure]:
    """All documents for the first time, the same again, and again with one of them changed."""
    if not CORPUS.exists():
        return
    rounds = [_round() for _ in range(ROUNDS)]
    documents = rounds[0]["documents"]
    first = [documents / each["first"] for each in rounds]
    plain = [documents / each["plain"] for each in rounds]
    yield paired(
        f"ingestion of {documents:.0f} documents, {rounds[0]['vectors']:,.0f} chunks, LanceDB",
        first, plain, peer=PLAIN, reach=0.8, unit="documents/s", at_least=True,
    )  # fmt: skip
    milliseconds = {name: [each[name] * 1e3 for each in rounds] for name in ("first", "again", "changed")}
    yield paired(
        "the same again, nothing changed", milliseconds["again"], milliseconds["first"],
        peer="the first time", reach=0.05,
    )  # fmt: skip
    yield paired(
        "the same with one document changed",
        milliseconds["changed"],
        milliseconds["first"],
        peer="the first time",
    )


def _round() -> dict[str, float]:
    """Both sides, each in a fresh process and folder."""
    found: dict[str, float] = {}
    for module in ("ingestion_plain", "ingestion_latent"):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            write_files(folder, {"config/latent.toml": ""})
            found |= measure(module, CORPUS, folder=folder, **UNTRACKED)
    return found

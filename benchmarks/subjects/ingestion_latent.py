"""
The ready flow, in the workspace of the current folder: a first time, again, with a document changed.

    python -m benchmarks.subjects.ingestion_latent CORPUS
"""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from benchmarks.subjects.ingestion_plain import PATTERNS
from benchmarks.subjects.workload import Stopwatch, report
from latent.flows.document_ingestion import document_ingestion
from latent.rag import open_store

logging.disable(logging.INFO)

CHANGED = Path("corpus/flask-docs/docs/quickstart.rst")


def seconds_of(paths: list[str], index: str) -> float:
    """Of one run, inside the flow's process."""
    with Stopwatch() as watch:
        document_ingestion(paths, index)
    return watch.seconds


def main(corpus: Path) -> None:
    """Once for three files, so that all libraries are loaded, then for all of them."""
    shutil.copytree(corpus, "corpus")
    few = [str(next(Path("corpus").rglob(pattern))) for pattern in PATTERNS]
    seconds_of(few, "few")
    paths = [f"corpus/**/{pattern}" for pattern in PATTERNS]
    first, again = seconds_of(paths, "docs"), seconds_of(paths, "docs")
    CHANGED.chmod(0o644)  # the data may be kept read-only
    CHANGED.write_text(CHANGED.read_text(encoding="utf-8") + "\nA sentence at its end.\n", encoding="utf-8")
    changed = seconds_of(paths, "docs")
    vectors = open_store("lancedb", "docs", create=False).count()
    report(first=first, again=again, changed=changed, vectors=vectors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""
Load, chunk, embed and write, with the libraries that latent uses, in a loop that remembers nothing.

    python -m benchmarks.subjects.ingestion_plain CORPUS
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import wordllama

from benchmarks.subjects.workload import Stopwatch, report
from latent.rag import chunk_document, load_document
from latent.rag.documents import Chunk

PATTERNS = ("*.md", "*.rst", "*.html")


def chunks_of(files: Iterable[Path]) -> list[Chunk]:
    """All chunks of all files."""
    return [
        chunk
        for file in files
        for document in load_document(file, root=file.parent)
        for chunk in chunk_document(document)
    ]


def ingest(files: list[Path], model: Any, database: Any) -> int:
    """Everything in a row; how many chunks there are."""
    chunks = chunks_of(files)
    texts = [chunk.text for chunk in chunks]
    batches = [model.embed(texts[first : first + 100], norm=True) for first in range(0, len(texts), 100)]
    vectors = np.concatenate(batches).astype(np.float32)
    table = pa.table(
        {
            "id": [chunk.id for chunk in chunks],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
            "text": texts,
            "source": [chunk.source for chunk in chunks],
            "chunk_index": [chunk.chunk_index for chunk in chunks],
        }
    )
    database.create_table("docs", table, mode="overwrite")
    return len(chunks)


def main(corpus: Path) -> None:
    """Once for three files, so that all libraries are loaded, then for all of them."""
    files = sorted(file for pattern in PATTERNS for file in corpus.rglob(pattern))
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    database = lancedb.connect("plain")
    ingest([next(corpus.rglob(pattern)) for pattern in PATTERNS], model, database)
    with Stopwatch() as watch:
        ingest(files, model, database)
    report(plain=watch.seconds, documents=len(files))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

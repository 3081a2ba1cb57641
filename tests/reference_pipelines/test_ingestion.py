"""The reference's first pipeline, with Prefect's decorators and with only the import changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latent.testing import PineconeSimulator, ProviderSimulator

SCRIPT = (Path(__file__).parent / "ingestion_pipeline.py").read_text(encoding="utf-8")
DIMENSIONS = 1536
SENTENCES = [
    f"Sentence {number} of the handbook says what to do in case {number * 7}." for number in range(150)
]
FILES = {
    "long.md": " ".join(SENTENCES),
    "short.md": "One sentence only.",
    "no_periods.md": "word " * 400,
}


@pytest.fixture
def openai() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as simulator:
        yield simulator


@pytest.fixture
def pinecone() -> Iterator[PineconeSimulator]:
    with PineconeSimulator() as simulator:
        yield simulator


def run(script: str, folder: Path, openai: ProviderSimulator, pinecone: PineconeSimulator) -> str:
    """What the pipeline returned, from a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LATENT_")}
    environment |= {
        "LATENT_TRACKING__ENABLED": "false",
        "PREFECT_HOME": str(folder / "prefect"),
        **openai.environment,
        **pinecone.environment,
    }
    (folder / "pipeline.py").write_text(script, encoding="utf-8")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "pipeline.py", *FILES],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))


def make_index(environment: dict[str, str]) -> None:
    from pinecone import Pinecone, ServerlessSpec

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        spec = ServerlessSpec(cloud="aws", region="us-east-1")
        Pinecone().create_index("reference-docs", dimension=DIMENSIONS, metric="cosine", spec=spec)


def check_vectors(vectors: dict[str, Any]) -> None:
    """Every chunk of every file is there, under its id, with what belongs to it."""
    for name, text in FILES.items():
        own = {id: each for id, each in vectors.items() if each["metadata"]["source"] == name}
        hash = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        assert set(own) == {f"{hash}:{index}" for index in range(len(own))}
        for each in own.values():
            assert each["metadata"]["text"] in text
            assert len(each["values"]) == DIMENSIONS
        assert all(sentence in " ".join(e["metadata"]["text"] for e in own.values()) for sentence in
                   (SENTENCES if name == "long.md" else []))  # fmt: skip


def test_the_reference_pipeline_runs_twice(library, tmp_path, openai, pinecone):
    make_index(pinecone.environment)
    script = SCRIPT.replace("from prefect", f"from {library}")
    results = set()
    held = []
    for _ in range(2):
        results.add(run(script, tmp_path, openai, pinecone))
        held.append(pinecone.vectors("reference-docs"))
    assert held[0] == held[1]
    assert results == {f"RESULT {len(held[0])}"}
    check_vectors(held[0])
    if library == "latent.prefect":  # each embedding was remembered: the second run pays for none
        assert not openai.duplicates

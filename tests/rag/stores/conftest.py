"""Every store behind the one interface: a folder, Pinecone's client on a simulator, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from latent.rag.stores import Store, open_store
from latent.testing import PineconeSimulator
from tests.rag.postgres import postgres as postgres

OpenIndex = Callable[..., Store]


@pytest.fixture(scope="session")
def pinecone() -> Iterator[PineconeSimulator]:
    with PineconeSimulator() as simulator:
        yield simulator


@pytest.fixture(params=["lancedb", "pinecone", "pgvector"])
def open_index(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenIndex]:
    """Opens an index that no other test has, again and again if need be; `dimensions` are 3 unless said."""
    options: dict[str, Any] = {"root": tmp_path}
    if request.param == "pinecone":
        for name, value in request.getfixturevalue("pinecone").environment.items():
            monkeypatch.setenv(name, value)
    if request.param == "pgvector":
        options["url"] = request.getfixturevalue("postgres")
    index_name = f"t{uuid4().hex[:12]}"
    opened: list[Store] = []

    def open_it(name: str = index_name, **changes: Any) -> Store:
        opened.append(open_store(request.param, name, **{"dimensions": 3, **options, **changes}))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_index: OpenIndex) -> Store:
    return open_index()

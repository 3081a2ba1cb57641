"""A workspace with a few documents, and ways to ingest them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from latent.config import Workspace
from latent.flows import READY
from latent.prefect.run_options import RunOptions
from latent.prefect.running import RunResult, run
from latent.rag.stores import Store, open_store
from latent.registry import TaskRegistry
from latent.testing.plugin import MakeWorkspace
from tests.rag.postgres import postgres as postgres

QUICK = "[tasks]\nretry_delay_seconds = 0\n[tracking]\nenabled = false\n"

Ingest = Callable[..., RunResult]


def prose(topic: str, sentences: int = 30) -> str:
    """Sentences about a topic, each different."""
    return " ".join(
        f"Sentence {number} tells about {topic}, and is number {number * 3}." for number in range(sentences)
    )


DOCUMENTS = {
    f"docs/{name}.md": f"# About {name}\n\n{prose(name)}\n"
    for name in ("apples", "bears", "cars", "dogs", "eels", "figs")
}


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    """Flows that a test copies do not stay for the next; the ready ones are imported once."""
    before = dict(TaskRegistry._tasks), dict(TaskRegistry._flows)
    yield
    TaskRegistry.clear()
    TaskRegistry._tasks.update(before[0])
    TaskRegistry._flows.update(before[1])


@pytest.fixture
def documents(make_workspace: MakeWorkspace) -> Workspace:
    """Six documents of some thirty sentences each."""
    return make_workspace({"config/latent.toml": QUICK, **DOCUMENTS})


@pytest.fixture
def ingest(documents: Workspace) -> Ingest:
    """Runs the flow over `docs/` into the index `docs`, unless told otherwise; an error is raised."""

    def ingest(*, fails: bool = False, plan: bool = False, **parameters: Any) -> RunResult:
        given = {"file_paths": ["docs/**/*.*"], "index_name": "docs", **parameters}
        result = run(documents, "document_ingestion", given, ready=READY, options=RunOptions(plan=plan))
        if result.error is not None and not fails:
            raise result.error
        return result

    return ingest


@pytest.fixture
def index(documents: Workspace) -> Callable[[], Store]:
    """The index as it is now."""
    return lambda: open_store("lancedb", "docs", create=False, root=documents.root)


def contents(store: Store) -> dict[str, tuple[str, str]]:
    """Source and text of every record, by id."""
    vector = [1.0, *[0.0] * (store.dimensions - 1)]
    return {match.id: (match.source, match.text) for match in store.query(vector, 10_000)}

"""One Prefect server for the pipelines as they were written; latent's flows need none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect_server import prefect_server


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("prefect-server"), database=prefect_database) as server:
        yield server.ready()


@pytest.fixture(params=["prefect", "latent.prefect"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the pipeline imports its flows and tasks from."""
    name: str = request.param
    for variable in ("PREFECT_API_URL", "PREFECT_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    if name == "prefect":
        monkeypatch.setenv("PREFECT_API_URL", request.getfixturevalue("prefect_api"))
    return name

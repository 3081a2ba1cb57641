"""What these tests share: a Prefect server, and a PostgreSQL with what such a server asks for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect_server import prefect_server

USER = "nobody"
"""PostgreSQL refuses to run as root, which tests in containers often are."""


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[str]:
    """The address of one Prefect server for all tests, with its scheduler and automations."""
    services = ("SCHEDULER", "TRIGGERS", "EVENT_PERSISTER", "TASK_RUN_RECORDER")
    with prefect_server(tmp_path_factory.mktemp("server"), *services, database=prefect_database) as server:
        yield server.ready()


@pytest.fixture
def on_server(shared_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The shared server, named by Prefect's settings here and in processes that the test starts."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", shared_server)
    with temporary_settings({PREFECT_API_URL: shared_server}):
        yield shared_server


@pytest.fixture(scope="session")
def whole_postgres() -> Iterator[str]:
    """Its URL; the tests are skipped where it is not installed."""
    tools = _tools()
    if tools is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    as_user = {"user": USER} if os.getuid() == 0 else {}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="latent-postgres-") as folder:
        if as_user:
            shutil.chown(folder, USER)
        data = Path(folder) / "data"

        def run(tool: str, *words: str) -> None:
            subprocess.run(
                [tools / tool, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL, **as_user
            )

        run("initdb", "-D", str(data), "-U", "latent", "-A", "trust", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", str(data), "-l", f"{folder}/log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://latent@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


def _tools() -> Path | None:
    """The folder of `initdb`; Debian keeps it out of the PATH."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)

"""A real Prefect server for tests, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from latent.files import FileLock

START_SECONDS = 300
IDLE_SERVICES = ("SCHEDULER", "LATE_RUNS", "TRIGGERS", "EVENT_PERSISTER", "TASK_RUN_RECORDER", "FOREMAN")


class Server:
    """A server that has been started, and may not answer yet."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url, self.process, self._log = url, process, log

    def ready(self) -> str:
        """Its address, once it answers."""
        for _ in range(START_SECONDS * 10):
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return self.url
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"The Prefect server does not start:\n{self._log.read_text()}")


def make_database(folder: Path) -> Path:
    """
    An empty database of Prefect's server, with all its tables, in a folder that the suite's processes share.

    A server makes them one migration after the other, which takes it ten seconds: here, it is done once.
    """
    made = folder / "prefect-server.db"
    with FileLock(folder / "prefect-server.lock"):
        if not made.exists():
            home = folder / "prefect-server"
            home.mkdir()
            code = (
                "import asyncio; from prefect.server.database import provide_database_interface as database; "
                "asyncio.run(database().create_db())"
            )
            subprocess.run([sys.executable, "-c", code], env=_environment(home, ()), check=True)
            with closing(sqlite3.connect(home / "server.db")) as connection:  # with what its log still holds
                connection.execute("VACUUM INTO ?", (str(made),))
            with closing(sqlite3.connect(made)) as connection:  # a copy has the mode of its own
                connection.execute("PRAGMA journal_mode = WAL")
    return made


@contextmanager
def prefect_server(home: Path, *services: str, database: Path) -> Iterator[Server]:
    """
    A server whose log and copy of a `database` lie in `home`, with some services beside.

    It ends with the block.
    """
    shutil.copyfile(database, home / "server.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(port), env=_environment(home, services), stdout=output, stderr=output
        )
        try:
            yield Server(f"http://127.0.0.1:{port}/api", process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _command(port: int) -> list[str]:
    app = "latent.services.prefect_app:create_app"
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        app,
        *address,
        "--log-level",
        "error",
        "--lifespan",
        "on",
    ]


def _environment(home: Path, services: Sequence[str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {
        **kept,
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(home / "server"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'server.db'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        **{
            f"PREFECT_SERVER_SERVICES_{name}_ENABLED": str(name in services).lower() for name in IDLE_SERVICES
        },
    }

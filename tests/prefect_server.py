"""A real Prefect server for tests, on a free port of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

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


@contextmanager
def prefect_server(home: Path, *services: str) -> Iterator[Server]:
    """A server whose database and log lie in `home`, with some services beside; it ends with the block."""
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
    app = "prefect.server.api.server:create_app"
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

"""Runs of a deployment, each in a process as a worker starts it, to be killed and held by tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from latent.config import DeploymentSettings, Workspace
from latent.services.deployed import entrypoint, pull_steps
from latent.services.deployments.record import TAG, DeploymentRecord

WAIT_SECONDS = 120

FILES = {
    "config/latent.toml": """
[services]
heartbeat_seconds = 1
[tracking]
enabled = false
""",
    "flows/slow/parameters.yaml": "rows: 24\nseconds: 0.5\nname: none\n",
    "flows/slow/flow.py": """
import os
import time
from pathlib import Path

from latent.prefect import flow, task

CALLS = Path(__file__).parents[2] / "calls"

@task("work")
def work(row, seconds, name):
    with CALLS.open("a") as calls:
        calls.write(f"{name} {row} {os.getpid()}\\n")
    time.sleep(seconds)
    return row

@flow("slow")
def slow(rows: int, seconds: float, name: str):
    return sum(work.map(range(rows), seconds=[seconds] * rows, name=[name] * rows).result())
""",
}


class Deployed:
    """The flow `slow` of a workspace, deployed without a schedule."""

    def __init__(self, client: Any, workspace: Workspace, **settings: Any) -> None:
        self.client, self.workspace = client, workspace
        self.name = f"slow-{uuid4().hex[:8]}"
        record = DeploymentRecord(
            workspace=workspace.root.name,
            settings=DeploymentSettings(flow="slow", name=self.name, **{"overlap": "allow"} | settings),
        )
        self.id: UUID = client.create_deployment(
            client.create_flow_from_name("slow"),
            self.name,
            entrypoint=entrypoint("slow"),
            pull_steps=pull_steps(workspace),
            job_variables=record.as_job_variables(),
            tags=[TAG],
        )

    def new_run(self, **parameters: Any) -> UUID:
        parameters = {"name": uuid4().hex[:8]} | parameters
        return UUID(str(self.client.create_flow_run_from_deployment(self.id, parameters=parameters).id))

    @contextmanager
    def process(self, run_id: UUID) -> Iterator[subprocess.Popen[bytes]]:
        """The run's process, as Prefect's workers start it; killed at the end where it still lives."""
        log = (self.workspace.root / f"{run_id}.log").open("wb")
        started = subprocess.Popen(
            [sys.executable, "-m", "prefect.engine"],
            cwd=self.workspace.root,
            env={**os.environ, "PREFECT__FLOW_RUN_ID": str(run_id)},
            stdout=log,
            stderr=log,
        )
        try:
            yield started
        finally:
            started.kill()
            started.wait()
            log.close()

    def calls(self, name: str) -> list[str]:
        """The rows that were computed for the runs called `name`, in order, each time."""
        path = self.workspace.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == name]

    def state(self, run_id: UUID) -> Any:
        return self.client.read_flow_run(run_id).state

    def wait_for(self, run_id: UUID, *names: str) -> Any:
        """The run's state, once its name is one of `names`."""
        return until(
            lambda: self.state(run_id).name in names and self.state(run_id), f"{run_id} {names}", self
        )

    def log(self, run_id: UUID) -> str:
        path = Path(self.workspace.root / f"{run_id}.log")
        return path.read_text() if path.exists() else ""


def until(is_true: Callable[[], Any], what: str, deployed: Deployed | None = None) -> Any:
    """What `is_true` gives, once it is true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (value := is_true()):
        if time.monotonic() > deadline:
            logs = (
                ""
                if deployed is None
                else "\n".join(p.read_text() for p in deployed.workspace.root.glob("*.log"))
            )
            raise AssertionError(f"after {WAIT_SECONDS} s not yet: {what}\n{logs}")
        time.sleep(0.25)  # each question costs the server time
    return value

"""Workers as processes, and deployments with runs that are due, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from prefect.client.schemas.filters import FlowRunFilter
from prefect.workers.process import ProcessWorker

from latent.config import DeploymentSettings
from latent.services.deployed import entrypoint, pull_steps
from latent.services.deployments.record import DeploymentRecord

PATIENCE_SECONDS = 120

FLOW = """
import os, time
from latent.prefect import flow, params, task

@task("square", retry=False)
def square(n, seconds):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(f"{n}\\n")
    time.sleep(seconds)
    return n * n

@flow("squares")
def squares(seconds: float = 0.0, rows: int = 3):
    return square.map(list(range(rows)), seconds=seconds).result()
"""

FILES = {
    "config/latent.toml": "[tracking]\nenabled = false\n[rows]\nmax_workers = 2\n",
    "flows/squares/flow.py": FLOW,
    "flows/squares/parameters.yaml": "rows: 4\n",
}


def deploy(client, workspace, pool, **settings):
    """A deployment of the workspace's flow, as `latent deploy` makes it; its id."""
    chosen = DeploymentSettings(flow="squares", name=f"d-{uuid4()}", work_pool=pool, **settings)
    steps = pull_steps(workspace)
    record = DeploymentRecord(workspace=workspace.root.name, settings=chosen)
    return client.create_deployment(
        client.create_flow_from_name("squares"),
        chosen.name,
        parameters=chosen.parameters,
        work_pool_name=pool,
        tags=["latent"],
        entrypoint=entrypoint("squares"),
        pull_steps=steps,
        job_variables=record.as_job_variables(),
        enforce_parameter_schema=False,
    )


def make_pool(client):
    """A new work pool; its name."""
    from prefect.client.schemas.actions import WorkPoolCreate

    name = f"pool-{uuid4()}"
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
    return name


def missed(client, deployment, count, *, every=timedelta(minutes=1)):
    """Runs as Prefect's scheduler writes them, due over the time until now."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import RRuleSchedule

    now = datetime.now(UTC)
    begin = now - every * count
    # It ends with the last of them: Prefect's scheduler runs as well, and must not add others.
    rule = f"DTSTART:{begin:%Y%m%dT%H%M%SZ}\nRRULE:FREQ=SECONDLY;INTERVAL={every.seconds};COUNT={count}"
    made = DeploymentScheduleCreate(schedule=RRuleSchedule(rrule=rule), active=True)
    client.create_deployment_schedules(deployment, [made])
    body = {
        "start_time": (begin - timedelta(seconds=1)).isoformat(),
        "end_time": now.isoformat(),
        "min_runs": count,
        "max_runs": count,
    }
    client._client.post(f"/deployments/{deployment}/schedule", json=body).raise_for_status()


def runs_of(client, deployment):
    """All its runs, by the time they were due."""
    wanted = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})
    found = client.read_flow_runs(flow_run_filter=wanted, limit=200)
    return sorted(found, key=lambda run: run.expected_start_time)


def until(condition, what):
    """Poll until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.2)
    return found


class Process:
    """A `latent` command in the background, and what it says."""

    def __init__(self, workspace, words, log, variables, module):
        self.log = log
        self._output = log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *words], cwd=workspace.root, stdout=self._output,
            stderr=self._output, env={**os.environ, **variables}, start_new_session=True,
        )  # fmt: skip

    def said(self):
        return self.log.read_text()

    def tell(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._output.close()


@contextmanager
def background(workspace, *words, module="latent", **variables):
    """The command while the block runs."""
    log = workspace.root / f"{words[0]}-{uuid4()}.log"
    started = Process(
        workspace, words, log, {"CALLS": str(workspace.root / "calls.txt"), **variables}, module
    )
    try:
        yield started
    finally:
        started.close()

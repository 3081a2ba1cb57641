"""Deployments with a schedule, on a real server: its scheduler makes the runs that a worker would take."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings

from latent.prefect import flow
from tests.prefect_server import prefect_server

PATIENCE_SECONDS = 120


@flow("nightly")
def nightly() -> None:
    pass


def test_a_scheduled_run_appears(tmp_path: Path) -> None:
    every_hour = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)))
    with (
        prefect_server(tmp_path, "SCHEDULER") as server,
        temporary_settings({PREFECT_API_URL: server.ready()}),
        get_client(sync_client=True) as client,
    ):
        flow_id = client.create_flow(nightly)
        client.create_deployment(flow_id, "nightly", schedules=[every_hour])
        until = time.monotonic() + PATIENCE_SECONDS
        while not (runs := client.read_flow_runs()) and time.monotonic() < until:
            time.sleep(0.5)
    assert runs, "the server's scheduler made no run"
    assert all(run.state is not None and run.state.is_scheduled() for run in runs)

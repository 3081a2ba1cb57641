"""What Prefect offers beside flows and tasks, under latent's name: modules, client, versions, log levels."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import prefect
import pytest
from prefect.exceptions import ObjectNotFound
from prefect.utilities.hashing import file_hash

import latent.prefect
from latent.prefect import flow, get_client


@pytest.mark.parametrize(
    "name",
    [
        "artifacts",
        "client.schemas.objects",
        "concurrency.asyncio",
        "deployments.runner",
        "deployments.steps.core",
        "server.schemas.schedules",
    ],
)
def test_modules_of_any_depth_are_prefects_own(name):
    assert import_module(f"latent.prefect.{name}") is import_module(f"prefect.{name}")


def test_a_module_that_neither_has_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"latent\.prefect\.deployments\.nothing"):
        import_module("latent.prefect.deployments.nothing")


def test_the_version_is_prefects():
    assert latent.prefect.__version__ == prefect.__version__


def test_the_client_finds_a_run_after_its_end(make):
    make({})

    @flow
    def nothing():
        return 1

    run_id = nothing(return_state=True).state_details.flow_run_id
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(run_id).name


async def test_the_asynchronous_client_asks_the_same_api(make):
    make({})
    async with get_client() as client:
        with pytest.raises(ObjectNotFound):
            await client.read_flow_run("00000000-0000-4000-8000-000000000000")


def test_a_flow_names_its_own_file_and_version(make, monkeypatch):
    workspace = make(
        {"flows/named/flow.py": "from latent.prefect import flow\n\n@flow('named')\ndef named():\n    pass\n"}
    )
    file = workspace.root / "flows/named/flow.py"
    loaded = flow.from_source(str(workspace.root), "flows/named/flow.py:named")
    assert isinstance(loaded, latent.prefect.Flow)
    assert loaded.version == file_hash(file)
    assert loaded.with_options(name="other").version == file_hash(file)
    assert loaded._entrypoint == "flows/named/flow.py:named"
    assert flow(version="7")(loaded.bare).version == "7"


LEVELS = """
from latent.prefect import flow, logger, task

@task
def t():
    logger.info("of the task")

@flow
def f():
    logger.warning("of the flow")
    t()

f()
"""


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, {"of the task", "of the flow"}),
        ({"PREFECT_LOGGING_LEVEL": "WARNING"}, {"of the flow"}),
        ({"PREFECT_LOGGING_LEVEL": "ERROR", "LATENT_LOGGING__LEVEL": "DEBUG"}, set()),
    ],
)
def test_prefects_log_level_holds_on_the_terminal_and_not_in_the_file(make, monkeypatch, variables, shown):
    workspace = make({"go.py": LEVELS})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "go.py"], cwd=workspace.root, capture_output=True, text=True, check=True, timeout=120
    )
    lines = {line for line in ("of the task", "of the flow") if line in done.stdout + done.stderr}
    assert lines == shown
    (log,) = workspace.logs_dir.glob("*.log")
    assert all(line in log.read_text() for line in ("of the task", "of the flow"))

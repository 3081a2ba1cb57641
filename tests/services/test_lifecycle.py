"""`up` and `down` with real servers: started once, recognised, and ended without a trace."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from latent.config import find_workspace
from latent.config.running_services import (
    auth_file,
    lock_file,
    recorded_services,
    running_service,
    service_password,
    state_file,
)
from latent.errors import ServiceError, ServiceStartError
from latent.files import is_locked, replace_json
from latent.services import down, process, service_statuses, up
from latent.tracking import stop_writer

pytestmark = pytest.mark.services

FLOW = """
from latent.prefect import flow, task

@task("square")
def square(n):
    return n * n

@flow("squares")
def squares():
    return square.map([1, 2, 3]).result()
"""


@pytest.fixture
def new_workspace(make_workspace):
    """A workspace that never had servers, and whose servers end with the test, however it ends."""
    made = make_workspace({"config/latent.toml": "", "flows/squares/flow.py": FLOW})
    yield made
    stop_writer(made, timeout_seconds=1.0)
    down(made)


@pytest.fixture
def workspace(new_workspace, prefect_database):
    """The same with a database of Prefect's server, which takes long to make."""
    database = new_workspace.services_dir / "prefect/prefect.db"
    database.parent.mkdir(parents=True)
    shutil.copyfile(prefect_database, database)
    return new_workspace


def latent(workspace, *words, check=True, **variables):
    return subprocess.run(
        [sys.executable, "-m", "latent", *words], cwd=workspace.root, capture_output=True, text=True,
        timeout=300, check=check, env={**os.environ, **variables},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")  # `ps` cuts what it says to that, unless told otherwise


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def processes_of(services):
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True)
    groups = {str(service.pid) for service in services}
    return [line for line in listed.stdout.splitlines() if line.split()[0] in groups and "Z" not in line]


def test_servers_are_started_once_used_by_flows_and_gone_after_down(new_workspace):
    workspace = new_workspace
    with ThreadPoolExecutor() as pool:  # two at once make one set
        first, second = pool.map(lambda _: latent(workspace, "up"), range(2))
    services = list(recorded_services(workspace).values())
    assert [service.name for service in services] == ["prefect", "mlflow"]
    assert sorted("started" in out.stdout for out in (first, second)) == [False, True]
    assert "reused" in first.stdout + second.stdout
    assert stat.S_IMODE(state_file(workspace).stat().st_mode) == 0o600
    assert len(processes_of(services)) == 3  # Prefect's one, MLflow's two

    ran = latent(workspace, "run", "squares")
    assert "3 ok" in ran.stdout and "Still processing" not in ran.stderr
    asked = urllib.request.Request(
        f"{services[0].url}/api/flow_runs/filter", data=b"{}", headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked) as answer:
        assert b'"COMPLETED"' in answer.read()
    with urllib.request.urlopen(services[1].url) as page:
        assert b"<html" in page.read()

    reports = {report.service.name: report for report in up(workspace)}
    assert {report.became for report in reports.values()} == {"reused"}
    statuses = latent(workspace, "status", "--settings").stdout
    assert statuses.count("running") == 2 and "TASK_RUN_RECORDER_BATCH_SIZE" in statuses
    pages = latent(workspace, "ui", "--no-open").stdout
    assert all(service.url in pages for service in services)

    assert latent(workspace, "down").stdout.count("stopped") == 2
    assert processes_of(services) == [] and all(is_free(service.port) for service in services)
    assert not state_file(workspace).exists()
    assert "No server of this workspace runs" in latent(workspace, "down").stdout


def test_a_server_that_was_killed_is_known_to_have_ended_and_started_again(workspace):
    prefect, mlflow = (report.service for report in up(workspace))
    os.killpg(prefect.pid, signal.SIGKILL)
    os.kill(mlflow.pid, signal.SIGKILL)  # its worker lives on, and keeps the port
    deadline = time.monotonic() + 10
    while any(is_locked(lock_file(workspace, name)) for name in ("prefect", "mlflow")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert running_service(workspace, "prefect") is None
    assert {status.state for status in service_statuses(workspace)} == {"ended"}
    # Without its server, a flow runs on the API in its process.
    assert "3 ok" in latent(workspace, "run", "squares", LATENT_TRACKING__ENABLED="false").stdout
    reports = up(workspace)
    assert {report.became for report in reports} == {"started"}
    assert [report.service.port for report in reports] == [prefect.port, mlflow.port]
    assert len(processes_of([report.service for report in reports])) == 3
    assert processes_of([prefect, mlflow]) == []


def test_a_stranger_with_a_servers_number_is_never_signalled(workspace):
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        record = {
            "name": "prefect", "url": "http://127.0.0.1:4200", "pid": stranger.pid, "port": 4200,
            "started_at": 1.0, "version": "3", "store": "x", "log": "y",
        }  # fmt: skip
        workspace.services_dir.mkdir(parents=True, exist_ok=True)
        replace_json(state_file(workspace), {"version": 1, "services": {"prefect": record}})
        assert running_service(workspace, "prefect") is None
        assert down(workspace) == []
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"services": {"prefect": 7}}', '{"services": null}'])
def test_a_record_that_cannot_be_read_counts_as_none(workspace, text):
    workspace.services_dir.mkdir(parents=True, exist_ok=True)
    state_file(workspace).write_text(text)
    assert recorded_services(workspace) == {}
    assert down(workspace) == []


def test_taken_ports_are_avoided_and_a_server_that_does_not_start_says_why(workspace):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broken = workspace.services_dir / "prefect" / "prefect.db"
        broken.write_bytes(b"this is not a database, and never was one" * 100)
        settings = workspace.root / "config/latent.toml"
        settings.write_text(f"[services]\nmlflow_port = {port}\n")
        workspace = find_workspace(workspace.root)
        with pytest.raises(ServiceStartError, match="file is not a database") as caught:
            up(workspace)
        assert caught.value.name == "prefect" and caught.value.log in str(caught.value)
        # The other one goes on, elsewhere.
        mlflow = running_service(workspace, "mlflow")
        assert mlflow is not None and mlflow.port != port
        assert running_service(workspace, "prefect") is None


def test_a_stranger_that_answers_on_the_port_is_not_taken_for_our_server(workspace, monkeypatch):
    class Well(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Well) as stranger:
        port = stranger.server_port
        Thread(target=stranger.serve_forever, daemon=True).start()
        chosen = iter([port])
        real = process.free_port
        # As when it took the port between our look and our server's start.
        monkeypatch.setattr(process, "free_port", lambda *about: next(chosen, None) or real(0, *about[1:]))
        prefect, _ = up(workspace)
        assert prefect.service.port != port
        stranger.shutdown()


def test_in_the_foreground_both_logs_are_shown_and_ctrl_c_stops_both(workspace):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "latent", "up", "--foreground"], cwd=workspace.root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C" in line:
            break
    services = list(recorded_services(workspace).values())
    urllib.request.urlopen(services[1].url).close()  # MLflow logs each request
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert output.count("stopped") == 2, output
    assert processes_of(services) == []


def test_beyond_this_machine_both_servers_ask_for_a_password_that_flows_know(workspace):
    said = latent(workspace, "up", "--host", "0.0.0.0").stdout
    assert "auth.json" in said
    assert stat.S_IMODE(auth_file(workspace).stat().st_mode) == 0o600
    password = service_password(workspace)
    prefect, mlflow = recorded_services(workspace).values()
    for url in (
        f"{prefect.url}/api/admin/version",
        f"{mlflow.url}/api/2.0/mlflow/experiments/search?max_results=1",
    ):
        assert status_of(url) == 401
        assert status_of(url, f"latent:{password}") == 200
        assert status_of(url, "latent:guessed") == 401
    assert "3 ok" in latent(workspace, "run", "squares").stdout
    shown = said + latent(workspace, "status", "--settings").stdout + state_file(workspace).read_text()
    assert password is not None and password not in shown
    listed = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert password not in listed


def status_of(url, credentials=None):
    headers = {}
    if credentials:
        headers["authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("use_schemas", [False, True])
def test_both_keep_their_data_in_one_postgresql(make_workspace, whole_postgres, use_schemas):
    settings = f'[services]\ndatabase_url = "{whole_postgres}"\nuse_schemas = {str(use_schemas).lower()}\n'
    workspace = make_workspace({"config/latent.toml": settings, "flows/squares/flow.py": FLOW})
    try:
        reports = up(workspace)
        assert all(report.service.is_shared for report in reports)
        assert all(("schema" in report.service.store) == use_schemas for report in reports)
        assert "3 ok" in latent(workspace, "run", "squares", "--wait-tracking").stdout
        with urllib.request.urlopen(
            f"{reports[1].service.url}/api/2.0/mlflow/experiments/search?max_results=9"
        ) as answer:
            assert b'"squares"' in answer.read()
        assert {report.became for report in up(workspace)} == {"reused"}
    finally:
        stop_writer(workspace)
        down(workspace)
    assert not workspace.mlflow_db.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:p@127.0.0.1/x", "write postgresql://"),
        ("postgresql://u:p@127.0.0.1", "write postgresql://"),
        ("not an address", "cannot be read"),
        ("postgresql://u:secret-word@127.0.0.1:9/x", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(workspace, url, message):
    with pytest.raises(ServiceError, match=message) as caught:
        up(workspace, database_url=url)
    assert "secret-word" not in str(caught.value)
    assert recorded_services(workspace) == {}

"""`notify_webhook` with a real server: who fails is told of, once, and nothing more than the settings say."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread

import httpx
import pytest

from latent.config import find_workspace
from latent.services import server_client
from latent.services.notifications import install_notification

pytestmark = pytest.mark.services

PATIENCE_SECONDS = 120

SETTINGS = """
[services]
notify_webhook = "{address}"

[[deployments]]
flow = "reviews"
name = "nightly-reviews"
"""


@pytest.fixture
def receiver():
    """An address that takes webhooks, and what was sent there: the type of its content and the content."""
    received = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            received.put((self.headers["content-type"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()


def install(workspace):
    with server_client(workspace, needed_for="this test") as client:
        return install_notification(client, workspace)


def fail(server, flow, deployment, name, message):
    """A run of a deployment that fails, as the server hears of it from a worker."""
    flow_id = server.post("/flows/", json={"name": flow}).json()["id"]
    made = {"name": deployment, "flow_id": flow_id}
    deployment_id = server.post("/deployments/", json=made).json()["id"]
    run = {"name": name, "state": {"type": "PENDING"}}
    run_id = server.post(f"/deployments/{deployment_id}/create_flow_run", json=run).json()["id"]
    for state in ({"type": "RUNNING"}, {"type": "FAILED", "name": "Failed", "message": message}):
        answer = server.post(f"/flow_runs/{run_id}/set_state", json={"state": state, "force": True})
        answer.raise_for_status()


def test_a_failed_run_of_a_deployment_is_told_and_others_are_not(make_workspace, on_server, receiver):
    address, received = receiver
    workspace = make_workspace({"config/latent.toml": SETTINGS.format(address=address)})
    assert install(workspace)
    assert not install(workspace)  # all is as it should be
    with httpx.Client(base_url=on_server, timeout=60) as server:
        # The server reads its automations again a moment after one was made.
        for attempt in range(PATIENCE_SECONDS // 5):
            fail(server, "reviews", "others", "other", "nobody is told")
            fail(server, "reviews", "nightly-reviews", f"run-{attempt}", 'a "quoted" reason')
            deadline = time.monotonic() + 5
            while received.empty() and time.monotonic() < deadline:
                time.sleep(0.1)
            if not received.empty():
                break
        kind, body = received.get(timeout=1)
        assert kind == "application/json"
        text = json.loads(body)["text"]
        # A page would follow, if this server had any.
        assert text == 'nightly-reviews: the flow reviews ended Failed: a "quoted" reason'
        assert all(b"nobody is told" not in sent for _, sent in received.queue)

        (workspace.root / "config/latent.toml").write_text(
            SETTINGS.format(address=address).replace("notify_webhook", "# notify_webhook")
        )
        workspace = find_workspace(workspace.root)
        assert install(workspace)  # it is taken away
        assert not install(workspace)


def test_an_address_that_is_none_is_refused(make_workspace):
    from latent.errors import ConfigError

    workspace = make_workspace({"config/latent.toml": '[services]\nnotify_webhook = "no address"\n'})
    with pytest.raises(ConfigError, match="notify_webhook"):
        _ = workspace.settings

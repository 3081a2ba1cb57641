"""Who needs a Prefect server is told what is wrong when there is none, or none that takes us."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from prefect.client.schemas.filters import FlowFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

from latent.errors import ServerUnreachableError, ServiceError
from latent.services.client import server_client


def ask(make_workspace):
    """Use a client in a workspace without servers of its own."""
    workspace = make_workspace({"config/latent.toml": ""})
    with server_client(workspace, needed_for="`latent deploy`") as client:
        return client.read_flows(flow_filter=FlowFilter(name={"any_": ["nobody has made this"]}))


def test_without_a_server_latent_up_is_named(make_workspace):
    with pytest.raises(ServiceError, match=r"`latent deploy` needs one, .* `latent up` starts it"):
        ask(make_workspace)


def test_server_that_does_not_answer_is_named_by_its_address(make_workspace):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    unreachable = pytest.raises(ServerUnreachableError, match=f"{address}, .* cannot be reached")
    with temporary_settings({PREFECT_API_URL: address}), unreachable:
        ask(make_workspace)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {"exception_message": "Unauthorized"}, "does not let us in .* PREFECT_API_AUTH_STRING"),
        (200, "2.20.4", "it is of version 2.20.4, and installed here is 3"),
        (422, {"detail": "no such field"}, "answers GET /api/admin/version with status 422: no such field"),
    ],
)
def test_server_that_refuses_us_says_why(make_workspace, status, body, message):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/api"
        with temporary_settings({PREFECT_API_URL: address}), pytest.raises(ServiceError, match=message):
            ask(make_workspace)
        server.shutdown()


@pytest.mark.services
def test_client_asks_the_server_that_prefects_settings_name(make_workspace, on_server):
    assert ask(make_workspace) == []

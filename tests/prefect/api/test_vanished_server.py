"""A Prefect server that is gone in the middle of a map: the run ends, and the server hears of it later."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from latent.config import ensure_private_dir
from latent.files import replace_json
from latent.prefect.late_ends import LateEnd, late_ends, send
from latent.prefect.late_ends import folder as late_ends_folder
from latent.testing.plugin import MakeWorkspace
from tests.prefect.interrupted import FILES, LATENT_RUN, started, wait_for

END_SECONDS = 200


class Relay:
    """A way to a server on loopback that can be cut, with the server itself left to other tests."""

    def __init__(self, target: tuple[str, int], port: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._peers: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._is_cut = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End all connections and accept no more."""
        self._is_cut.set()
        self._thread.join()

    def _pass_on(self) -> None:
        while not self._is_cut.is_set():
            for key, _ in self._selector.select(timeout=0.05):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                    self._copy(key.fileobj)
        for each in [self._listener, *self._peers]:
            each.close()
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        self._peers |= {client: server, server: client}
        for each in (client, server):
            self._selector.register(each, selectors.EVENT_READ)

    def _copy(self, source: socket.socket) -> None:
        try:
            data = source.recv(65_536)
            self._peers[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            other = self._peers.pop(source)
            self._peers.pop(other)
            for each in (source, other):
                self._selector.unregister(each)
                each.close()


@contextmanager
def relay(url: str, port: int = 0) -> Iterator[Relay]:
    """A relay to the server behind `url`, cut at the end; on a free port, unless one is named."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    way = Relay((parts.hostname, parts.port), port)
    try:
        yield way
    finally:
        way.cut()


@pytest.mark.chaos
def test_a_run_outlives_the_server_which_is_told_of_its_end_when_it_is_back(
    make_workspace: MakeWorkspace, real_server: str
) -> None:
    """The run ends well and at once, says what is not reported, and leaves a process that reports it."""
    workspace = make_workspace(FILES)
    with relay(real_server) as way:
        url = f"http://127.0.0.1:{way.port}/api"
        with started(*LATENT_RUN, "-p", "rows=400", PREFECT_API_URL=url) as process:
            wait_for(100, workspace.root, process)
            way.cut()
            (workspace.root / "hurry").touch()
            shown, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, shown
    assert "Traceback" not in shown
    assert f"Prefect's server at {url} does not answer" in " ".join(shown.split())
    ((_, end),) = late_ends(workspace)
    assert end.state["type"] == "COMPLETED" and len(end.events) > 0
    asked = urllib.request.Request(f"{real_server}/flow_runs/{end.run_id}")
    with urllib.request.urlopen(asked) as answer:
        assert json.load(answer)["state_type"] == "RUNNING"
    with relay(real_server, port=way.port):
        deadline = time.monotonic() + END_SECONDS
        while late_ends(workspace):
            assert time.monotonic() < deadline, (workspace.logs_dir / "reporter.log").read_text()
            time.sleep(0.2)
    with urllib.request.urlopen(asked) as answer:
        assert json.load(answer)["state_type"] == "COMPLETED"


def test_an_end_that_no_server_takes_waits_and_is_forgotten_when_the_server_does_not_know_the_run(
    make_workspace: MakeWorkspace, real_server: str
) -> None:
    workspace = make_workspace(FILES)
    state = {"type": "COMPLETED", "name": "Completed", "state_details": {}}
    common = {"run_id": str(uuid4()), "run_name": "gone", "flow_name": "f", "state": state, "force": False}
    elsewhere = LateEnd(**common, api_url="http://127.0.0.1:9/api", is_own_server=False)
    unknown = LateEnd(**common, api_url=real_server, is_own_server=False)
    folder = ensure_private_dir(late_ends_folder(workspace))
    for number, end in enumerate((elsewhere, unknown)):
        replace_json(folder / f"{number}.json", asdict(end))
    with temporary_settings({PREFECT_API_URL: real_server}):
        sent = send(workspace)
    assert sent.refused == [(unknown, "the server does not know the run")]
    assert [end for end, _ in sent.waiting] == [end for _, end in late_ends(workspace)] == [elsewhere]

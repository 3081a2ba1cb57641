"""A Prefect server that is gone in the middle of a map: what is finished is kept, with or without it."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from latent.testing.plugin import MakeWorkspace
from tests.prefect.interrupted import (
    FILES,
    LATENT_RUN,
    WORKERS,
    Events,
    reused,
    run_python,
    started,
    wait_for,
)

END_SECONDS = 200


class Relay:
    """A way to a server on loopback that can be cut, with the server itself left to other tests."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
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
def relay(url: str) -> Iterator[Relay]:
    """A relay to the server behind `url`, cut at the end."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    way = Relay((parts.hostname, parts.port))
    try:
        yield way
    finally:
        way.cut()


@pytest.mark.chaos
def test_rows_outlive_the_server(make_workspace: MakeWorkspace, real_server: str) -> None:
    """Rows finished before and after the server vanished are reused by a run that has no server at all."""
    root = make_workspace(FILES).root
    with relay(real_server) as way:
        url = f"http://127.0.0.1:{way.port}/api"
        with started(
            *LATENT_RUN, "-p", "rows=400", PREFECT_API_URL=url, PREFECT_CLIENT_MAX_RETRIES="0"
        ) as process:
            wait_for(100, root, process)
            way.cut()
            (root / "hurry").touch()
            shown, _ = process.communicate(timeout=END_SECONDS)
    assert "Traceback" not in shown, shown
    said = " ".join(shown.split())
    assert f"Error: Prefect's server at {url}, which Prefect's settings name" in said
    assert "went away (" in said
    assert "what is finished is kept" in said
    events = Events(root / "rows.log")
    kept, rows = reused(run_python(*LATENT_RUN, "-p", "rows=400"))
    assert rows == 400
    assert kept >= len(events.begun) - WORKERS
    assert Events(root / "rows.log").begun.total() == 400

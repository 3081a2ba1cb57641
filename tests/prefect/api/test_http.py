"""The loopback server: what it reads, whom it refuses, how it waits."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from latent.prefect.api.http import MAX_BODY_BYTES, LoopbackServer, parse_request, render_answer
from latent.prefect.api.messages import Answer, RefusalError, Request, needs_server

PASSWORD = "Basic c2VjcmV0"
HEAD = f"POST /api/flows/?a=1 HTTP/1.1\r\nAuthorization: {PASSWORD}\r\n"


class Recorder:
    """Answers with what it was asked; some paths wait, fail or refuse."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.cancelled = threading.Event()

    def __call__(self, request: Request) -> Answer | asyncio.Future[Answer]:
        if request.path == "wait":
            return asyncio.ensure_future(self._wait())
        if request.path == "fail":
            raise RuntimeError("a bug")
        if request.path == "refuse":
            raise needs_server("This")
        if request.path == "empty":
            return Answer(204)
        return Answer(200, {"path": request.path, "query": request.query, "body": request.json()})

    async def _wait(self) -> Answer:
        self.waiting.set()
        try:
            await asyncio.sleep(0.05 if self.cancelled.is_set() else 30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Answer(200, "waited")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def server(recorder: Recorder) -> Iterator[LoopbackServer]:
    server = LoopbackServer(recorder, PASSWORD)
    yield server
    server.stop()


@pytest.fixture
def connection(server: LoopbackServer) -> Iterator[http.client.HTTPConnection]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    yield connection
    connection.close()


def ask(
    connection: http.client.HTTPConnection, path: str, body: bytes = b"", **headers: str
) -> tuple[int, object]:
    connection.request("POST", f"/api/{path}", body=body, headers={"Authorization": PASSWORD, **headers})
    response = connection.getresponse()
    text = response.read()
    return response.status, json.loads(text) if text else None


def test_many_requests_share_one_connection(connection: http.client.HTTPConnection) -> None:
    connection.connect()
    kept = connection.sock
    for number in range(5):
        status, content = ask(connection, f"flows/{number}/?x=y", b'{"n": 1}')
        assert (status, content) == (200, {"path": f"flows/{number}", "query": "x=y", "body": {"n": 1}})
    assert connection.sock is kept


def test_without_the_password_nothing_is_answered(server: LoopbackServer) -> None:
    address = urlsplit(server.url)
    for headers in ({}, {"Authorization": "Basic wrong"}):
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
        connection.request("GET", "/api/flows", headers=headers)
        assert connection.getresponse().status == 401
        connection.close()


def test_only_loopback_listens(server: LoopbackServer) -> None:
    assert urlsplit(server.url).hostname == "127.0.0.1"


def test_failures_and_refusals_are_answers_with_a_reason(connection: http.client.HTTPConnection) -> None:
    status, content = ask(connection, "fail")
    assert status == 500
    assert "a bug" in str(content)
    assert ask(connection, "refuse") == (
        501,
        {
            "detail": "This needs a Prefect server: start one with `latent up`, "
            "or set PREFECT_API_URL to the address of one."
        },
    )
    assert ask(connection, "flows", b"{not json")[0] == 422
    assert ask(connection, "empty") == (204, None)


def test_requests_that_arrive_together_are_answered_in_order(server: LoopbackServer) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as raw:
        one = f"{HEAD}Content-Length: 2\r\n\r\n{{}}".encode()
        last = one.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
        raw.sendall(one + last[:40])
        time.sleep(0.05)
        raw.sendall(last[40:])
        received = b"".join(iter(lambda: raw.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.count(b"Connection: close") == 1


def test_a_client_that_hangs_up_ends_its_wait(server: LoopbackServer, recorder: Recorder) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as raw:
        raw.sendall(HEAD.replace("flows/?a=1", "wait").encode() + b"\r\n")
        assert recorder.waiting.wait(5)
    assert recorder.cancelled.wait(5)


def test_others_are_answered_while_one_waits(
    server: LoopbackServer, recorder: Recorder, connection: http.client.HTTPConnection
) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as raw:
        raw.sendall(HEAD.replace("flows/?a=1", "wait").encode() + b"\r\n")
        assert recorder.waiting.wait(5)
        assert ask(connection, "flows")[0] == 200
    recorder.cancelled.wait(5)
    assert ask(connection, "wait") == (200, "waited")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("POST /api/x HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (f"{HEAD}Content-Length: ten\r\n\r\n", 400),
        (f"{HEAD}Content-Length: -1\r\n\r\n", 400),
        (f"{HEAD}Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n", 413),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n", 411),
        (f"what is this\r\nAuthorization: {PASSWORD}\r\n\r\n", 400),
        (f"GET /api SPDY/9\r\nAuthorization: {PASSWORD}\r\n\r\n", 400),
        ("x" * 70_000, 431),
    ],
)
def test_what_is_not_a_plain_request_is_refused(raw: str, status: int) -> None:
    with pytest.raises(RefusalError) as refused:
        parse_request(bytearray(raw.encode()), PASSWORD.encode())
    assert refused.value.answer.status == status


def test_a_request_may_arrive_byte_by_byte() -> None:
    received = bytearray()
    whole = f"{HEAD}Content-Length: 7\r\n\r\n".encode() + b'{"a":1}'
    for byte in whole[:-1]:
        received.append(byte)
        assert parse_request(received, PASSWORD.encode()) is None
    received.append(whole[-1])
    parsed = parse_request(received, PASSWORD.encode())
    assert parsed is not None
    assert parsed[0] == Request("POST", "flows", "a=1", b'{"a":1}')
    assert not received


def test_an_answer_may_have_any_status_and_headers() -> None:
    rendered = render_answer(Answer(599, [1], {"Retry-After": "2"}))
    assert rendered.startswith(b"HTTP/1.1 599 Unknown\r\n")
    assert rendered.endswith(b"Retry-After: 2\r\n\r\n[1]")


def test_a_stopped_server_is_gone(recorder: Recorder) -> None:
    server = LoopbackServer(recorder, PASSWORD)
    address = urlsplit(server.url)
    server.stop()
    server.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((str(address.hostname), address.port or 0), timeout=5)

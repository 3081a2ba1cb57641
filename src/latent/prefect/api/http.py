"""
A small HTTP/1.1 server on loopback: keep-alive, JSON, one thread.

Hand-written on asyncio because importing a web framework costs more than a whole run may take, and
the one client is known: Prefect's, over httpx.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import orjson

from latent.prefect.api.messages import Answer, RefusalError, Request

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024
PREFIX = "/api"

_log = logging.getLogger(__name__)


class LoopbackServer:
    """
    Answers HTTP on 127.0.0.1 from a daemon thread, to clients that send the right `Authorization`.

    `answer` runs on that thread only. It returns an `Answer`, or an awaitable of one when it has
    to wait; such a wait is cancelled when the client hangs up.
    """

    def __init__(self, answer: Callable[[Request], Answer | Awaitable[Answer]], authorization: str) -> None:
        self._answer = answer
        self._authorization = authorization.encode("ascii")
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        # Bound here, so that the address is known and connections queue up before the thread runs.
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}{PREFIX}"
        self.pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="latent-prefect-api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections, and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        connections: set[_Connection] = set()
        server = await self._loop.create_server(
            lambda: _Connection(self._answer, self._authorization, connections), sock=self._socket
        )
        await self._stopped.wait()
        server.close()
        for connection in list(connections):
            connection.abort()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """One client connection: reads requests one after the other and answers each in turn."""

    def __init__(
        self,
        answer: Callable[[Request], Answer | Awaitable[Answer]],
        authorization: bytes,
        connections: set[_Connection],
    ) -> None:
        self._answer = answer
        self._authorization = authorization
        self._connections = connections
        self._received = bytearray()
        self._waiting: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._waiting is not None:
            self._waiting.cancel()

    def abort(self) -> None:
        """Drop the connection without a farewell."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._proceed()

    def _proceed(self) -> None:
        """Answer every complete request that has arrived, in order."""
        while self._waiting is None and not self._transport.is_closing():
            try:
                parsed = parse_request(self._received, self._authorization)
            except RefusalError as refusal:
                # What follows a request that cannot be read cannot be read either.
                self._send(refusal.answer, close=True)
                return
            if parsed is None:
                return
            request, close = parsed
            answer = self._call(request)
            if isinstance(answer, Answer):
                self._send(answer, close=close)
            else:
                self._waiting = asyncio.get_running_loop().create_task(self._await(answer, close))

    def _call(self, request: Request) -> Answer | Awaitable[Answer]:
        try:
            return self._answer(request)
        except RefusalError as refusal:
            return refusal.answer
        except Exception as error:
            return _failure(request, error)

    async def _await(self, pending: Awaitable[Answer], close: bool) -> None:
        try:
            answer = await pending
        except RefusalError as refusal:
            answer = refusal.answer
        except Exception as error:
            answer = _failure(None, error)
        self._waiting = None
        if not self._transport.is_closing():
            self._send(answer, close=close)
            self._proceed()

    def _send(self, answer: Answer, *, close: bool) -> None:
        self._transport.write(render_answer(answer, close=close))
        if close:
            self._transport.close()


def parse_request(received: bytearray, authorization: bytes) -> tuple[Request, bool] | None:
    """
    Take one whole request from the front of `received`, and say whether it is the last one.

    None: more bytes have to arrive first. Raises RefusalError for what is not HTTP/1.1 with a plain
    body, or comes without the password.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise RefusalError(431, "The request's head is too long.")
        return None
    lines = bytes(received[:end]).split(b"\r\n")
    headers = _parse_headers(lines[1:])
    if not compare_digest(headers.get(b"authorization", b""), authorization):
        raise RefusalError(401, "Unauthorized: this in-memory Prefect API belongs to another process.")
    length = _body_length(headers)
    if len(received) < end + 4 + length:
        return None
    body = bytes(received[end + 4 : end + 4 + length])
    del received[: end + 4 + length]
    request = _parse_request_line(lines[0], body)
    return request, headers.get(b"connection", b"").lower() == b"close"


def _parse_headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise RefusalError(400, "A header has no colon.")
        headers[name.strip().lower()] = value.strip()
    return headers


def _body_length(headers: dict[bytes, bytes]) -> int:
    if b"transfer-encoding" in headers:
        raise RefusalError(411, "Send a Content-Length; chunked bodies are not read.")
    text = headers.get(b"content-length", b"0")
    if not text.isdigit():
        raise RefusalError(400, "The Content-Length is not a number.")
    if int(text) > MAX_BODY_BYTES:
        raise RefusalError(413, f"A body may hold {MAX_BODY_BYTES} bytes at most; this one has {int(text)}.")
    return int(text)


def _parse_request_line(line: bytes, body: bytes) -> Request:
    parts = line.decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise RefusalError(400, "This is not an HTTP/1.1 request.")
    path, _, query = parts[1].partition("?")
    if path.startswith(PREFIX + "/"):
        path = path[len(PREFIX) :]
    return Request(parts[0], path.strip("/"), query, body)


def decode_segment(segment: str) -> str:
    """Return a segment of a path as its sender wrote it."""
    return unquote(segment)


def render_answer(answer: Answer, *, close: bool = False) -> bytes:
    """Return the bytes of an HTTP/1.1 response."""
    body = b"" if answer.content is None else orjson.dumps(answer.content, default=_encode, option=_JSON)
    lines = [f"HTTP/1.1 {answer.status} {_reason(answer.status)}"]
    if answer.status != HTTPStatus.NO_CONTENT:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


_JSON = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def _encode(value: object) -> Any:
    if isinstance(value, set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _failure(request: Request | None, error: Exception) -> Answer:
    where = f"{request.method} {request.path}" if request else "a waiting request"
    _log.exception("The in-memory Prefect API failed on %s", where, exc_info=error)
    return Answer(500, {"detail": f"latent's in-memory Prefect API failed on {where}: {error!r}"})

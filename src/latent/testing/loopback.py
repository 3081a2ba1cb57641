"""
A small HTTP/1.1 server on loopback for simulators: keep-alive, one thread, precise timers.

It hands out each request as an `Exchange`, which can also do what a web framework never would: cut an answer
off, reset the connection, or say nothing at all. httptools parses, because beside a client on one machine
every microsecond of the server is taken from the client: a short JSON answer costs 0.07 ms of processor time
with it, 0.24 ms with aiohttp.web, 0.27 ms with h11.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from typing import TypeVar, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from latent.errors import SimulatorError
from latent.files.forks import after_fork

HOST = "127.0.0.1"
T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it arrived."""

    method: str
    path: str
    """Without the query."""
    query: str
    """What stands behind the path's question mark, undecoded."""
    headers: dict[bytes, bytes]
    """By lower-case name."""
    body: bytes
    keep_alive: bool
    arrived_at: float
    """When its last byte was read, on the clock of `time.monotonic`."""

    def header(self, name: str) -> str | None:
        """The value of the header `name`, which is in lower case; None when it was not sent."""
        value = self.headers.get(name.encode("ascii"))
        return None if value is None else value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response; `body` in parts is sent chunked, as streams are."""

    status: int
    headers: Iterable[tuple[str, str]]
    body: bytes | tuple[bytes, ...]


class Exchange:
    """One request and the ways to end it; used on the server's thread only."""

    __slots__ = ("_connection", "_timer", "gone", "request")

    def __init__(self, request: HttpRequest, connection: _Connection) -> None:
        self.request = request
        self.gone: Callable[[], None] | None = None
        """Called when the client hangs up, or the server stops, before the exchange has ended."""
        self._connection = connection
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do `action` once, `seconds` from the request's arrival; not when the client hangs up before."""
        if seconds <= 0.0:
            action()
            return
        # Event loops count time.monotonic; what answering took so far is part of the latency.
        due = self.request.arrived_at + seconds
        self._timer = self._connection.loop.call_at(due, self._connection.guard, action)

    def send(self, response: HttpResponse) -> None:
        """Send the whole response; the connection stays open if the client wants it so."""
        keep_alive = self.request.keep_alive
        self._connection.finish(render(response, keep_alive=keep_alive), close=not keep_alive)

    def send_half(self, response: HttpResponse) -> None:
        """Promise the whole response, send half of it and hang up."""
        whole = render(response, keep_alive=True)
        head = whole.index(b"\r\n\r\n") + 4
        self._connection.finish(whole[: head + (len(whole) - head) // 2], close=True)

    def reset(self) -> None:
        """Drop the connection as a crashed server or a broken network does."""
        self._connection.reset()

    def hang_up(self) -> None:
        """The client is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self.gone is not None:
            self.gone()


def render(response: HttpResponse, *, keep_alive: bool) -> bytes:
    """The bytes of an HTTP/1.1 response."""
    lines = [_status_line(response.status)]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if not keep_alive:
        lines.append("connection: close")
    if isinstance(response.body, bytes):
        lines.append(f"content-length: {len(response.body)}")
        body = response.body
    else:
        lines.append("transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*response.body, b""))
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


@cache
def _status_line(status: int) -> str:
    try:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    except ValueError:  # 529, say, is in no standard
        return f"HTTP/1.1 {status} Unknown"


class LoopbackServer:
    """
    Answers HTTP on 127.0.0.1 from a daemon thread, until it is stopped.

    Args:
        answer: Ends each exchange, at once or later; called on the server's thread, so that it needs no lock.
        port: 0 for any free one.

    Raises:
        SimulatorError: The port is taken or not allowed.
    """

    def __init__(self, answer: Callable[[Exchange], None], *, port: int = 0) -> None:
        self.answer = answer
        self.connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        try:
            # Bound here, so that the address is known and connections queue up before the thread runs.
            self.listener = socket.create_server((HOST, port), backlog=1024)
        except (OSError, OverflowError) as error:
            self._loop.close()
            raise SimulatorError(
                "port", port, f"it cannot be listened on ({error}); 0 takes a free one"
            ) from error
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="latent-simulator", daemon=True)
        self._thread.start()
        _watch_forks()
        _servers.add(self)

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns on the server's thread; once that has ended, on this one."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError:  # stopped: the loop is closed
            return function()
        return done.result()

    def stop(self) -> None:
        """Close the port and all connections, and end the thread; does nothing in a forked process."""
        if os.getpid() == self.pid and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
        _servers.discard(self)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        accepting = self._loop.create_task(self._accept())
        await self._stopped.wait()
        accepting.cancel()
        self.listener.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)

    async def _accept(self) -> None:
        while True:
            try:
                # By hand, to own the socket objects: a forked child has to close its copies.
                accepted, _ = await self._loop.sock_accept(self.listener)
            except OSError as error:  # too many open files, or the client is gone already
                _log.warning("The simulator could not accept a connection: %s", error)
                await asyncio.sleep(0.05)
                continue
            await self._loop.connect_accepted_socket(partial(_Connection, self, accepted), accepted)


_servers: weakref.WeakSet[LoopbackServer] = weakref.WeakSet()


@cache
def _watch_forks() -> None:
    """
    Have forked children close their copies of the sockets.

    Otherwise the port would outlive the server, and a reset would not reach the client: a connection ends
    only when every process has closed it.
    """
    after_fork(_close_copies)


def _close_copies() -> None:
    for server in list(_servers):
        for copy in [server.listener, *(connection.own for connection in server.connections)]:
            copy.close()


class _Connection(asyncio.Protocol):
    """One client connection: requests are answered one after the other, in the order of their arrival."""

    def __init__(self, server: LoopbackServer, own: socket.socket) -> None:
        self.own = own
        self.loop = asyncio.get_running_loop()
        self._server = server
        self._parser = HttpRequestParser(self)
        self._waiting: deque[HttpRequest] = deque()
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._waiting.clear()
        if self._exchange is not None:
            self._exchange.hang_up()
            self._exchange = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            # What follows a request that cannot be read cannot be read either.
            self._transport.write(render(HttpResponse(400, (), b"Bad Request"), keep_alive=False))
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._waiting.append(
            HttpRequest(
                method=self._parser.get_method().decode("ascii"),
                path=self._url.partition(b"?")[0].decode("latin-1"),
                query=self._url.partition(b"?")[2].decode("latin-1"),
                headers=self._headers,
                body=self._body,
                keep_alive=self._parser.should_keep_alive(),
                arrived_at=time.monotonic(),
            )
        )
        self._begin()
        self._next()

    def _begin(self) -> None:
        self._url, self._body = b"", b""
        self._headers: dict[bytes, bytes] = {}

    def _next(self) -> None:
        while self._exchange is None and self._waiting and not self._transport.is_closing():
            self._exchange = Exchange(self._waiting.popleft(), self)
            self.guard(partial(self._server.answer, self._exchange))

    def guard(self, action: Callable[[], None]) -> None:
        """Do `action`; if it fails, which is a mistake of ours, say so and give up the connection."""
        exchange = self._exchange
        try:
            action()
        except Exception:
            _log.exception("The simulator failed on %s", exchange.request.path if exchange else "a request")
            if self._exchange is not None:
                self._exchange.hang_up()
            self.finish(render(HttpResponse(500, (), b"The simulator failed."), keep_alive=False), close=True)

    def finish(self, data: bytes, *, close: bool) -> None:
        """Write the last bytes of the exchange and go on with the next request."""
        self._exchange = None
        self._transport.write(data)
        if close:
            self._transport.close()
        elif self._waiting:
            self.loop.call_soon(self._next)

    def reset(self) -> None:
        """Close so that the client gets a reset: its kernel is told that data was lost."""
        self._exchange = None
        self.own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()

    def abort(self) -> None:
        """Drop the connection without a farewell."""
        self._transport.abort()


_LINGER_ZERO = b"\x01\x00\x00\x00" if os.name == "nt" else b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""`struct linger` switched on, with a wait of 0 seconds: two shorts on Windows, two ints elsewhere."""

"""
HTTP to providers: one session for the whole process, on the event loop that async rows run on.

A thin layer on aiohttp that sends JSON and gets JSON; `docs/models.md` tells why no SDK lies in between. It
never tries again: retries, limits and memory belong to the engine.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from latent.errors import ModelConnectionError, ModelSpecError, ModelTimeoutError, UsageError
from latent.files.forks import after_fork
from latent.limits.permit import observe
from latent.llm.addresses import address_hint
from latent.llm.endpoints import is_loopback, shown_url
from latent.llm.failures import refusal
from latent.llm.json_body import document_in
from latent.llm.surrogates import check_whole
from latent.prefect.rows.loop_executor import row_loop

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    import aiohttp

    from latent.llm.endpoints import Endpoint

R = TypeVar("R")

USER_AGENT = "latent-flows"
CONNECT_SECONDS = 30.0
"""Who is not connected after so long is not there; the rest of a call's time is the model's."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered to a request that it took."""

    document: dict[str, Any]
    headers: Mapping[str, str]
    """Names in lower case."""


async def post(endpoint: Endpoint, path: str, payload: Mapping[str, Any], *, timeout_seconds: float) -> Reply:
    """
    Send one request, from any event loop.

    Args:
        path: Below the endpoint's `base_url`, with a slash before it.

    Raises:
        ModelRefusedError: The provider answered with an error.
        ModelConnectionError: It cannot be reached, or its answer is broken.
        ModelTimeoutError: No answer came in time.
        MissingKeyError: It wants a key, and none is set.
        BrokenTextError: A text in it holds a lone surrogate; nothing was sent.
    """
    sending = _post(endpoint, path, payload, timeout_seconds)
    loop = row_loop()
    if asyncio.get_running_loop() is loop:
        return await sending
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sending, loop))


def post_now(endpoint: Endpoint, path: str, payload: Mapping[str, Any], *, timeout_seconds: float) -> Reply:
    """As `post`, for plain functions; blocks its thread."""
    return _wait_for(_post(endpoint, path, payload, timeout_seconds))


def check_may_block() -> None:
    """
    Whether a plain call may wait here at all: for its answer, a limit, another process's same call.

    Raises:
        UsageError: It is made on the event loop that would bring the answer.
    """
    with suppress(RuntimeError):
        if asyncio.get_running_loop() is row_loop():
            raise UsageError(
                "A plain call to a model inside of an async row would stop the event loop on which all async "
                "rows wait for their answers, its own among them. Write `await model.complete_async(...)` or "
                "`await embedder.embed_async(...)`."
            )


def _wait_for(work: Coroutine[Any, Any, R]) -> R:
    future = asyncio.run_coroutine_threadsafe(work, row_loop())
    try:
        return future.result()
    except BaseException:
        # Ctrl-C ends the request too: nobody would read its answer.
        future.cancel()
        raise


async def _post(endpoint: Endpoint, path: str, payload: Mapping[str, Any], timeout_seconds: float) -> Reply:
    import aiohttp

    data, headers = _dumped(endpoint.spec, payload), endpoint.headers()
    timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
    place = endpoint.place
    # A local model's server is started in a thread: it reads a file of some hundred megabytes.
    address = endpoint.address(path) if endpoint.base_url else await asyncio.to_thread(endpoint.address, path)
    try:
        session = await _session(directly=is_loopback(address))
        sending = session.post(
            address,
            data=data,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,  # prompts go where the user sends them
        )
        async with sending as response:
            body = await response.read()
    except TimeoutError as error:
        reason = f"none came within {timeout_seconds:g} s. Raise timeout_seconds= if the model needs longer."
        raise ModelTimeoutError(endpoint.spec, place, reason) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _unanswered(endpoint, error) from None
    answered = _lower(response.headers)
    if 300 <= response.status < 400:
        elsewhere = shown_url(answered.get("location", "")) or "an address that it does not name"
        raise ModelSpecError(
            endpoint.spec, f"{place} sends on to {elsewhere}: if that is right, make it the base_url."
        )
    if response.status >= 400:
        raise refusal(endpoint, path, response.status, answered, body)
    observe(answered)
    document = _document(body)
    if document is None:
        raise ModelConnectionError(endpoint.spec, place, _no_document(endpoint, path, body))
    return Reply(document, answered)


def _unanswered(endpoint: Endpoint, error: Exception) -> Exception:
    """What a request failed with, without what is secret in its address and its headers."""
    import aiohttp

    kind = type(error).__name__
    # Not each ValueError: certificates that do not fit are trouble with the connection.
    if isinstance(error, aiohttp.InvalidURL) or not isinstance(error, aiohttp.ClientError | OSError):
        reason = f"no request can be sent to {endpoint.place} ({kind}): check the base_url and the key."
        return ModelSpecError(endpoint.spec, reason)
    # The whole text of this one repeats the address.
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else error
    return ModelConnectionError(endpoint.spec, endpoint.place, f"{kind}: {said}")


def _dumped(spec: str, payload: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(payload)
    except TypeError:
        # Integers over 64 bits, and surrogates: two halves of a character can be sent as escapes.
        check_whole(spec, "the request", json.dumps(payload, ensure_ascii=False))
        return json.dumps(payload).encode()


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = document_in(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _no_document(endpoint: Endpoint, path: str, body: bytes) -> str:
    """Why an answer cannot be read; a page for people is what the wrong address of a server shows."""
    if body.lstrip()[:1] != b"<":
        return "what it sent is not a whole JSON document."
    return f"what it sent is a page for browsers, no JSON. {address_hint(endpoint, path)}"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


_open: dict[bool, aiohttp.ClientSession] = {}
"""By whether they pass proxies by."""
_loop: asyncio.AbstractEventLoop | None = None
"""The loop that the sessions belong to."""
_opening = Lock()
_inherited: dict[bool, aiohttp.ClientSession] = {}


async def _session(*, directly: bool) -> aiohttp.ClientSession:
    """
    A session of the row loop; a new one when the loop is a new one, as after a fork.

    Args:
        directly: Whatever `HTTP_PROXY` says: what is asked on this machine is for nobody else to read.
    """
    global _loop
    import aiohttp

    loop = asyncio.get_running_loop()
    known = _open.get(directly)
    if known is not None and not known.closed and _loop is loop:
        return known
    with _opening:
        if _loop is not loop:
            _open.clear()
        _loop = loop
        session = _open[directly] = aiohttp.ClientSession(
            # How many calls are under way is for rows and limits to say.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            headers={"content-type": "application/json", "user-agent": USER_AGENT},
            # Looking for proxies takes time at each request.
            trust_env=not directly and _names_proxies(),
            auto_decompress=True,
        )
        atexit.register(_close, session, loop)
        return session


def _names_proxies() -> bool:
    return any(name.lower().endswith("_proxy") and value for name, value in os.environ.items())


def _reset_after_fork() -> None:
    """In a forked child: the sessions, and what closes them, are the parent's."""
    global _open, _loop, _opening, _inherited
    _inherited = _open  # once collected, they would complain that nobody has closed them
    _open, _loop, _opening = {}, None, Lock()
    atexit.unregister(_close)


after_fork(_reset_after_fork)


def _close(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
    """At the end of the process, so that no connection is left open behind the server's back."""
    if loop.is_running():
        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(session.close(), loop).result(timeout=1.0)

"""
Whether an exception says that a request never got an answer: by its class, whichever library it comes from.

Names count, not modules: that way one table holds for httpx, httpx2, requests, urllib3, aiohttp, botocore and
for every SDK that calls its errors as those of OpenAI and Anthropic are called, and none of them is imported.
"""

from __future__ import annotations

import errno
from typing import Literal

Trouble = Literal["timeout", "connection"]

_TIMEOUTS = frozenset(
    {
        "APITimeoutError",  # openai, anthropic, groq, ...
        "ConnectTimeoutError",  # urllib3, botocore
        "PineconeTimeoutError",
        "ReadTimeoutError",
        "ServerTimeoutError",  # aiohttp
        "Timeout",  # requests, litellm
        "TimeoutException",  # httpx, httpcore
    }
)

_CONNECTIONS = frozenset(
    {
        "APIConnectionError",
        "BadStatusLine",  # http.client
        "ChunkedEncodingError",  # requests: the connection broke in the middle of the body
        "ClientConnectionError",  # aiohttp
        "ClientPayloadError",
        "ConnectionClosedError",  # botocore
        "ConnectionError",  # the built-in one, requests
        "EndpointConnectionError",
        "IncompleteRead",  # http.client, urllib3
        "MaxRetryError",  # urllib3
        "NetworkError",  # httpx
        "NewConnectionError",
        "PineconeConnectionError",
        "ProtocolError",  # urllib3; httpx calls by this name what it tells apart below
        "ProxyError",
        "RemoteProtocolError",  # httpx
        "gaierror",  # socket: a name that cannot be looked up
        "herror",
    }
)

_MISTAKES = frozenset({"LocalProtocolError", "UnsupportedProtocol"})
"""httpx's name for requests that cannot be sent at all; they stand below `TransportError` too."""

_NETWORK_DOWN = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPIPE, getattr(errno, "EHOSTDOWN", -1)}
)


def trouble_of(error: BaseException) -> Trouble | None:
    """What kept a request from its answer; None for an exception of another kind."""
    if isinstance(error, TimeoutError):
        return "timeout"
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _MISTAKES:
        return None
    if names & _TIMEOUTS:
        return "timeout"
    if names & _CONNECTIONS:
        return "connection"
    if isinstance(error, OSError):
        return _of_os_error(error)
    return None


def _of_os_error(error: OSError) -> Trouble | None:
    # urllib's URLError carries the real one; for an unknown scheme its reason is a text.
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException) and reason is not error:
        return trouble_of(reason)
    return "connection" if error.errno in _NETWORK_DOWN else None

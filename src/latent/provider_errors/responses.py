"""
A provider's answer, read from whatever carries it: a response, its headers, or an SDK's exception.

By attributes and class names only, so that no SDK is imported: openai, anthropic, httpx, httpx2, requests,
aiohttp, pinecone, urllib, botocore, and others that are built like them.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from latent.provider_errors import body as bodies
from latent.provider_errors.body import message_of
from latent.provider_errors.headers import HeaderLimit, header_limits, retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


RETRIED_STATUSES = frozenset({408, 409, 425, 429})
"""Of the 4xx, those that pass by themselves: timeout, conflict, too early, too many requests."""

MAX_CHAIN = 16
"""Errors that are followed to their causes: no honest chain is longer."""

_THROTTLED = frozenset({"throttling", "throttlingexception", "toomanyrequestsexception", "slowdown"})
"""AWS's codes of what others answer with 429; some of its services send them as 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What a provider answered, or that it did not answer."""

    status: int | None = None
    """The HTTP status; None when there was no answer, or only headers are known."""
    retry_after_seconds: float | None = None
    """How long the provider asks to wait, 0 or more; None when it does not say."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""
    limits: tuple[HeaderLimit, ...] = ()
    quota_exhausted: bool = False
    """The credit or allowance is used up: no further request of this key can succeed."""
    is_of_a_day: bool = False
    """Of a quota that is used up: it is the allowance of a day (or longer), and comes back by itself."""
    is_too_large: bool = False
    """This one request asks for more than its limit ever lets through; smaller ones may pass."""
    message: str = field(default="", repr=False)
    """What the provider says in words; may repeat parts of the request."""
    is_timeout: bool = False
    is_connection_error: bool = False
    """The request got no answer, for another reason than time."""

    @property
    def is_rate_limited(self) -> bool:
        """
        Whether we were too fast: a 429 that passes by itself.

        503 and 529 are not counted, since they tell of the provider's load; see `is_overloaded`.
        """
        return self.status == 429 and not self.quota_exhausted and not self.is_too_large

    @property
    def is_overloaded(self) -> bool:
        """Whether the provider has more load than it can bear (503, and Anthropic's 529)."""
        return self.status in (503, 529)

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        if self.quota_exhausted or self.is_too_large:
            return False
        if self.status is None:
            return self.is_timeout or self.is_connection_error
        return self.status in RETRIED_STATUSES or self.status >= 500

    @property
    def is_refusal(self) -> bool:
        """Whether the same request would be refused again: a mistake in it, no right to it, no money."""
        return self.quota_exhausted or (
            self.status is not None and 400 <= self.status < 500 and not self.is_transient
        )


def answer_of(source: object, *, now: Callable[[], float] = time.time) -> ProviderAnswer | None:
    """
    The provider's answer that an exception, a response or a mapping of headers carries.

    An exception is followed to what it was raised from (`__cause__`, and `original_error` of latent's own).
    Of a group's answers the one counts that forbids most: an exhausted quota, a refusal, the longest wait.

    Args:
        source: Anything; a body that was not read yet is left unread.
        now: The local clock, in Unix seconds.

    Returns:
        None when there is no HTTP answer in it and it does not tell of a lost connection or a timeout.
    """
    if not isinstance(source, BaseException):
        return _of_headers(source, now) if isinstance(source, Mapping) else _of_response(source, None, now)
    trouble = None
    for error in _chain(source):
        answer = _of_group(error, now) if isinstance(error, BaseExceptionGroup) else _of_error(error, now)
        if answer is not None:
            return answer
        trouble = trouble or trouble_of(error)
    if trouble is None:
        return None
    return ProviderAnswer(is_timeout=trouble == "timeout", is_connection_error=trouble == "connection")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from. Not `__context__`: a slip in a handler is another error."""
    link: BaseException | None = error
    for _ in range(MAX_CHAIN):
        if link is None:
            return
        yield link
        original = _attribute(link, "original_error")
        link = original if isinstance(original, BaseException) else link.__cause__


def _of_group(group: BaseExceptionGroup[BaseException], now: Callable[[], float]) -> ProviderAnswer | None:
    answers = [answer for error in group.exceptions if (answer := answer_of(error, now=now)) is not None]
    return max(answers, key=_severity, default=None)


def _severity(answer: ProviderAnswer) -> tuple[bool, bool, float]:
    return answer.quota_exhausted, answer.is_refusal, answer.retry_after_seconds or 0.0


def _of_error(error: BaseException, now: Callable[[], float]) -> ProviderAnswer | None:
    body = _attribute(error, "body")
    response = _attribute(error, "response")
    if isinstance(response, Mapping):
        return _of_aws(response, now)
    for carrier in (response, error):
        if carrier is not None and (answer := _of_response(carrier, body, now)) is not None:
            return answer
    # An error in the middle of a stream: openai gives it a body and no response.
    status = bodies.status_of_type(body)
    return None if status is None else _answer(status, {}, body, now)


def _of_response(response: object, body: Any, now: Callable[[], float]) -> ProviderAnswer | None:
    status = _status(response)
    if status is None:
        return None
    headers = _headers(_attribute(response, "headers"))
    if status < 400:
        # anthropic reports errors in the middle of a stream with the response that began it: a 200.
        status = bodies.status_of_type(body) or status
    elif body is None:
        body = _body(response)
    return _answer(status, headers, body, now)


def _of_headers(source: Mapping[Any, Any], now: Callable[[], float]) -> ProviderAnswer | None:
    """An answer only if the mapping has such headers: results of tasks are mappings too."""
    headers = _headers(source)
    if not any(name.startswith("retry-after") or "ratelimit-" in name for name in headers):
        return None
    return _answer(None, headers, None, now)


def _of_aws(response: Mapping[str, Any], now: Callable[[], float]) -> ProviderAnswer | None:
    """botocore's errors carry the answer as nested mappings."""
    about, error = response.get("ResponseMetadata"), response.get("Error")
    if not isinstance(about, Mapping) or not isinstance(status := about.get("HTTPStatusCode"), int):
        return None
    body = (
        {"code": error.get("Code"), "message": error.get("Message")} if isinstance(error, Mapping) else None
    )
    if body is not None and str(body["code"]).lower() in _THROTTLED:
        status = 429
    return _answer(status, _headers(about.get("HTTPHeaders")), body, now)


def _answer(
    status: int | None, headers: dict[str, str], body: Any, now: Callable[[], float]
) -> ProviderAnswer:
    clock = now()
    is_error = status is not None and status >= 400
    told = headers | bodies.headers_in_body(body) if is_error else headers
    hint = retry_after_seconds(told, clock)
    limits = header_limits(told, clock)
    if is_error and hint is None:
        hint = bodies.hint_in_body(body)
    if status == 429 and hint is None:
        hint = _end_of_window(told, limits)
    return ProviderAnswer(
        status=status,
        retry_after_seconds=hint,
        headers=headers,
        limits=limits,
        quota_exhausted=bodies.is_exhausted(status, body, hint_seconds=hint),
        is_of_a_day=bodies.is_of_a_day(status, body, hint_seconds=hint),
        is_too_large=bodies.is_too_large(status, body),
        message=message_of(body) if is_error else "",
    )


def _end_of_window(headers: Mapping[str, str], limits: tuple[HeaderLimit, ...]) -> float | None:
    """
    When the one window of a limit that is used up ends.

    Only for the plain `x-ratelimit-reset`, which names the end of a window. The resets by kind say when a
    limit that fills up steadily is whole again; there is room for one request long before.
    """
    if "x-ratelimit-reset" not in headers and "ratelimit-reset" not in headers:
        return None
    ends = [
        limit.reset_seconds for limit in limits if limit.remaining == 0 and limit.reset_seconds is not None
    ]
    return max(ends, default=None)


def _status(response: object) -> int | None:
    for name in ("status_code", "status"):
        value = _attribute(response, name)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return int(value)
    return None


def _headers(source: Any) -> dict[str, str]:
    """Names in lower case; of the values only texts, so that any mapping may be tried."""
    try:
        return {
            name.lower(): value
            for name, value in source.items()
            if isinstance(name, str) and isinstance(value, str)
        }
    except Exception:  # a foreign object with an `items` of its own
        return {}


def _body(response: object) -> Any:
    """
    The decoded body, if it was read; None else: reading it here would wait for the network.

    httpx and requests keep it in `_content` and aiohttp in `_body`; what they offer openly reads on demand.
    """
    for name in ("_content", "_body"):
        content = _attribute(response, name)
        if isinstance(content, bytes):
            try:
                return json.loads(content)
            except ValueError:
                return content.decode(errors="replace")
    return None


def _attribute(source: object, name: str) -> Any:
    """An attribute, or None: httpx's `error.request` raises RuntimeError where others have no attribute."""
    try:
        return getattr(source, name, None)
    except Exception:
        return None

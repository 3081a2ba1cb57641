"""Headers of the user's own: keys that a gateway wants, what it goes by, who asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from latent.config.secrets import looks_secret
from latent.errors import ModelSpecError

KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})
"""With one of these the key from the environment is not sent: `api-key` is Azure's."""
_OURS = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "connection"})
"""They say how the body is sent, which is ours to say."""
_WHO_ASKS = frozenset(
    {"user-agent", "x-request-id", "x-correlation-id", "traceparent", "tracestate", "baggage"}
    | {"http-referer", "referer", "x-title"}
)
"""They say who asks and why, which changes no answer: most differ from run to run."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2."""

Headers = tuple[tuple[str, str], ...]
"""Names in lower case, sorted."""


def checked_headers(spec: str, given: Mapping[str, Any] | None) -> Headers:
    """
    The headers in one form.

    Raises:
        ModelSpecError: One cannot be sent, or is not the user's to set. Values, which may be secret, are not
            repeated.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ModelSpecError(spec, f"`headers` is a mapping of names and values, not {type(given).__name__}.")
    found: dict[str, str] = {}
    for name, value in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ModelSpecError(spec, f"`headers` has the name {name!r}, which no header can have.")
        if not isinstance(value, str):
            raise ModelSpecError(
                spec, f"the header {name!r} must be a string, not of type {type(value).__name__}."
            )
        value = value.strip()  # keys that are read from files end with a line feed
        if not value.isprintable() or not value.isascii():
            reason = f"the header {name!r} holds a line feed or another character that no header can hold."
            raise ModelSpecError(spec, reason)
        if name.lower() in _OURS:
            raise ModelSpecError(spec, f"the header {name!r} is set by latent.")
        found[name.lower()] = value
    return tuple(sorted(found.items()))


def key_header(headers: Headers) -> str | None:
    """The name of the header that carries a key of the user's own; None without one."""
    return next((name for name, _ in headers if name in KEY_HEADERS), None)


def secrets_of(headers: Headers) -> list[str]:
    """The values that are to be seen by nobody: those of headers whose names say so."""
    return [value for name, value in headers if _is_secret(name) and value]


def identity_of(headers: Headers) -> dict[str, str]:
    """
    What of them can change an answer, say where a gateway goes, by their names; hashed, never shown.

    Not keys, which decide whether there is an answer and not which, nor what says who asks.
    """
    return {
        name: sha256(value.encode()).hexdigest()[:16]
        for name, value in headers
        if not _is_secret(name) and name not in _WHO_ASKS
    }


def _is_secret(name: str) -> bool:
    return name in KEY_HEADERS or looks_secret(name)

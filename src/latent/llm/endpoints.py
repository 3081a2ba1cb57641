"""Where a model is called: from `provider:name` to an address, a dialect and a key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from math import inf
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from latent.errors import MissingKeyError, ModelSpecError
from latent.errors.text import nearest
from latent.llm.headers import Headers, checked_headers, key_header, secrets_of

Dialect = Literal["anthropic", "openai", "openai-responses"]
"""Whose API is spoken: Anthropic's messages, OpenAI's chat completions (as by many others), its responses."""

LOCAL = "local"
"""The provider of models that run in this process."""

ANTHROPIC_VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class _Provider:
    dialect: Dialect
    base_url: str
    base_url_variable: str
    key_variable: str


_PROVIDERS = {
    "anthropic": _Provider(
        "anthropic", "https://api.anthropic.com", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"
    ),
    "openai": _Provider("openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "openai-responses": _Provider(
        "openai-responses", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"
    ),
}
PROVIDERS = (*_PROVIDERS, LOCAL)
"""Providers that need no `base_url`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One model at one address."""

    provider: str
    model: str
    """Its name as the provider knows it."""
    dialect: Dialect
    base_url: str = field(repr=False)
    """Without a slash at its path's end; empty for a local model. May hold credentials: `place` is shown."""
    key_variable: str
    """The environment variable that holds the key."""
    needs_key: bool
    given_key: str | None = field(default=None, repr=False)
    """What `api_key=` said; None: the environment decides, at each call."""
    own_headers: Headers = field(default=(), repr=False)
    """What `headers=` said; keys may be among them."""

    @property
    def spec(self) -> str:
        """`provider:model`, as messages and accounts name it."""
        return f"{self.provider}:{self.model}"

    @property
    def is_usual(self) -> bool:
        """Whether it is where the provider itself answers: neither code nor environment leads elsewhere."""
        known = _PROVIDERS.get(self.provider)
        return known is not None and self.base_url == known.base_url

    @property
    def place(self) -> str:
        """The address without credentials: what may be shown, hashed and remembered."""
        return shown_url(self.base_url) if self.base_url else "in this process"

    @property
    def identity(self) -> str:
        """The place, told apart from others by its query too: as a hash, since there may be a key in it."""
        query = urlsplit(self.base_url).query
        return f"{self.place}?{sha256(query.encode()).hexdigest()[:16]}" if query else self.place

    def address(self, path: str) -> str:
        """Where requests for a path below `base_url` go; starts a local model's server, the first time."""
        base_url = self.base_url
        if not base_url:
            from latent.llm.local.server import base_url_of

            base_url = base_url_of(self.spec).rstrip("/")
        parts = urlsplit(base_url)
        return urlunsplit(parts._replace(path=parts.path + path))

    def key(self) -> str | None:
        """
        The key for a call; None where a server of one's own wants none.

        Raises:
            MissingKeyError: The provider wants one, and neither `api_key=` nor the environment has it.
            ModelSpecError: It has a character that no key has and no request can hold.
        """
        given = (self.given_key or "").strip()
        # Keys that are read from files end with a line feed.
        key = given or ("" if self.brings_key else os.environ.get(self.key_variable, "").strip())
        if not key and self.needs_key:
            raise MissingKeyError(self.spec, self.key_variable)
        if not key.isprintable():
            source = "api_key=" if given else self.key_variable
            reason = f"the key in {source} holds a line feed or another control character: set it again."
            raise ModelSpecError(self.spec, reason)
        return key or None

    @property
    def brings_key(self) -> bool:
        """Whether a header of the user's own holds the key, so that the environment's is not sent."""
        return bool(self.own_headers) and key_header(self.own_headers) is not None

    @property
    def key_source(self) -> str:
        """Where the key of a call comes from: what to look at where it is refused."""
        if self.given_key:
            return "api_key="
        name = key_header(self.own_headers)
        return self.key_variable if name is None else f"the header {name!r}"

    @property
    def secrets(self) -> list[str]:
        """What a call sends that nobody is to see."""
        key = self.key()
        return ([key] if key else []) + secrets_of(self.own_headers)

    def headers(self) -> dict[str, str]:
        """What a call sends beside its body, names in lower case; holds the key."""
        return self._headers() | dict(self.own_headers) if self.own_headers else self._headers()

    def _headers(self) -> dict[str, str]:
        key = self.key()
        if self.dialect == "anthropic":
            return {"anthropic-version": ANTHROPIC_VERSION} | ({} if key is None else {"x-api-key": key})
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        for variable, name in _OPENAI_HEADERS.items():
            if self.provider.startswith("openai") and (value := os.environ.get(variable, "").strip()):
                headers[name] = value
        return headers


_OPENAI_HEADERS = {"OPENAI_ORG_ID": "openai-organization", "OPENAI_PROJECT_ID": "openai-project"}


def endpoint_of(
    spec: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Endpoint:
    """
    Where the model `spec` is called.

    Args:
        spec: `provider:model`. With a `base_url`, any provider that speaks OpenAI's chat API: the name before
            the colon then only says whose it is, and where its key stands (`GROQ_API_KEY` for `groq`).

    Raises:
        ModelSpecError: It names no provider, or one that is not known and has no `base_url`.
    """
    provider, model = _parts(spec)
    if api_key is not None and not isinstance(api_key, str):
        raise ModelSpecError(spec, f"`api_key` must be a string, not of type {type(api_key).__name__}.")
    known = _PROVIDERS.get(provider)
    is_local = provider == LOCAL and base_url is None
    if base_url is None and known is None and not is_local:
        near = nearest(provider, PROVIDERS)
        hint = f"did you mean {near + ':' + model!r}? " if near else ""
        raise ModelSpecError(
            spec,
            f"there is no provider {provider!r} (known: {', '.join(PROVIDERS)}): {hint}"
            "Any other that speaks OpenAI's API is reached by base_url=.",
        )
    own_headers = checked_headers(spec, headers)
    endpoint = Endpoint(
        provider=provider,
        model=model,
        dialect=known.dialect if known else "openai",
        base_url="" if is_local else _checked_url(spec, base_url or _usual_url(known)),
        key_variable=known.key_variable if known else f"{_variable(provider)}_API_KEY",
        needs_key=base_url is None and not is_local and key_header(own_headers) is None,
        given_key=api_key,
        own_headers=own_headers,
    )
    _check_credentials(endpoint)
    return endpoint


def check_seconds(spec: str, name: str, value: object) -> None:
    """
    Check how long a request may take.

    Raises:
        ModelSpecError: It is not a number above 0.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < inf:  # type: ignore[operator]  # a number, as just seen
        raise ModelSpecError(spec, f"`{name}` is a number of seconds above 0, not {value!r}.")


def shown_url(url: str) -> str:
    """An address without the user and password, and without the query, that it may hold."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@lru_cache(maxsize=256)
def is_loopback(url: str) -> bool:
    """Whether an address is on this machine: nothing that is sent there is for a proxy to see."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _parts(spec: str) -> tuple[str, str]:
    if not isinstance(spec, str):
        raise ModelSpecError(str(spec), "a model is named by a text: 'provider:model'.")
    provider, colon, model = spec.strip().partition(":")
    if not colon or not provider or not model:
        raise ModelSpecError(
            spec, f"write 'provider:model', say 'openai:gpt-5-mini' (providers: {', '.join(PROVIDERS)})."
        )
    return provider.lower(), model


def _usual_url(provider: _Provider | None) -> str:
    assert provider is not None, "only known providers have an address of their own"
    return os.environ.get(provider.base_url_variable) or provider.base_url


def _checked_url(spec: str, url: object) -> str:
    """The address, if requests can be sent there. Parts of it that may be a password are not repeated."""
    if not isinstance(url, str):
        raise ModelSpecError(spec, f"its base_url must be a string, not of type {type(url).__name__}.")
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        # What a name is looked up by: two dots in a row and the like have none.
        is_host = bool(host.encode("idna")) and not any(each.isspace() for each in host) and port != 0
    except ValueError:
        is_host = False
    else:
        if parts.scheme not in ("http", "https") or not parts.netloc:
            shown = url.rpartition("@")[2].partition("?")[0]
            raise ModelSpecError(
                spec,
                f"its base_url {shown!r} is not an address: it begins with http:// or https://, say "
                "http://localhost:11434/v1.",
            )
    if not is_host:
        raise ModelSpecError(
            spec,
            "its base_url has no host and port that can be asked, say http://localhost:11434/v1. In a "
            "password, characters such as / and # are written as %2F and %23.",
        )
    return urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment=""))


def _check_credentials(endpoint: Endpoint) -> None:
    """A user in the address and a key would both be the one header that says who asks."""
    if urlsplit(endpoint.base_url).username is None:
        return
    sends_key = endpoint.given_key or (not endpoint.brings_key and os.environ.get(endpoint.key_variable))
    is_same_header = endpoint.dialect != "anthropic" and bool(sends_key)
    if is_same_header or "authorization" in dict(endpoint.own_headers):
        reason = (
            f"its base_url holds a user, and {endpoint.key_source} a key: only one of them can be sent. "
            "Leave out one."
        )
        raise ModelSpecError(endpoint.spec, reason)


def _variable(provider: str) -> str:
    """A provider's name as the beginning of an environment variable's."""
    return "".join(letter if letter.isalnum() else "_" for letter in provider).upper()

"""
Masking: credentials are replaced by `***` wherever a value leaves the process's memory.

By value, for what `credentials.yaml` and secret-looking environment variables hold; by key name, for
mappings; and by shape, for keys and tokens that nobody declared.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from latent.config.stamps import stamp
from latent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from latent.config.workspace import Workspace

MASK = "***"
SHORTEST_SECRET = 6
"""Shorter values are not masked by value: they would be found inside ordinary words."""

_SECRET_WORDS = frozenset(
    {"apikey", "auth", "authorization", "cookie", "credential", "credentials", "passphrase", "passwd"}
    | {"password", "pat", "pwd", "secret", "secrets", "token"}
)
# "max_tokens" holds the plural; with one of these behind it, "token" names a measure, too.
_TOKEN_MEASURES = frozenset({"budget", "count", "id", "ids", "index", "length", "limit", "type", "usage"})
# A `*_key` is a secret unless it is the key of a table, a mapping or a cache.
_HARMLESS_KEYS = frozenset(
    {"cache", "cmp", "column", "dataset", "dict", "foreign", "group", "index", "join", "natural", "object"}
    | {"partition", "primary", "public", "row", "sort", "storage", "unique"}
)
_KEYRINGS = frozenset({"access", "api", "auth", "private", "secret", "signing"})
# Beside the secrets of credentials.yaml stand names and places that logs need to be readable.
_HARMLESS_CREDENTIALS = frozenset(
    {"account_name", "anon", "database", "dbname", "driver", "endpoint", "endpoint_url", "host", "hostname"}
    | {"key_file", "port", "project", "region", "region_name", "schema", "user", "username"}
)
# A variable like GOOGLE_CREDENTIALS_FILE or SSH_AUTH_SOCK says where a secret lies, not what it is.
_PLACES = frozenset({"dir", "file", "home", "path", "sock", "socket", "type", "url"})

_SHAPES = re.compile(
    r"""
    \b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}                                  # OpenAI, Anthropic and alike
    | \b(?:gh[pousr]_|github_pat_|glpat-|xox[abposr]-|hf_|pcsk_|dapi|AIza|ya29\.)[A-Za-z0-9_-]{16,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                                    # AWS access keys
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*        # JSON web tokens
    | (?<=[Bb]earer\ )[A-Za-z0-9._~+/=-]{8,}
    | (?<=[Bb]asic\ )[A-Za-z0-9+/=]{12,}
    | (?<=://)[^\s/:@]*:[^\s/@]+(?=@)                                  # user:password@host
    | (?P<kept>(?i:[?&](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig
        |(?:access_)?token|api_?key)=))[^\s&"'<>]{6,}                  # signed URLs
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
# Most texts hold none of these; looking for them costs a tenth of running the pattern.
_SHAPE_SIGNS = (
    *("sk-", "pk-", "rk-", "gh", "glpat-", "xox", "hf_", "pcsk_", "dapi", "AIza", "ya29."),
    *("AKIA", "ASIA", "eyJ", "earer ", "asic ", "://", "PRIVATE KEY"),
)


class Masker:
    """Replaces secrets in texts and data; safe to share between threads."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets`: values that must not leave the process, beside what names and shapes give away."""
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        # Longest first: a secret that contains another must not be left with a readable rest.
        self._secrets = tuple(sorted(spellings, key=len, reverse=True))

    def text(self, text: str) -> str:
        """`text` with `***` in place of every known secret and of whatever has the shape of one."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        if any(sign in text for sign in _SHAPE_SIGNS):
            text = _SHAPES.sub(rf"\g<kept>{MASK}", text)
        return text

    def data(self, value: Any) -> Any:
        """
        `value` with the strings in it masked, and whatever stands under a key that names a secret.

        Mappings, lists, tuples and sets are searched; other objects are returned as they are, and so is
        every part that holds no secret, without a copy.
        """
        return self._data(value, frozenset())

    def _data(self, value: Any, outer: frozenset[int]) -> Any:
        if isinstance(value, str):
            masked = self.text(value)
            return value if masked == value else masked
        if isinstance(value, bytes):
            return self._bytes(value)
        if not isinstance(value, (Mapping, list, tuple, set, frozenset)) or id(value) in outer:
            return value
        outer = outer | {id(value)}  # a list that holds itself is searched once
        if isinstance(value, Mapping):
            return self._mapping(value, outer)
        parts = [self._data(part, outer) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return parts if isinstance(value, list) else _rebuilt(value, parts)

    def _mapping(self, value: Mapping[Any, Any], outer: frozenset[int]) -> Any:
        masked = {
            key: _hidden(part) if isinstance(key, str) and looks_secret(key) else self._data(part, outer)
            for key, part in value.items()
        }
        return value if all(masked[key] is part for key, part in value.items()) else masked

    def _bytes(self, value: bytes) -> bytes:
        text = value.decode("utf-8", "surrogateescape")
        masked = self.text(text)
        return value if masked == text else masked.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether a key called `name` is likely to hold a secret: `api_key` does, `max_tokens` does not."""
    words = _words(name)
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if word in _SECRET_WORDS and following not in _TOKEN_MEASURES:
            return True
    if len(words) > 1 and "key" in words[1:]:
        return words[words.index("key", 1) - 1] not in _HARMLESS_KEYS
    return len(words) > 1 and words[-1] == "keys" and words[-2] in _KEYRINGS


def masker_for(workspace: Workspace) -> Masker:
    """The masker that knows the workspace's credentials; made again when they or the environment change."""
    secrets = (*_from_environment(os.environ), *_learned.get(workspace.root, ()))
    signature = (secrets, stamp(workspace.credentials_file))
    with _known_lock:
        known = _known.get(workspace.root)
        if known is None or known[0] != signature:
            masker = Masker([*secrets, *_from_credentials(workspace)])
            known = _known[workspace.root] = (signature, masker)
        return known[1]


def learn_secrets(workspace: Workspace, data: Mapping[str, Any]) -> None:
    """Mask from now on, wherever they stand, the texts under secret-looking keys of `data`."""
    found = {text for text in _under_secret_keys(data) if len(text.strip()) >= SHORTEST_SECRET}
    with _known_lock:
        _learned.setdefault(workspace.root, {}).update(dict.fromkeys(sorted(found)))


_learned: dict[Path, dict[str, None]] = {}
_known: dict[Path, tuple[object, Masker]] = {}
_known_lock = Lock()


def _words(name: str) -> list[str]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", snake.lower()) if word]


def _spellings(secret: str) -> Iterator[str]:
    """How a secret may be written down: plain, in a URL, in JSON, and line by line."""
    if len(secret.strip()) < SHORTEST_SECRET:
        return
    yield secret.strip()
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    lines = secret.splitlines()
    yield from (line for line in lines if len(lines) > 1 and len(line) >= 16)


def _hidden(value: Any) -> Any:
    """Only text can be a secret; a number, a flag or nothing under such a key tells more than it hides."""
    if isinstance(value, (str, bytes)):
        return MASK if value else value
    if isinstance(value, Mapping):
        return {key: _hidden(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_hidden(part) for part in value]
    return value


def _rebuilt(value: Any, parts: list[Any]) -> Any:
    # A named tuple takes its fields one by one.
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


_WORKING_FOLDERS = ("PWD", "OLDPWD")
"""Shells keep the current and the last folder under what elsewhere abbreviates `password`."""


def _from_environment(environ: Mapping[str, str]) -> Iterator[str]:
    for name in environ:  # values are decoded when asked for, so ask for few
        if looks_secret(name) and _words(name)[-1] not in _PLACES and name not in _WORKING_FOLDERS:
            yield environ[name]


def _under_secret_keys(value: Any, secret: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _under_secret_keys(part, secret or (isinstance(key, str) and looks_secret(key)))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _under_secret_keys(part, secret)
    elif secret and isinstance(value, str):
        yield value


def _from_credentials(workspace: Workspace) -> Iterator[str]:
    from latent.config.yaml_files import load_yaml

    try:
        credentials = load_yaml(workspace.credentials_file, workspace.label(workspace.credentials_file))
    except ConfigError:
        # The code that needs the credentials gets the error; a log line must not fail over them.
        return
    yield from _leaves(credentials, "")


def _leaves(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner, part in value.items():
            yield from _leaves(part, str(inner))
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, key)
    elif isinstance(value, str) and key.lower() not in _HARMLESS_CREDENTIALS:
        yield value

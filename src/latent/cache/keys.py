"""Keys: which entry a call asks for, and the named parts that explain a miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latent.cache.hashing import Fallback, stable_hash, stable_hashes
from latent.errors import UnhashableError

try:
    # CPython's own: for texts as short as these, OpenSSL's takes nearly three times as long to set up.
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    from hashlib import md5


def argument_hashes(arguments: Mapping[str, Any], fallback: Fallback | None = None) -> dict[str, str]:
    """
    The stable hash of each argument by name: the named parts of a key.

    Raises:
        UnhashableError: An argument has no stable hash; the path begins with its name.
    """
    hashes = {}
    for name, value in arguments.items():
        try:
            hashes[name] = stable_hash(value, fallback)
        except UnhashableError as error:
            raise UnhashableError(name + error.path, error.kind, error.reason) from error.__cause__
    return hashes


def row_key(task_name: str, arguments: Mapping[str, Any], fallback: Fallback | None = None) -> str:
    """
    The key of a call without input datasets: md5(task_name + stable_hash(arg_1) + ...).

    Raises:
        UnhashableError: An argument has no stable hash.
    """
    return key_of_parts(task_name, argument_hashes(arguments, fallback))


def file_key(
    fingerprints: Sequence[str],
    task_signature: str,
    arguments: Mapping[str, Any],
    fallback: Fallback | None = None,
) -> str:
    """
    The key of a call on datasets: md5(fingerprint_1 + ... + task_signature + the other arguments).

    Raises:
        UnhashableError: An argument has no stable hash.
    """
    return file_key_of_parts(fingerprints, task_signature, argument_hashes(arguments, fallback))


def file_key_of_parts(fingerprints: Sequence[str], task_signature: str, parts: Mapping[str, str]) -> str:
    """The file-based key from argument hashes that are known already."""
    return _md5([*fingerprints, task_signature, *_named(parts)])


def key_of_parts(task_name: str, parts: Mapping[str, str]) -> str:
    """The row-level key from argument hashes that are known already."""
    return _md5([task_name, *_named(parts)])


def _named(parts: Mapping[str, str]) -> list[str]:
    # With their names, since f(a=1) and f(b=1) are two calls; sorted, since keywords have no order.
    return [f"{name}={parts[name]}" for name in sorted(parts)]


def _md5(parts: list[str]) -> str:
    # The separator keeps a name's end and the next part's beginning apart.
    return _hexdigest("\0".join(parts))


def _hexdigest(text: str) -> str:
    digest: str = md5(text.encode(), usedforsecurity=False).hexdigest()
    return digest


class RowKeys:
    """
    The keys of many calls of one task that differ in some of their arguments: `key_of_parts`, in bulk.

    Args:
        names: The arguments that differ from call to call.
        shared: Hashes of those that all calls have in common, by name.
    """

    def __init__(self, task_name: str, names: Sequence[str], shared: Mapping[str, str]) -> None:
        self._names, self._shared = tuple(names), dict(shared)
        holes = {name: f"{{{place}}}" for place, name in enumerate(names)}
        known = {name: _literal(text) for name, text in shared.items()}
        self._text = "\0".join(
            [_literal(task_name), *_named({_literal(n): h for n, h in (known | holes).items()})]
        )

    def key(self, values: Sequence[Any], fallback: Fallback | None = None) -> tuple[str, dict[str, str]]:
        """
        The key of one call, and the hash of each of its arguments by name.

        Args:
            values: The arguments that differ, in the order of their names.

        Raises:
            UnhashableError: An argument has no stable hash.
        """
        hashes = [stable_hash(value, fallback) for value in values]
        return _hexdigest(self._text.format(*hashes)), self.parts(hashes)

    def keys(self, columns: Sequence[Sequence[Any]], fallback: Fallback | None = None) -> KeyTable:
        """
        What `key` gives for each row, of all rows at once.

        Args:
            columns: For each argument that differs, in the order of their names, its value in each row.

        Raises:
            UnhashableError: An argument of some row has no stable hash.
        """
        hashes = [stable_hashes(column, fallback) for column in columns]
        texts = map(self._text.format, *hashes)
        return KeyTable([_hexdigest(text) for text in texts], hashes, self)

    def parts(self, hashes: Sequence[str]) -> dict[str, str]:
        """The hash of each argument by name, from those of the arguments that differ."""
        return {**self._shared, **dict(zip(self._names, hashes, strict=True))}


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The keys of many calls; their parts are put together only for those that are asked for."""

    keys: list[str]
    _hashes: list[list[str]]
    _maker: RowKeys

    def parts(self, place: int) -> dict[str, str]:
        """The hash of each argument by name, of the call at this place."""
        return self._maker.parts([column[place] for column in self._hashes])


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")

"""Values as bytes and back, exactly and without pickle: what comes back is what went in, types included."""

from __future__ import annotations

import pickle
import struct
from contextlib import suppress
from typing import Any

import orjson

from latent.errors import CacheError, UnstorableError


class DamagedValueError(CacheError):
    """Bytes that no codec of ours wrote, or not all of those it wrote."""


class UnreadableValueError(CacheError):
    """Sound bytes that cannot be read here: their class is gone or has changed, or they are a pickle."""


def encode(value: object, *, allow_pickle: bool = False) -> tuple[str, bytes]:
    """
    The name of a codec and the bytes from which it restores `value` exactly.

    Plain JSON values stay readable JSON; everything else is JSON with marks for the types and the raw bytes
    of arrays and frames behind it.

    Raises:
        UnstorableError: Something in `value` would not come back as it was.
    """
    try:
        if _is_plain(value):
            with suppress(orjson.JSONEncodeError):  # integers over 64 bits and lone surrogates
                return "json", orjson.dumps(value)
        from latent.cache.trees import to_tree  # plain JSON does without it

        attachments: list[bytes] = []
        tree = to_tree(value, attachments)
        return "tree", _join([orjson.dumps(tree), *attachments])
    except (UnstorableError, RecursionError, orjson.JSONEncodeError) as error:
        if allow_pickle:
            return "pickle", _pickled(value)
        if isinstance(error, UnstorableError):
            raise
        reason = "it contains itself or is nested too deeply"
        raise UnstorableError("", type(value).__name__, reason) from None


def decode(codec: str, data: bytes, *, allow_pickle: bool = False) -> Any:
    """
    The value that `encode` was given.

    Raises:
        DamagedValueError: The bytes are not what `encode` returned.
        UnreadableValueError: The value needs a class that is gone or has changed, or a pickle is not allowed.
    """
    if codec == "pickle" and not allow_pickle:
        raise UnreadableValueError("It is a pickle, which the setting cache.allow_pickle forbids to read.")
    try:
        if codec == "json":
            return orjson.loads(data)
        if codec == "tree":
            from latent.cache.trees import from_tree

            tree, *attachments = _split(data)
            return from_tree(orjson.loads(tree), attachments)
        if codec == "pickle":
            return pickle.loads(data)  # noqa: S301  # only when the workspace's settings allow it
    except UnreadableValueError:
        raise
    except Exception as error:
        # Foreign bytes can break any library in any way; whatever it is, the entry is of no use.
        raise DamagedValueError(f"{type(error).__name__}: {error}") from error
    raise DamagedValueError(f"there is no codec {codec!r}")


def _is_plain(value: Any) -> bool:
    """Whether orjson restores the value exactly: exact JSON types throughout and finite numbers."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return bool(value - value == 0.0)  # NaN and infinity differ
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or (type(item) is not str and not _is_plain(item)):
                return False
        return True
    return kind is list and all(map(_is_plain, value))


def _pickled(value: object) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:  # a class's own __reduce__ may raise anything
        raise UnstorableError("", type(value).__name__, f"pickle says: {error}") from error


def _join(segments: list[bytes]) -> bytes:
    lengths = struct.pack(f"<I{len(segments)}Q", len(segments), *map(len, segments))
    return b"".join([lengths, *segments])


def _split(data: bytes) -> list[bytes]:
    (count,) = struct.unpack_from("<I", data)
    lengths = struct.unpack_from(f"<{count}Q", data, 4)
    segments, start = [], 4 + 8 * count
    for length in lengths:
        segments.append(data[start : start + length])
        start += length
    if start != len(data):
        raise ValueError(f"{len(data)} bytes where {start} were written")
    return segments

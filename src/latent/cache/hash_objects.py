"""Hashes of objects with fields, and the choice of an encoder for the classes of other libraries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from latent.cache.classes import class_name
from latent.cache.hashing import Encoder, Fallback, encode, encode_fields, encode_mapping, tagged, text

_ARRAY_LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "polars"})
_UNKNOWN: Any = object()

_chosen: WeakKeyDictionary[type, Encoder | None] = WeakKeyDictionary()


def find_encoder(cls: type) -> Encoder | None:
    """The encoder for instances of `cls`; None when nothing is known about such a class."""
    encoder = _chosen.get(cls, _UNKNOWN)
    if encoder is _UNKNOWN:
        encoder = _chosen[cls] = _choose(cls)
    return encoder  # type: ignore[no-any-return]  # the marker is of type Any


def _choose(cls: type) -> Encoder | None:
    for base in cls.__mro__:
        library = base.__module__.partition(".")[0]
        encoders = _BY_CLASS
        if library in _ARRAY_LIBRARIES:
            # Whoever has such a value has loaded its library already.
            encoders = import_module("latent.cache.hash_arrays").ENCODERS
        if encoder := encoders.get((library, base.__name__)):
            return encoder
    if dataclasses.is_dataclass(cls):
        return _encode_dataclass
    return _encode_attrs if hasattr(cls, "__attrs_attrs__") else None


def _encode_dataclass(value: Any, fallback: Fallback | None) -> bytes:
    names = [field.name for field in dataclasses.fields(value)]
    return _named(b"dataclass", value) + encode_fields(b"o", _present(value, names), fallback)


def _encode_attrs(value: Any, fallback: Fallback | None) -> bytes:
    names = [field.name for field in type(value).__attrs_attrs__]
    return _named(b"attrs", value) + encode_fields(b"o", _present(value, names), fallback)


def _encode_model(value: Any, fallback: Fallback | None) -> bytes:
    extra = value.__pydantic_extra__ or {}
    private = value.__pydantic_private__ or {}
    fields = [*sorted(value.__dict__.items()), *sorted(extra.items()), *sorted(private.items())]
    return _named(b"model", value) + encode_fields(b"o", fields, fallback)


def _encode_secret(value: Any, fallback: Fallback | None) -> bytes:
    return _named(b"secret", value) + encode(value.get_secret_value(), fallback)


def _encode_namespace(value: Any, fallback: Fallback | None) -> bytes:
    return _named(b"namespace", value) + encode_fields(b"o", sorted(vars(value).items()), fallback)


def _encode_defaultdict(value: Any, fallback: Fallback | None) -> bytes:
    factory = value.default_factory
    # What an absent key yields is part of the value: `int` and `list` behave differently.
    known = class_name(factory) if isinstance(factory, type) else factory
    return b"defaultdict" + encode(known, fallback) + encode_mapping(b"d", value, fallback)


def _encode_by_text(value: Any, fallback: Fallback | None) -> bytes:
    return _named(b"text", value) + text(str(value))


def _named(tag: bytes, value: object) -> bytes:
    return tagged(tag, class_name(type(value)).encode())


def _present(value: object, names: list[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        # A field with init=False may not have been set yet.
        item = getattr(value, name, _UNKNOWN)
        if item is not _UNKNOWN:
            yield name, item


_BY_CLASS: dict[tuple[str, str], Encoder] = {
    ("pydantic", "BaseModel"): _encode_model,
    ("pydantic", "_SecretBase"): _encode_secret,
    ("pydantic", "_BaseUrl"): _encode_by_text,
    ("pydantic", "_BaseMultiHostUrl"): _encode_by_text,
    ("pydantic_core", "Url"): _encode_by_text,
    ("pydantic_core", "MultiHostUrl"): _encode_by_text,
    ("types", "SimpleNamespace"): _encode_namespace,
    ("collections", "defaultdict"): _encode_defaultdict,
    ("builtins", "mappingproxy"): lambda value, fallback: b"proxy" + encode_mapping(b"d", value, fallback),
    ("datetime", "timezone"): _encode_by_text,
    ("zoneinfo", "ZoneInfo"): _encode_by_text,
    ("ipaddress", "_IPAddressBase"): _encode_by_text,
}

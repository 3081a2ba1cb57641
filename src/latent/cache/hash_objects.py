"""Hashes of objects with fields, and the choice of an encoder for the classes of other libraries."""

from __future__ import annotations

import dataclasses
from collections import UserDict
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from latent.cache.classes import attributes_of, caches_of, class_name
from latent.cache.code_origin import module_is_own
from latent.cache.hashing import (
    Encoder,
    Fallback,
    builtin_encoder,
    encode,
    encode_fields,
    encode_mapping,
    note_class,
    tagged,
    text,
)
from latent.cache.later import is_later

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
            internal = _INTERNAL.get((library, base.__name__))
            return encoder if internal is None else _and_beside(encoder, internal)
    if hasattr(cls, "__pydantic_private__"):
        return _model_encoder(cls)
    if dataclasses.is_dataclass(cls):
        later = {field.name: field.default for field in dataclasses.fields(cls) if is_later(field)}
        return _fields_encoder(b"dataclass", cls, [field.name for field in dataclasses.fields(cls)], later)
    if hasattr(cls, "__attrs_attrs__"):
        return _fields_encoder(b"attrs", cls, [field.name for field in cls.__attrs_attrs__])
    return None


def _fields_encoder(
    tag: bytes, cls: type, names: list[str], later: Mapping[str, Any] = MappingProxyType({})
) -> Encoder:
    """
    For objects that are their fields, the builtin that they extend, and whatever else was set on them.

    Args:
        later: Fields that count only where they hold something else than this: see `latent.cache.later`.
    """
    known = frozenset(names) | caches_of(cls)
    head, builtin = tagged(tag, class_name(cls).encode()), builtin_encoder(cls)

    def encode_object(value: Any, fallback: Fallback | None) -> bytes:
        present = _present(value, names)
        if later:
            present = ((name, item) for name, item in present if name not in later or item is not later[name])
        content = head + encode_fields(b"o", present, fallback)
        if beside := list(attributes_of(value, known)):
            # What has no hash among these (a client, a lock) counts by its class: the fields say what it is.
            content += b"beside" + encode_fields(b"o", beside, _or_class(fallback))
        return content if builtin is None else content + builtin(value, fallback)

    return encode_object


def _or_class(fallback: Fallback | None) -> Fallback:
    def identify(value: Any) -> str:
        known = None if fallback is None else fallback(value)
        return class_name(type(value)) if known is None else known

    return identify


def encode_other_mapping(value: Mapping[Any, Any], fallback: Fallback | None) -> bytes:
    """A mapping that is no dict: its pairs, and what else a class of the user's keeps on it."""
    content = encode_mapping(b"map" + text(class_name(type(value))), value, fallback)
    if not module_is_own(type(value).__module__):
        return content  # a library's own attributes are how it keeps the pairs
    beside = list(attributes_of(value, frozenset({"data"} if isinstance(value, UserDict) else ())))
    return content + b"beside" + encode_fields(b"o", beside, _or_class(fallback)) if beside else content


def _and_beside(encoder: Encoder, internal: frozenset[str]) -> Encoder:
    """For containers of libraries, and classes that extend them: what else was set on them counts too."""

    def encode_object(value: Any, fallback: Fallback | None) -> bytes:
        content = encoder(value, fallback)
        beside = list(attributes_of(value, internal))
        return content + b"beside" + encode_fields(b"o", beside, fallback) if beside else content

    return encode_object


def _model_encoder(cls: Any) -> Encoder:
    head, caches = tagged(b"model", class_name(cls).encode()), caches_of(cls)

    def encode_object(value: Any, fallback: Fallback | None) -> bytes:
        own = value.__dict__
        if not caches.isdisjoint(own):
            own = {name: item for name, item in own.items() if name not in caches}
        extra = value.__pydantic_extra__ or {}
        private = value.__pydantic_private__ or {}
        fields = [*sorted(own.items()), *sorted(extra.items()), *sorted(private.items())]
        content = head + encode_fields(b"o", fields, fallback)
        if len(was_set := value.__pydantic_fields_set__) != len(own) + len(extra):
            # `model_dump(exclude_unset=True)` tells what was given from what is a default.
            content += b"set" + text(",".join(sorted(was_set)))
        return content

    return encode_object


def _encode_secret(value: Any, fallback: Fallback | None) -> bytes:
    return _named(b"secret", value) + encode(value.get_secret_value(), fallback)


def _encode_namespace(value: Any, fallback: Fallback | None) -> bytes:
    return _named(b"namespace", value) + encode_fields(b"o", sorted(vars(value).items()), fallback)


def _encode_defaultdict(value: Any, fallback: Fallback | None) -> bytes:
    factory = value.default_factory
    # What an absent key yields is part of the value: `int` and `list` behave differently.
    known = factory
    if isinstance(factory, type):
        note_class(factory, fallback)
        known = class_name(factory)
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
    ("pydantic", "_SecretBase"): _encode_secret,
    ("pydantic", "_BaseUrl"): _encode_by_text,
    ("pydantic", "_BaseMultiHostUrl"): _encode_by_text,
    ("pydantic_core", "Url"): _encode_by_text,
    ("pydantic_core", "MultiHostUrl"): _encode_by_text,
    ("types", "SimpleNamespace"): _encode_namespace,
    ("collections", "defaultdict"): _encode_defaultdict,
    ("collections", "ChainMap"): lambda value, fallback: b"chain" + encode(value.maps, fallback),
    ("builtins", "mappingproxy"): lambda value, fallback: b"proxy" + encode_mapping(b"d", value, fallback),
    ("datetime", "timezone"): _encode_by_text,
    ("zoneinfo", "ZoneInfo"): _encode_by_text,
    ("ipaddress", "_IPAddressBase"): _encode_by_text,
}

_FRAME = frozenset({"_mgr", "_attrs", "_flags", "_name", "_cache", "_item_cache", "_cacher", "_is_copy"})
_INTERNAL: dict[tuple[str, str], frozenset[str]] = {
    ("collections", "defaultdict"): frozenset(),
    ("numpy", "ndarray"): frozenset(
        [
            "_mask",
            "_fill_value",
            "_hardmask",
            "_sharedmask",
            "_isfield",
            "_basedict",
            "_optinfo",
            "_baseclass",
        ]
    ),
    ("pandas", "DataFrame"): _FRAME | {"plot", "sparse"},
    ("pandas", "Series"): _FRAME | {"cat", "dt", "list", "plot", "sparse", "str", "struct"},
}
"""Where attributes may be set beside the content; the library's own are its content, or say nothing."""

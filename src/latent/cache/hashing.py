"""Hashes that are the same in every process and tell types apart: `1`, `"1"`, `1.0` and `True` differ."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import re
import struct
from collections import UserDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from pathlib import PurePath
from types import MappingProxyType
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import xxhash

from latent.cache.classes import attributes_of, caches_of, class_name
from latent.cache.code_origin import module_is_own
from latent.cache.later import is_later
from latent.errors import UnhashableError

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
            # A process with such a value has loaded its library already.
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
    """A mapping that is not a dict: its pairs, and what else a class of the user's keeps on it."""
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


Fallback = Callable[[Any], str | None]
"""Identifies a value that has no hash of its own (a function, say); None when it cannot either."""

Encoder = Callable[[Any, Fallback | None], bytes]
"""Turns a value into bytes that no other value has, and that tell where they end."""

HASH_METHOD = "__latent_hash__"
"""A class of the user's may have this method: it returns plain data that stands for the object."""


def stable_hash(value: object, fallback: Fallback | None = None) -> str:
    """
    A fingerprint of `value` as 32 hexadecimal digits, equal in every process for equal values of equal types.

    The order of mappings and sets does not count; all NaNs are one value. Not for secrets: the hash is fast,
    not cryptographic.

    Args:
        fallback: Asked for an identity of what has no stable hash of its own, such as functions.

    Raises:
        UnhashableError: Some part of `value` has no stable hash; the error's `path` says which.
    """
    try:
        return xxhash.xxh3_128_hexdigest(encode(value, fallback))
    except _UnhashableError as error:
        raise UnhashableError(error.path, error.kind, error.reason) from error.__cause__
    except RecursionError:
        path = _find_cycle(value)
        reason = "it is nested too deeply" if path is None else "it contains itself"
        raise UnhashableError(path or "", type(value).__name__, reason) from None


def stable_hashes(values: Sequence[object], fallback: Fallback | None = None) -> list[str]:
    """The `stable_hash` of each value, in a fraction of the time for thousands of them."""
    try:
        return [
            xxhash.xxh3_128_hexdigest(_ENCODERS.get(type(value), _encode_other)(value, fallback))
            for value in values
        ]
    except (_UnhashableError, RecursionError):
        return [stable_hash(value, fallback) for value in values]  # raises what explains it


def encode(value: Any, fallback: Fallback | None = None) -> bytes:
    """The bytes that `stable_hash` hashes: a tag for the type, a length where one is needed, the content."""
    encoder = _ENCODERS.get(type(value))
    return encoder(value, fallback) if encoder is not None else _encode_other(value, fallback)


def is_hashable_type(cls: type) -> bool:
    """Whether objects of a class have a hash by what they hold, without a fallback."""
    if cls in _ENCODERS or hasattr(cls, HASH_METHOD) or issubclass(cls, (enum.Enum, PurePath)):
        return True

    return find_encoder(cls) is not None or any(base in _ENCODERS for base in cls.__mro__)


class _UnhashableError(Exception):
    """Collects the path to the offending part while the calls unwind."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason, self.path = kind, reason, ""

    def inside(self, step: str) -> _UnhashableError:
        self.path = step + self.path
        return self


def unhashable(value: object, reason: str) -> Exception:
    """The error that an encoder raises for a value it cannot identify."""
    return _UnhashableError(class_name(type(value)), reason)


def tagged(tag: bytes, content: bytes) -> bytes:
    """`content` behind its tag and length, so that no two sequences of values can run into each other."""
    return b"%b%d:%b" % (tag, len(content), content)


def _encode_str(value: str, fallback: Fallback | None) -> bytes:
    return text(value)


def text(value: str) -> bytes:
    """A string as bytes; lone surrogates, as in odd file names, have bytes too."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def encode_items(tag: bytes, values: Iterable[Any], fallback: Fallback | None) -> bytes:
    """The values of a sequence in their order, behind their tag and number."""
    parts: list[bytes] = []
    try:
        for item in values:
            parts.append(_ENCODERS.get(type(item), _encode_other)(item, fallback))
    except _UnhashableError as error:
        raise error.inside(f"[{len(parts)}]") from error.__cause__
    return b"%b%d[%b" % (tag, len(parts), b"".join(parts))


def encode_fields(tag: bytes, fields: Iterable[tuple[str, Any]], fallback: Fallback | None) -> bytes:
    """Named values in their order, such as the fields of an object."""
    parts: list[bytes] = []
    for name, item in fields:
        try:
            parts.append(text(name) + encode(item, fallback))
        except _UnhashableError as error:
            raise error.inside(f".{name}") from error.__cause__
    return b"%b%d(%b" % (tag, len(parts), b"".join(parts))


def encode_mapping(tag: bytes, value: Mapping[Any, Any], fallback: Fallback | None) -> bytes:
    """The pairs of a mapping, whatever their order."""
    parts: list[bytes] = []
    key: Any = None
    try:
        for key, item in value.items():
            name = (_names.get(key) or _name(key)) if type(key) is str else encode(key, fallback)
            encoder = _ENCODERS.get(type(item), _encode_other)
            parts.append(name + encoder(item, fallback))
    except _UnhashableError as error:
        raise error.inside(f"[{key!r:.60}]") from error.__cause__
    parts.sort()
    return b"%b%d{%b" % (tag, len(parts), b"".join(parts))


_names: dict[str, bytes] = {}
"""Keys of mappings as bytes: ten thousand rows have the same few."""

_NAMES_KEPT = 10_000


def _name(key: str) -> bytes:
    if len(_names) >= _NAMES_KEPT:
        _names.clear()
    name = _names[key] = text(key)
    return name


def _encode_set(value: Set[Any], fallback: Fallback | None) -> bytes:
    tag = b"set" if type(value) is set else b"frozenset"
    items: Iterable[Any] = value
    if fallback is not None and any(type(item) not in _ENCODERS for item in value):
        # A fallback may number what it is asked for; the order of a set of functions is another each time.
        items = sorted(value, key=_place_of)
    return b"%b%d{%b" % (tag, len(value), b"".join(sorted(encode(item, fallback) for item in items)))


def _place_of(value: Any) -> str:
    line = getattr(getattr(value, "__code__", None), "co_firstlineno", 0)
    return f"{type(value)} {getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}:{line:09}"


def _encode_float(value: float, fallback: Fallback | None) -> bytes:
    # A NaN has many bit patterns; they are one value to everyone who looks at it.
    return b"f:" + struct.pack("<d", value) if value == value else b"fnan"


def _encode_time(value: dt.datetime | dt.time, fallback: Fallback | None) -> bytes:
    # The zone counts beside the offset: both move differently when summer ends.
    zone = "" if value.tzinfo is None else f"{class_name(type(value.tzinfo))} {value.tzinfo}"
    return tagged(type(value).__name__.encode(), f"{value.isoformat()} {value.fold} {zone}".encode())


def _by_text(tag: bytes, to_text: Callable[[Any], str] = str) -> Encoder:
    return lambda value, fallback: tagged(tag, to_text(value).encode("utf-8", "surrogatepass"))


_ENCODERS: dict[type, Encoder] = {
    type(None): lambda value, fallback: b"n;",
    bool: lambda value, fallback: b"T;" if value else b"F;",
    int: lambda value, fallback: (
        b"i%d;" % value if -(2**63) <= value < 2**63 else tagged(b"I", b"%x" % value)
    ),
    float: _encode_float,
    complex: lambda value, fallback: (
        b"c:" + _encode_float(value.real, None) + _encode_float(value.imag, None)
    ),
    str: _encode_str,
    bytes: lambda value, fallback: tagged(b"B", value),
    bytearray: lambda value, fallback: tagged(b"bytearray", bytes(value)),
    memoryview: lambda value, fallback: tagged(b"view" + value.format.encode(), value.tobytes()),
    list: lambda value, fallback: encode_items(b"l", value, fallback),
    tuple: lambda value, fallback: encode_items(b"u", value, fallback),
    dict: lambda value, fallback: encode_mapping(b"d", value, fallback),
    set: _encode_set,
    frozenset: _encode_set,
    deque: lambda value, fallback: encode_items(b"deque%d" % (value.maxlen or -1), value, fallback),
    dt.datetime: _encode_time,
    dt.time: _encode_time,
    dt.date: _by_text(b"date"),
    dt.timedelta: lambda value, fallback: b"delta%d,%d,%d;" % (value.days, value.seconds, value.microseconds),
    Decimal: _by_text(b"decimal"),
    Fraction: _by_text(b"fraction"),
    UUID: _by_text(b"uuid"),
    range: _by_text(b"range", repr),
    slice: lambda value, fallback: encode_items(b"slice", (value.start, value.stop, value.step), fallback),
    re.Pattern: lambda value, fallback: encode_items(b"re", (value.pattern, value.flags), fallback),
    type(...): lambda value, fallback: b"...;",
}


def _encode_other(value: Any, fallback: Fallback | None) -> bytes:
    """Everything but the exact builtin types: subclasses, objects with fields, arrays, frames."""
    note_class(type(value), fallback)
    if hasattr(type(value), HASH_METHOD):
        name = text(class_name(type(value)))
        return b"own" + name + encode(getattr(value, HASH_METHOD)(), fallback)
    if isinstance(value, enum.Enum):
        return _encode_enum(value, fallback)
    if isinstance(value, PurePath):
        return tagged(_path_tag(value), str(value).encode("utf-8", "surrogatepass"))

    encoder = find_encoder(type(value))
    if encoder is not None:
        return encoder(value, fallback)
    if (builtin := builtin_encoder(type(value))) is not None:
        # A subclass may carry more than the builtin it extends.
        head = b"sub" + text(class_name(type(value))) + encode_fields(b"o", attributes_of(value), fallback)
        return head + builtin(value, fallback)
    # First the fallback: reading a mapping of an unknown kind may run code.
    if fallback is not None and (identity := fallback(value)) is not None:
        return b"fallback" + text(identity)
    if isinstance(value, Mapping):
        return encode_other_mapping(value, fallback)
    raise unhashable(value, _why_not(value))


def note_class(cls: type, fallback: Fallback | None) -> None:
    """Tell a fallback that asks for it which classes belong to a value."""
    if (note := getattr(fallback, "note", None)) is not None:
        note(cls)


def builtin_encoder(cls: type) -> Encoder | None:
    """The encoder of the builtin that a class extends; None when it extends none."""
    return next((_ENCODERS[base] for base in cls.__mro__[1:] if base in _ENCODERS), None)


def _encode_enum(value: enum.Enum, fallback: Fallback | None) -> bytes:
    # A combination of flags has no name, so name and value stand together.
    name = "" if value.name is None else value.name
    return b"enum" + text(f"{class_name(type(value))}.{name}") + encode(value.value, fallback)


def _path_tag(value: PurePath) -> bytes:
    # `Path("a")` is a PosixPath here and a WindowsPath there: the same path to its user.
    return b"path" if type(value).__name__ in ("PosixPath", "WindowsPath") else type(value).__name__.encode()


def _why_not(value: object) -> str:
    if isinstance(value, type) or callable(value):
        return "functions and classes are identified by their code, which is not known here"
    if hasattr(value, "__next__"):
        return "it can be read only once; pass a list of its items"
    return f"pass plain data instead, or give its class a method {HASH_METHOD}() that returns some"


_LOOKED_AT = 5_000


def _find_cycle(value: object) -> str | None:
    """The path to a container that contains itself; None when there is none among the first few thousand."""
    stack: list[tuple[object, str, frozenset[int]]] = [(value, "", frozenset())]
    seen: set[int] = set()
    while stack and len(seen) < _LOOKED_AT:
        item, path, above = stack.pop()
        if id(item) in above:
            return path
        if id(item) in seen:
            continue
        seen.add(id(item))
        inner = above | {id(item)}
        stack.extend((child, path + step, inner) for step, child in reversed(list(children_of(item))))
    return None


def children_of(value: object) -> Iterable[tuple[str, object]]:
    """What stands in a container or on an object, each behind the step that leads to it."""
    if isinstance(value, dict):
        return [(f"[{key!r:.60}]", item) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    return [(f".{name}", item) for name, item in getattr(value, "__dict__", {}).items()]

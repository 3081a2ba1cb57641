"""Enums, named tuples, dataclasses and models as trees, by the name of their class and its fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from enum import Enum, Flag
from functools import lru_cache
from typing import Any

from latent.cache.classes import attributes_of, caches_of, class_name, find_class, is_findable
from latent.cache.codecs import UnreadableValueError
from latent.cache.hashing import stable_hash
from latent.cache.later import is_later
from latent.cache.trees import Attachments, Reader, Writer, from_tree, named_to_tree, to_tree, unstorable

_UNSET: Any = object()


def write(value: Any, attachments: Attachments) -> tuple[str, Any]:
    """
    Tag and content for an object of a class that can be found again.

    Raises:
        UnstorableError: The class cannot be found again, or is none whose objects are their fields alone.
    """
    cls = type(value)
    writer = _writer(value)
    if writer is None:
        raise unstorable(value, "only plain data, dataclasses, pydantic models, enums, arrays and frames are")
    if not is_findable(cls):
        raise unstorable(
            value, "its class cannot be found again by its name; define it at the top of a module"
        )
    return writer(value, attachments)


def _writer(value: Any) -> Writer | None:
    cls = type(value)
    if isinstance(value, Enum):
        return _write_enum
    if hasattr(cls, "__pydantic_fields__") and hasattr(cls, "__pydantic_private__"):
        return _write_model
    if dataclasses.is_dataclass(cls) and cls.__new__ is object.__new__:
        return _write_dataclass
    if isinstance(value, tuple) and hasattr(cls, "_fields") and hasattr(cls, "_make"):
        return _write_namedtuple
    return None


def _write_enum(value: Enum, attachments: Attachments) -> tuple[str, Any]:
    if isinstance(value, Flag):
        return "flag", [class_name(type(value)), value.value]
    return "enum", [class_name(type(value)), value.name]


def _read_enum(tree: Any, attachments: Attachments) -> Any:
    cls = _class(tree[0], Enum)
    if tree[1] not in cls.__members__:
        raise UnreadableValueError(f"{tree[0]} has no member {tree[1]!r} any more.")
    return cls.__members__[tree[1]]


def _read_flag(tree: Any, attachments: Attachments) -> Any:
    return _class(tree[0], Flag)(tree[1])


def _write_namedtuple(value: Any, attachments: Attachments) -> tuple[str, Any]:
    cls = type(value)
    return "namedtuple", [class_name(cls), list(cls._fields), to_tree(list(value), attachments)]


def _read_namedtuple(tree: Any, attachments: Attachments) -> Any:
    cls = _class(tree[0], tuple)
    if list(getattr(cls, "_fields", ())) != tree[1] or cls is tuple:
        raise UnreadableValueError(f"The fields of {tree[0]} have changed.")
    return tuple.__new__(cls, from_tree(tree[2], attachments))


def _write_dataclass(value: Any, attachments: Attachments) -> tuple[str, Any]:
    cls: Any = type(value)
    names = [field.name for field in dataclasses.fields(cls)]
    if any(attributes_of(value, frozenset(names))):
        raise unstorable(value, "it has attributes that are not fields")
    present = [(name, getattr(value, name, _UNSET)) for name in names]
    pairs = named_to_tree([(name, item) for name, item in present if item is not _UNSET], attachments)
    return "dataclass", [class_name(cls), _schema(cls), pairs]


def _read_dataclass(tree: Any, attachments: Attachments) -> Any:
    cls = _class(tree[0], object)
    if not hasattr(cls, "__dataclass_fields__"):
        raise UnreadableValueError(f"{tree[0]} is not a dataclass any more.")
    _check_schema(cls, tree[1])
    value = object.__new__(cls)
    if tree[1] != _schema(cls):
        for field in filter(is_later, dataclasses.fields(cls)):
            object.__setattr__(value, field.name, field.default)
    for name, item in tree[2]:
        # Not the constructor: it may compute, and a remembered value is restored, not made again.
        object.__setattr__(value, name, from_tree(item, attachments))
    return value


def _write_model(value: Any, attachments: Attachments) -> tuple[str, Any]:
    cls: Any = type(value)
    caches = caches_of(cls)  # they follow from the rest
    own = named_to_tree([pair for pair in value.__dict__.items() if pair[0] not in caches], attachments)
    extra = value.__pydantic_extra__
    private = value.__pydantic_private__
    parts = [
        own,
        None if extra is None else named_to_tree(extra.items(), attachments),
        None if private is None else named_to_tree(private.items(), attachments),
        sorted(value.__pydantic_fields_set__),
    ]
    return "model", [class_name(cls), _schema(cls), parts]


def _read_model(tree: Any, attachments: Attachments) -> Any:
    from pydantic import BaseModel

    cls = _class(tree[0], BaseModel)
    _check_schema(cls, tree[1])
    own, extra, private, fields_set = tree[2]
    value = cls.__new__(cls)
    # What pydantic's own `model_construct` and `__setstate__` set; it was validated when it was made.
    object.__setattr__(value, "__dict__", _named(own, attachments))
    object.__setattr__(value, "__pydantic_fields_set__", set(fields_set))
    for name, tree_of in (("__pydantic_extra__", extra), ("__pydantic_private__", private)):
        # A root model has None for both on its class.
        if tree_of is not None or not cls.__pydantic_root_model__:
            restored = None if tree_of is None else _named(tree_of, attachments)
            object.__setattr__(value, name, restored)
    return value


def _named(tree: Any, attachments: Attachments) -> dict[str, Any]:
    return {name: from_tree(item, attachments) for name, item in tree}


def _class(name: str, base: type[Any]) -> Any:
    cls = find_class(name)
    if cls is None or not issubclass(cls, base):
        raise UnreadableValueError(f"The class {name} is gone or has changed.")
    return cls


def _check_schema(cls: Any, schema: str) -> None:
    if _schema(cls) != schema and schema != _earlier_schema(cls):
        raise UnreadableValueError(f"The fields of {class_name(cls)} have changed.")


@lru_cache(maxsize=1024)
def _schema(cls: Any) -> str:
    """A hash over the names and types of a class's fields."""
    return stable_hash(sorted(_field_types(cls)))


@lru_cache(maxsize=1024)
def _earlier_schema(cls: Any) -> str | None:
    """The hash of before the class got its later fields; None where it has none."""
    if not dataclasses.is_dataclass(cls) or not any(map(is_later, dataclasses.fields(cls))):
        return None
    earlier = [field for field in dataclasses.fields(cls) if not is_later(field)]
    return stable_hash(sorted((field.name, _type_name(field.type)) for field in earlier))


def _field_types(cls: Any) -> Iterable[tuple[str, str]]:
    if dataclasses.is_dataclass(cls):
        return [(field.name, _type_name(field.type)) for field in dataclasses.fields(cls)]
    return [(name, _type_name(info.annotation)) for name, info in cls.__pydantic_fields__.items()]


def _type_name(annotation: Any) -> str:
    return class_name(annotation) if isinstance(annotation, type) else str(annotation)


READERS: dict[str, Reader] = {
    "enum": _read_enum,
    "flag": _read_flag,
    "namedtuple": _read_namedtuple,
    "dataclass": _read_dataclass,
    "model": _read_model,
}

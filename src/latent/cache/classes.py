"""Classes by name: how a key and an entry say which class a value belongs to, and how it is found again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import MemberDescriptorType, ModuleType
from typing import Any

_MAIN = ("__main__", "__mp_main__")


def class_name(cls: type) -> str:
    """
    `module:qualified.name` of a class.

    A class of the file that Python was started with has the name under which others import that file:
    `python flows/ask/flow.py`, `python -m flows.ask.flow` and `latent run ask` are to agree.
    """
    module = cls.__module__
    if module in _MAIN:
        module = _main_name() or module
    return f"{module}:{cls.__qualname__}"


def find_class(name: str) -> type[Any] | None:
    """
    The class that `class_name` gave `name`; None when it is not there any more.

    Only a module that Python can import anyway is imported, and nothing in it is called.
    """
    module_name, _, qualified = name.partition(":")
    module = sys.modules["__main__"] if module_name == _main_name() else sys.modules.get(module_name)
    if module is None:
        try:
            module = importlib.import_module(module_name)
        except (ImportError, ValueError):
            return None
    found: object = module
    for part in qualified.split("."):
        # Not getattr: a module's or class's own __getattr__ is code that an entry could steer.
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) else None


def is_findable(cls: type) -> bool:
    """Whether a class can be found again by its name: local and generated classes cannot."""
    return "<locals>" not in cls.__qualname__ and find_class(class_name(cls)) is cls


@lru_cache(maxsize=1024)
def caches_of(cls: Any) -> frozenset[str]:
    """
    The cached properties of a class: their values follow from the rest, and are there or not.

    A class of ours that keeps some by hand names them in `__latent_caches__`.
    """
    cached = (
        name
        for base in cls.__mro__
        for name, member in vars(base).items()
        if type(member).__name__ == "cached_property"  # also those of other libraries
    )
    return frozenset(cached) | frozenset(getattr(cls, "__latent_caches__", ()))


@lru_cache(maxsize=1024)
def slots_of(cls: Any) -> tuple[str, ...]:
    """The names of all slots that a class and its bases declare, each once."""
    return tuple(
        dict.fromkeys(
            name
            for base in cls.__mro__
            if "__slots__" in vars(base)
            for name, member in sorted(vars(base).items())
            if isinstance(member, MemberDescriptorType)
        )
    )


def attributes_of(value: object, known: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
    """What an object carries beside what is `known` of it, by name; cached properties left out."""
    cls: Any = type(value)
    own: dict[str, Any] = getattr(value, "__dict__", None) or {}
    slots = slots_of(cls)
    if slots or not own.keys() <= known:
        left_out = known | caches_of(cls) | {"__orig_class__"}  # `Box[int](1)` is a `Box(1)`
        present = own | {name: getattr(value, name) for name in slots if hasattr(value, name)}
        yield from sorted((name, item) for name, item in present.items() if name not in left_out)


def _main_name() -> str | None:
    """
    The name under which others import the file that Python was started with; None when they cannot.

    Nor is there one while that module is loaded a second time: then the two have different classes.
    """
    main = sys.modules.get("__main__")
    name = None if main is None else _import_name(main)
    return name if name is not None and sys.modules.get(name, main) is main else None


def _import_name(main: ModuleType) -> str | None:
    if (spec := getattr(main, "__spec__", None)) is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return None if file is None else _name_of_script(str(file))


@lru_cache(maxsize=16)
def _name_of_script(file: str) -> str:
    path = Path(file).resolve()
    names, folder = [path.stem], path.parent
    # These are imported as `flows.<name>.<file>`, without an `__init__.py`.
    if "flows" in (folder.name, folder.parent.name):
        inner = () if folder.name == "flows" else (folder.name,)
        return ".".join(("flows", *inner, path.stem))
    while (folder / "__init__.py").exists() and folder != folder.parent:
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)

"""Classes by name: how a key and an entry say which class a value belongs to, and how it is found again."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def class_name(cls: type) -> str:
    """`module:qualified.name` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def find_class(name: str) -> type[Any] | None:
    """
    The class that `class_name` gave `name`; None when it is not there any more.

    Only a module that Python can import anyway is imported, and nothing in it is called.
    """
    module_name, _, qualified = name.partition(":")
    module = sys.modules.get(module_name)
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

"""Fields that a dataclass of ours got after results of it were remembered: those stay readable, and found."""

from __future__ import annotations

import dataclasses
from typing import Any

LATER = {"latent.later": True}
"""The metadata of such a field; it has a default, which is what entries from before it hold."""


def is_later(field: dataclasses.Field[Any]) -> bool:
    """Whether a field came later."""
    return LATER.keys() <= field.metadata.keys()


def counts(value: object, field: dataclasses.Field[Any]) -> bool:
    """Whether a field counts in a hash: a later one only where it holds something, so that keys stay."""
    return not is_later(field) or getattr(value, field.name, field.default) is not field.default

"""What goes into the memory and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from latent.cache.code import CodeFingerprint
from latent.cache.entry import Entry


class Hit(NamedTuple):
    """A remembered value that still counts; a remembered None is a hit too."""

    value: Any
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A value to remember, with everything that decides whether it counts later."""

    key: str
    value: Any
    task: str
    kind: str = "task"
    code: CodeFingerprint | None = None
    """None: the value does not depend on code."""
    parameters_read: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of each parameter that was read while it was computed."""
    key_parts: Mapping[str, str] = field(default_factory=dict)
    """Hash of each argument and dataset by name; it explains misses."""
    expires_in: timedelta | None = None
    """None: it is remembered for ever."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of each dataset that was saved from it."""

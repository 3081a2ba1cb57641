"""What goes into the memory and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from latent.cache.code import CodeFingerprint
from latent.cache.entry import Version


class Hit(NamedTuple):
    """
    A remembered value that still counts; a remembered None is a hit too.

    Without its entry, whose bytes would stand in memory beside the value, for each of ten thousand rows.
    """

    value: Any
    version: Version
    outputs: Mapping[str, str]
    """Fingerprint of each dataset that was saved from the value."""

    @property
    def parameters_read(self) -> Mapping[str, str]:
        """Fingerprint of each parameter that was read while it was computed."""
        return self.version.parameters_read


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

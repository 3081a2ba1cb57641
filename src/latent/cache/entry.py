"""An entry: one remembered result with everything that decides whether it still counts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One remembered result, with the named parts of its key."""

    key: str
    variant: str
    """Digest over code and parameters: entries of several versions stand under one key."""
    task: str
    kind: str = "task"
    """`task`, `row`, `checkpoint`, ..."""
    codec: str
    value: bytes | None
    """The encoded value; None when the store keeps it outside the entry and `Store.load` fetches it."""
    size_bytes: int
    created_at: float
    """Unix seconds."""
    expires_at: float | None
    """Unix seconds; None: never."""
    code: str = ""
    """Digest of the code that computed it; empty when it does not depend on code."""
    parameters_read: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of each parameter that was read while it was computed."""
    key_parts: Mapping[str, str] = field(default_factory=dict)
    """Hash of each argument and dataset by name."""
    code_parts: Mapping[str, str] = field(default_factory=dict)
    """Hash of each function, class and constant that belongs to the code."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of each dataset that was saved from the value."""

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def variant_of(code: str, parameters_read: Mapping[str, str]) -> str:
    """The digest that tells the versions of one key apart."""
    parts = [code, *(f"{name}={parameters_read[name]}" for name in sorted(parameters_read))]
    return hashlib.md5("\0".join(parts).encode(), usedforsecurity=False).hexdigest()

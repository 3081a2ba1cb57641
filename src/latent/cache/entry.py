"""An entry: one remembered result with everything that decides whether it still counts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Version:
    """What thousands of entries share: which task computed them, with which code and parameters."""

    task: str
    kind: str = "task"
    """`task`, `row`, `checkpoint`, ..."""
    code: str = ""
    """Digest of the code; empty when the results do not depend on code."""
    parameters_read: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of each parameter that was read while they were computed."""
    code_parts: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Hash of each function, class and constant that belongs to the code."""

    @cached_property
    def variant(self) -> str:
        """Tells the entries under one key apart: equal when task, code and parameters are."""
        read = (f"{name}={fingerprint}" for name, fingerprint in sorted(self.parameters_read.items()))
        content = "\0".join([self.task, self.kind, self.code, *read])
        return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


class Entry(NamedTuple):
    """
    One remembered result.

    A tuple, since thousands are made in one bulk read and a frozen dataclass takes several times as long.
    """

    key: str
    version: Version
    codec: str
    value: bytes | None
    """The encoded value; None when the store keeps it elsewhere and `Store.load` fetches it."""
    size_bytes: int
    created_at: float
    """Unix seconds."""
    expires_at: float | None
    """Unix seconds; None: never."""
    key_parts: Mapping[str, str] = NOTHING
    """Hash of each argument and dataset by name; left out where values are read in bulk."""
    outputs: Mapping[str, str] = NOTHING
    """Fingerprint of each dataset that was saved from the value."""

    @property
    def task(self) -> str:
        """The task that computed it."""
        return self.version.task

    @property
    def parameters_read(self) -> Mapping[str, str]:
        """Fingerprint of each parameter that was read while it was computed."""
        return self.version.parameters_read

    def is_expired(self, now: float) -> bool:
        """Whether it stopped counting before `now`, in Unix seconds."""
        return self.expires_at is not None and self.expires_at <= now

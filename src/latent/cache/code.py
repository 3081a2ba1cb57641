"""Fingerprints of code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class CodeFingerprint:
    """What a piece of code does, in a digest, with the parts it is made of."""

    digest: str
    parts: Mapping[str, str] = field(default_factory=dict)
    """Hash of each function, class and constant that belongs to it, by `file:qualified.name`."""


def code_fingerprint(fn: Callable[..., Any], root: Path) -> CodeFingerprint:
    """The fingerprint of a function's own bytecode."""
    from latent.cache.hashing import stable_hash

    code = fn.__code__
    digest = stable_hash(
        [code.co_code, [c for c in code.co_consts if isinstance(c, str | int | float | None)]]
    )
    return CodeFingerprint(digest, {f"{fn.__module__}:{fn.__qualname__}": digest})

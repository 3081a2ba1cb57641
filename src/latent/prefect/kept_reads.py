"""
What was read of parameters by functions that may keep it: a client in the module, an `lru_cache`.

A call that uses what an earlier one has read and kept reads nothing itself, and depends on it all the same.
What a function keeps cannot be seen. So each read is noted for the user's own functions that it was made
in, and counts for every later call in this process of a task that uses one of them. Only of a task's own
function is it seen whether it can keep anything: rows that read nothing depend on nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from latent.cache.code_origin import describe_file, is_own, is_own_code
from latent.cache.code_syntax import plan_of

if TYPE_CHECKING:
    from latent.cache.code import CodeFingerprint

Place = tuple[str, str]
"""The file and the qualified name of a function."""

_NESTED = ".<locals>."
_CODES_KEPT = 4_096
_places_of: dict[int, tuple[CodeType, tuple[Place, ...]]] = {}
_noted: dict[Place, dict[str, str]] = {}
_known: dict[tuple[str, Place | None, Path], tuple[int, dict[str, str]]] = {}
_keepers: dict[int, tuple[CodeType, bool]] = {}
_version = 0


def places_of_caller() -> list[Place]:
    """The user's own functions that the code which runs now was called from."""
    found: list[Place] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        known = _places_of.get(id(code))
        found.extend(_places(code) if known is None else known[1])
        frame = frame.f_back
    return found


def _places(code: CodeType) -> tuple[Place, ...]:
    file, name = code.co_filename, code.co_qualname
    # What stands inside of a function has no part of its own in the fingerprint of who uses it.
    names = dict.fromkeys((name, name.partition(_NESTED)[0])) if is_own(file) else ()
    if len(_places_of) >= _CODES_KEPT:
        _places_of.clear()
    # The code is held, so that no other gets the same id.
    _places_of[id(code)] = (code, tuple((file, each) for each in names))
    return _places_of[id(code)][1]


def note(places: list[Place], reads: Mapping[str, str]) -> None:
    """Functions have read this: fingerprints by parameter name."""
    global _version
    for place in places:
        noted = _noted.setdefault(place, {})
        if not reads.items() <= noted.items():
            noted.update(reads)
            _version += 1


def with_kept(
    reads: Mapping[str, str], fn: Callable[..., Any], code: CodeFingerprint | None, root: Path
) -> Mapping[str, str]:
    """
    What a call has read, and what it may have found kept; what it read itself is newer.

    Args:
        fn: The function that was called.
        code: Its fingerprint.
        root: The workspace's.
    """
    if code is None or not _noted:
        return reads
    kept = _kept(_place_of(fn), code, root)
    return reads if kept.keys() <= reads.keys() else {**kept, **reads}


def _kept(own: Place | None, code: CodeFingerprint, root: Path) -> Mapping[str, str]:
    """What functions that belong to the code have read in this process so far, but for that at `own`."""
    key = (code.digest, own, root)
    known = _known.get(key)
    if known is None or known[0] != _version:
        version = _version
        reads: dict[str, str] = {}
        for place, noted in list(_noted.items()):
            if place != own and _label(place, root) in code.parts:
                reads |= noted
        if len(_known) >= _CODES_KEPT:
            _known.clear()
        known = _known[key] = (version, reads)
    return known[1]


def _place_of(fn: Callable[..., Any]) -> Place | None:
    """The place of a function that cannot keep what it reads; None for any other."""
    code = getattr(fn, "__code__", None)
    if code is None or _may_keep(code, fn.__globals__):
        return None
    return code.co_filename, code.co_qualname


def _may_keep(code: CodeType, names: Mapping[str, Any]) -> bool:
    """Whether a function changes something outside of it, or asks an object of the module that might."""
    known = _keepers.get(id(code))
    if known is None:
        plan = plan_of(code)
        objects = {read.chain[0] for read in plan.reads if read.is_global and len(read.chain) > 1}
        keeps = bool(plan.changed) or any(_is_own_object(names.get(name)) for name in objects)
        if len(_keepers) >= _CODES_KEPT:
            _keepers.clear()
        known = _keepers[id(code)] = (code, keeps)
    return known[1]


def _is_own_object(value: Any) -> bool:
    return not isinstance(value, type | FunctionType | ModuleType) and is_own_code(type(value))


@lru_cache(maxsize=_CODES_KEPT)
def _label(place: Place, root: Path) -> str:
    """How a code fingerprint names the function."""
    return f"{describe_file(place[0], root)}:{place[1]}"

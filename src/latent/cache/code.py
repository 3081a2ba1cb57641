"""Fingerprints of code: equal as long as a function would do the same, whatever happens to its comments."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from latent.cache.code_origin import Noting
from latent.cache.code_watch import Watch


@dataclass(frozen=True, slots=True)
class CodeFingerprint:
    """What a piece of code does, in a digest, with the parts it is made of."""

    digest: str
    parts: Mapping[str, str] = field(default_factory=dict)
    """Hash of each function, class and constant that belongs to it, by `file:qualified.name`."""


def code_fingerprint(
    fn: Callable[..., Any], root: Path, classes: frozenset[type] = frozenset()
) -> CodeFingerprint:
    """
    The fingerprint of a function and of everything of the user's own that it uses.

    That is its syntax without comments, docstrings, formatting and annotations; its defaults and captured
    values; and the helpers, classes and constants that it reads, with what these use in turn. A library's
    code counts by its version. What a function changes itself (a list it appends to, a counter) is its state
    and does not count.

    Asking again costs microseconds while nothing has changed: what was seen is compared, not computed anew.

    Args:
        fn: A function, method, partial, class or callable object; also an object that holds the function as
            `fn` or `__wrapped__`.
        root: The workspace's; parts are named relative to it.
        classes: The user's own among its arguments, whose methods it may call: see `code_identity`.
    """
    owner = (id(fn.__func__), id(fn.__self__)) if isinstance(fn, MethodType) else (id(fn), 0)
    key = (*owner, root, classes)
    with _lock:
        known = _known.get(key)
    if known is not None and known.watch.holds():
        return known.fingerprint

    from latent.cache.code_walk import Walk  # once for each function, not for each call

    walk = Walk(root)
    fingerprint = CodeFingerprint(*walk.fingerprint(fn, classes))
    with _lock:
        _known[key] = _Known(fn, fingerprint, walk.watch)
        _known.move_to_end(key)
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return fingerprint


def code_identity(root: Path) -> Noting:
    """
    A fallback for `stable_hash`: functions, classes and methods among the arguments count by their code.

    Of objects, the data alone is hashed: the code of their classes, which it takes down, belongs to the code
    of the call.

    Args:
        root: The workspace's.
    """

    def identify(value: Any) -> str | None:
        is_code = isinstance(
            value, FunctionType | BuiltinFunctionType | MethodType | type | functools.partial
        )
        return code_fingerprint(value, root).digest if is_code or _is_made_of_types(value) else None

    return Noting(identify)


def _is_made_of_types(value: Any) -> bool:
    """Whether it is such as `Literal["a", "b"]` or `list[int]`."""
    if type(value).__module__ not in ("typing", "types", "typing_extensions"):
        return False
    from latent.cache.code_objects import parts_of_type  # few arguments are types

    return parts_of_type(value) is not None


@dataclass(frozen=True, slots=True)
class _Known:
    fn: Any
    """Held, so that no other function gets the same id."""
    fingerprint: CodeFingerprint
    watch: Watch


# Few, since each holds what its function captured: functions may be defined by the thousand, in a loop.
_KEPT = 128
_known: OrderedDict[tuple[int, int, Path, frozenset[type]], _Known] = OrderedDict()
_lock = threading.Lock()

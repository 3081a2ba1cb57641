"""
State: what code changes itself, such as a counter, a list that it appends to, or a client that it makes once.

Were it to count as it is, each call would make its own results worthless. Were it not to count at all, a
setting beside a counter would be lost with it. So it counts as it was when this process first saw it: the
same at each start, until somebody edits it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from latent.cache.code_members import library_name
from latent.cache.hashing import stable_hash
from latent.errors import UnhashableError

_KEPT = 4096
_CODE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)


def first_seen(owner: Any, name: str, value: Any) -> str:
    """The identity that the state `name` of `owner` had when it was first asked for; `value` is today's."""
    key = (id(owner), name)
    with _lock:
        if (known := _seen.get(key)) is None:
            # The owner is held, so that no other gets its id.
            known = _seen[key] = (owner, _identity(value))
            if len(_seen) > _KEPT:
                _seen.popitem(last=False)
    return known[1]


_seen: OrderedDict[tuple[int, str], tuple[Any, str]] = OrderedDict()
_lock = threading.Lock()


def _identity(value: Any) -> str:
    """Data by its hash; what has none (a client, a lock, a function) by its class."""
    if isinstance(value, _CODE):
        return library_name(type(value))
    try:
        return stable_hash(value, lambda part: library_name(type(part)))
    except (UnhashableError, RecursionError):
        return library_name(type(value))

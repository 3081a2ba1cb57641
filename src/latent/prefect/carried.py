"""
Large arguments travel past Prefect, not through it.

Prefect walks through every argument to look for futures, and sends a flow's arguments to its API: an 8 MB
frame costs seconds there, and a server refuses more than 512 kB. A `Carried` is opaque to both; its text is a
fingerprint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latent.cache.hashing import stable_hash
from latent.errors import UnhashableError
from latent.prefect.upstream import has_futures, without_annotation

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGE_ITEMS = 1_000
"""Containers with more items than this, counted through all levels, are carried."""

LARGE_TEXT = 16_384
"""Strings and bytes longer than this are carried."""

_SCALARS = (type(None), bool, int, float, complex)
_DATA_MODULES = ("pandas", "numpy", "pyarrow", "polars")


class Carried:
    """One large argument, opaque to Prefect; it crosses process borders with its value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        kind = type(self.value).__name__
        try:
            return f"<{kind} {stable_hash(self.value)}>"
        except UnhashableError:
            return f"<{kind}>"


def carry(arguments: Mapping[str, Any], *, settled: bool = False) -> dict[str, Any]:
    """
    The arguments as Prefect may see them: large values carried, unless it has to put results into them.

    Args:
        settled: No results are to be put into them: futures in them are carried, too.
    """
    return {
        name: Carried(without_annotation(value)) if _is_carried(value, settled=settled) else value
        for name, value in arguments.items()
    }


def _is_carried(value: Any, *, settled: bool) -> bool:
    inside = without_annotation(value)
    return (is_large(inside) and (settled or not has_futures(inside))) or (settled and has_futures(value))


def unpack(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the user's function gets them."""
    return {name: v.value if isinstance(v, Carried) else v for name, v in arguments.items()}


def is_large(value: Any) -> bool:
    """Whether a value is too large to be a Prefect parameter; looks at a bounded number of items."""
    return _weigh(value, LARGE_ITEMS) < 0


def _weigh(value: Any, budget: int) -> int:
    """What is left of the budget once `value` is counted; negative when it does not suffice."""
    if isinstance(value, _SCALARS):
        return budget - 1
    if isinstance(value, (str, bytes, bytearray)):
        return budget - 1 if len(value) <= LARGE_TEXT else -1
    if isinstance(value, dict):
        return _weigh_all(value.values(), len(value), budget)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _weigh_all(value, len(value), budget)
    return -1 if type(value).__module__.partition(".")[0] in _DATA_MODULES else budget - 1


def _weigh_all(values: Any, count: int, budget: int) -> int:
    if count > budget:
        return -1
    for value in values:
        budget = _weigh(value, budget)
        if budget < 0:
            return budget
    return budget

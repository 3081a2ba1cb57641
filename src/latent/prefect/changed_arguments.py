"""
Calls that change their arguments in place: what they do to them is a result that nobody returns.

A remembered result would leave the change out the next time. So such a result is not remembered, and the user
is told. But a dict or list that the function changes and returns is remembered: a hit makes the same change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from latent.cache.code import code_identity
from latent.cache.hashing import stable_hash
from latent.errors import UnhashableError
from latent.prefect.logs import warn_once

if TYPE_CHECKING:
    from pathlib import Path

    from latent.cache import Hit
    from latent.prefect.key import CallKey
    from latent.prefect.tasks import Task

_FIXED = (
    str, bytes, int, float, complex, type(None), date, time, timedelta, Decimal, Enum, PurePath, UUID, type,
)  # fmt: skip
"""What cannot be changed in place."""

RETURNED = "argument:"
"""Stands before the name of the argument that was changed and returned, among an entry's outputs."""


def changed_arguments(
    task: Task[..., Any], key: CallKey, arguments: Mapping[str, Any], root: Path, *, but: Iterable[str] = ()
) -> list[str]:
    """
    The arguments that are not any more what a key was made of.

    Args:
        but: Arguments that nobody else has, or that are looked at elsewhere.
    """
    if key.users_own:
        return []
    fills = task.binder.fills
    return [
        name
        for name, value in arguments.items()
        if not isinstance(value, _FIXED)
        and name not in but
        and (known := key.parts.get(fills.get(name, name))) is not None
        and hash_now(value, root) != known
    ]


def hash_now(value: Any, root: Path) -> str | None:
    """The hash of an argument; None when it has none any more."""
    try:
        return stable_hash(value, code_identity(root))
    except UnhashableError:
        return None


def is_fixed(value: Any) -> bool:
    """Whether nothing can change a value in place."""
    return isinstance(value, _FIXED)


def note_of_change(
    task: Task[..., Any], changed: list[str], arguments: Mapping[str, Any], value: Any
) -> dict[str, str] | None:
    """What an entry has to hold of changed arguments; None when it cannot, and the user is told."""
    if not changed:
        return {}
    (name, *others) = changed
    if not others and value is arguments[name] and type(value) in (dict, list):
        return {f"{RETURNED}{name}": ""}
    tell(task, changed)
    return None


def tell(task: Task[..., Any], changed: list[str]) -> None:
    """Say once that results of a task are not remembered, since it changes these arguments."""
    names = f"argument{'s' if len(changed) > 1 else ''} {', '.join(map(repr, changed))}"
    warn_once(
        f"changes:{task.name}",
        f"Task {task.name!r} changes its {names} in place, so what it returns is not remembered: the next "
        "run would leave the change out. Let it work on a copy and return that, or say cache=False to be "
        "silent about it.",
    )


def applied(hit: Hit, arguments: Mapping[str, Any]) -> Any:
    """The value of a hit; where the function changed and returned an argument, that one, changed again."""
    value: Any = hit.value
    for label in hit.outputs:
        given = arguments.get(label.removeprefix(RETURNED)) if label.startswith(RETURNED) else None
        if isinstance(given, dict) and isinstance(value, dict):
            given.clear()
            given.update(value)
            return given
        if isinstance(given, list) and isinstance(value, list):
            given[:] = value
            return given
    return value

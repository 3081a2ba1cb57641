"""Whether a remembered entry still counts, and if not, why not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

from latent.cache.code import CodeFingerprint
from latent.cache.entry import Entry

ParameterReader = Callable[[str], str]
"""Today's fingerprint of a parameter by name."""


def parameters_hold(entry: Entry, today: ParameterReader) -> bool:
    """Whether every parameter that was read while the value was computed is as it was."""
    return all(today(name) == then for name, then in entry.parameters_read.items())


def code_holds(entry: Entry, code: CodeFingerprint | None) -> bool:
    """Whether the code is as it was; without code, only entries that depend on none count."""
    return entry.code == ("" if code is None else code.digest)


def reasons(entry: Entry, code: CodeFingerprint | None, today: ParameterReader, now: float) -> list[str]:
    """What keeps an entry from counting, one sentence each; empty when it counts."""
    found = []
    if entry.is_expired(now) and entry.expires_at is not None:
        found.append(f"It expired at {_moment(entry.expires_at)}.")
    if not code_holds(entry, code):
        found.extend(_changes("The code of", entry.code_parts, {} if code is None else code.parts))
        if not found or found[-1].startswith("It expired"):
            found.append("The code has changed.")
    for name, then in sorted(entry.parameters_read.items()):
        if today(name) != then:
            found.append(f"Parameter {name!r} has changed.")
    return found


def part_reasons(entry: Entry, key_parts: Mapping[str, str]) -> list[str]:
    """Which named parts of a key differ from those of an entry under another key."""
    return _changes("Argument", entry.key_parts, key_parts)


def _changes(what: str, then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    sentences = []
    for name in sorted({*then, *now}):
        if name not in then:
            sentences.append(f"{what} {name!r} is new.")
        elif name not in now:
            sentences.append(f"{what} {name!r} is gone.")
        elif then[name] != now[name]:
            sentences.append(f"{what} {name!r} has changed.")
    return sentences


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")

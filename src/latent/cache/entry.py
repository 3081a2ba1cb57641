"""Entries: remembered results with everything that decides whether they still count, and why not."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from latent.cache.code import CodeFingerprint


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


ParameterReader = Callable[[str], str]
"""Today's fingerprint of a parameter by name."""


Verdict = Literal["current", "other code", "other parameters"]


def verdict_on(version: Version, code: CodeFingerprint | None, today: ParameterReader) -> Verdict:
    """Whether code and parameters are what they were when entries of a version were computed."""
    if any(today(name) != then for name, then in version.parameters_read.items()):
        return "other parameters"
    # Without code, only entries that depend on none are current.
    return "current" if version.code == ("" if code is None else code.digest) else "other code"


def reasons(entry: Entry, code: CodeFingerprint | None, today: ParameterReader, now: float) -> list[str]:
    """What keeps an entry from counting, one sentence each; empty when it counts."""
    found = []
    if entry.is_expired(now) and entry.expires_at is not None:
        found.append(f"It expired at {_moment(entry.expires_at)}.")
    if entry.version.code != ("" if code is None else code.digest):
        changes = _changes("The code of", entry.version.code_parts, {} if code is None else code.parts)
        found.extend(changes or ["The code has changed."])
    for name, then in sorted(entry.parameters_read.items()):
        if today(name) != then:
            what = subject(name)
            found.append(f"{what[0].upper()}{what[1:]} {'have' if name == '*' else 'has'} changed.")
    return found


def brief_reason(version: Version, code: CodeFingerprint | None, today: ParameterReader) -> str:
    """
    What keeps entries of a version from counting, in a few words: `code of 'build' in flows/ask/flow.py`,
    `parameter 'model'`; the same for all rows that miss for the same cause, so that they can be counted.
    """
    found = []
    if version.code != ("" if code is None else code.digest):
        found.append(_changed_code(version.code_parts, {} if code is None else code.parts))
    names = sorted(name for name, then in version.parameters_read.items() if today(name) != then)
    found += [subject(name) for name in names]
    return ", ".join(found) or "its entry cannot be read"


def subject(name: str) -> str:
    """
    What a call depended on, for people: parameters by name, other things as `kind:name`.

    `*` stands for the names of all parameters.
    """
    kind, _, rest = name.partition(":")
    if rest and kind in ("dataset", "file"):
        return f"{kind} {rest!r}"
    return "the names of the parameters" if name == "*" else f"parameter {name!r}"


def _changed_code(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which functions, classes and constants differ, by their files."""
    changed = sorted(label for label in {*then, *now} if then.get(label) != now.get(label))
    if not changed:
        return "code of a package"  # packages count by their version, and are not parts
    if then and now and not then.keys() & now.keys():
        # A task of this name in another flow, or one that was moved: nothing of it was edited.
        return f"code, which was that of {', '.join(sorted({label.rpartition(':')[0] for label in then}))}"
    by_file: dict[str, list[str]] = {}
    for label in changed[:_PARTS_NAMED]:
        file, _, name = label.rpartition(":")
        by_file.setdefault(file, []).append(repr(name))
    text = ", ".join(f"code of {', '.join(names)} in {file}" for file, names in by_file.items())
    return text if len(changed) <= _PARTS_NAMED else f"{text} and {len(changed) - _PARTS_NAMED} more"


_PARTS_NAMED = 3


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

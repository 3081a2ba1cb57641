"""What differs between two evaluations beside their numbers, from their records."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is another one in the new evaluation."""

    what: str
    old: str | None
    """None where the old evaluation has no such thing."""
    new: str | None


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Data, target and its settings, prompt, scorers, judges, parameters: each that is not the same."""
    found = _different(dict(_facts(old)), dict(_facts(new)))
    known = {(change.old, change.new) for change in found}
    parameters = _different(*(dict(_flat("parameter", each.get("parameters") or {})) for each in (old, new)))
    # The parameter that holds the prompt or the model has been told with the target.
    return found + [change for change in parameters if (change.old, change.new) not in known]


def _different(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    return [
        Change(what, before.get(what), after.get(what))
        for what in dict.fromkeys([*before, *after])
        if before.get(what) != after.get(what)
    ]


def _facts(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = about["data"]
    yield "data", f"{data['source']}, {data['rows']:,} rows, {data['fingerprint'][:12]}"
    yield from _flat("target", about["target"])
    yield "repeats", str(about["repeats"])
    for scorer in about["scorers"]:
        name = f"scorer {scorer['name']}"
        yield name, f"version {scorer['version'][:12]}"
        yield from _flat(f"{name}.options", scorer.get("options") or {})
        if scorer.get("judge"):
            yield from _flat(f"{name}.judge", scorer["judge"])


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif value is not None:
        yield name, str(value)


def word_diff(old: str, new: str) -> list[tuple[str, str]]:
    """
    The new text against the old one, word by word: pairs of `same`, `old` or `new`, and a piece of text.

    The pieces that are `same` or `new`, joined, are the new text; `same` and `old`, the old one.
    """
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    found: list[tuple[str, str]] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=len(before) > 2_000)
    for tag, i, j, k, m in matcher.get_opcodes():
        removed, added = "".join(before[i:j]), "".join(after[k:m])
        pieces = [("same", added)] if tag == "equal" else [("old", removed), ("new", added)]
        found += [piece for piece in pieces if piece[1]]
    return found

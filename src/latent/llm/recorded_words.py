"""What a call that was not recorded has in common with those that were: told in words, for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

TEXTS = ("prompt", "text")
"""What calls ask: a conversation, or a text to embed."""
_AROUND = 6
"""Words of what is equal that are shown on both sides of a change."""
_LONGEST = 1_200
"""Characters of a shown difference."""
_CANDIDATES = 20


def what_differs(asked: Mapping[str, Any], recorded: Sequence[Mapping[str, Any]]) -> str:
    """
    The recorded call that comes nearest to one that is not, and what differs between the two.

    Words that only the recorded one has stand in `[-...-]`, those of the new one in `{+...+}`, as git writes
    them.
    """
    nearest = _nearest(asked, recorded)
    changed = _changed(nearest, asked)
    if not changed:
        return f"The nearest one, {nearest['id']}, looks the same here: it differs in what was masked."
    same = [name for name in _shown_names(asked) if name not in changed]
    head = f"The nearest one, {nearest['id']}, differs in {_listed(changed)}"
    head += f", and has the same {_listed(same)}:" if same else ":"
    lines = [f"  {name}: {_difference(nearest.get(name), asked.get(name))}" for name in changed]
    return "\n".join([head, *lines])


def _nearest(asked: Mapping[str, Any], recorded: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of the calls whose texts are most alike, the one that has most else in common."""
    from rapidfuzz import fuzz, process

    texts = [_text(line) for line in recorded]
    found = process.extract(_text(asked), texts, scorer=fuzz.ratio, limit=_CANDIDATES)
    best = max(score for _, score, _ in found)
    near = [recorded[place] for _, score, place in found if score == best]
    return min(near, key=lambda line: len(_changed(line, asked)))


def _shown_names(line: Mapping[str, Any]) -> list[str]:
    return [name for name in line if name not in ("id", "answer")]


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys([*_shown_names(old), *_shown_names(new)])
    return [name for name in names if old.get(name) != new.get(name)]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _text(line: Mapping[str, Any]) -> str:
    return next((_shown(line[name]) for name in TEXTS if name in line), "")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _difference(old: Any, new: Any) -> str:
    if old is None or new is None:
        return f"{'nothing' if old is None else _shown(old)} was recorded, now it is " + (
            "nothing" if new is None else _shown(new)
        )
    return "".join(_words_that_differ(_shown(old), _shown(new)))[:_LONGEST]


def _words_that_differ(old: str, new: str) -> Iterator[str]:
    before, after = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (old, new))
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    for place, (kind, i, j, k, m) in enumerate(steps):
        if kind == "equal":
            yield from _shortened(before[i:j], is_first=place == 0, is_last=place == len(steps) - 1)
            continue
        if j > i:
            yield f"[-{''.join(before[i:j])}-]"
        if m > k:
            yield f"{{+{''.join(after[k:m])}+}}"


def _shortened(words: Sequence[str], *, is_first: bool, is_last: bool) -> Iterator[str]:
    """What is equal, without its middle where it is long: only what stands beside a change is of use."""
    most = 2 * _AROUND
    left = 0 if is_first else most
    right = 0 if is_last else most
    if len(words) <= left + right:
        yield "".join(words)
        return
    yield "".join(words[:left]) + " ... " + ("".join(words[-right:]) if right else "")

"""Thoughts that a model writes into its answer: `<think>...</think>`, and the answer behind it."""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection"
_OPEN = re.compile(rf"\s*<({_NAMES})>", re.IGNORECASE)
CLOSE = re.compile(rf"</(?:{_NAMES})>", re.IGNORECASE)


def begins_with_thoughts(text: str) -> bool:
    """Whether the first thing that a text holds is a thought."""
    return _OPEN.match(text) is not None


def is_only_thought(text: str) -> bool:
    """Whether there is nothing in a text but thoughts, or nothing at all."""
    if not text or text.isspace():
        return True
    if "<" not in text or not begins_with_thoughts(text):
        return False
    closings = list(CLOSE.finditer(text))
    # One that is never closed has no answer behind it.
    return not closings or not text[closings[-1].end() :].strip()

"""Thoughts that a model writes into its answer: `<think>...</think>`, and the answer behind it."""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection"
# Magistral writes its tags in brackets.
_OPEN = re.compile(rf"\s*(?:<(?:{_NAMES})>|\[THINK\])", re.IGNORECASE)
_CLOSE = re.compile(rf"</(?:{_NAMES})>|\[/THINK\]", re.IGNORECASE)
_CLOSE_ALONE = re.compile(rf"(?:</(?:{_NAMES})>|\[/THINK\])\s*(?:\n|\Z)", re.IGNORECASE)
"""Where the template of the chat holds the tag that opens (Qwen, DeepSeek), only this one is said."""


def behind_thoughts(text: str) -> str:
    """What a text says after its thoughts; empty where these never end."""
    if "<" not in text and "[" not in text:
        return text
    while (opened := _OPEN.match(text)) is not None:
        closed = _CLOSE.search(text, opened.end())
        text = "" if closed is None else text[closed.end() :]
    if text.lstrip().startswith(("{", "```")):
        return text  # the answer itself, in whose texts such a tag may stand
    closings = list(_CLOSE_ALONE.finditer(text))
    return text[closings[-1].end() :] if closings else text


def is_only_thought(text: str) -> bool:
    """Whether there is nothing in a text but thoughts, or nothing at all."""
    return not behind_thoughts(text).strip()

"""PyYAML's complaints in plain words: where to look, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yaml import Mark, MarkedYAMLError

_OPENED = re.compile(r"while parsing a flow (sequence|mapping)|while scanning a (quoted) scalar")
_BRACKETS = {"sequence": "[", "mapping": "{", "quoted": "quote"}
_HINTS = {
    "mapping values are not allowed": "a second `: ` on this line: put a text that holds one in quotes.",
    "did not find expected key": "this fits no level above: check the indentation, brackets and quotes.",
    "did not find expected '-'": "a list ends here without its level ending: check the indentation.",
    "unknown escape character": "a backslash means nothing here: double it, or use single quotes.",
    "found unhashable key": "a list or mapping cannot be a key.",
    "but found another document": "a second document begins here: one file holds one mapping.",
    "expected <document start>": "a second value begins here: one file holds one mapping.",
    "found a tab character": "a tab: YAML is indented with blanks.",
}


def explain(error: MarkedYAMLError, text: str) -> tuple[Mark | None, str]:
    """
    Where a user should look, and what to tell them.

    Args:
        error: What PyYAML raised.
        text: The text it was reading.
    """
    problem, context = error.problem or "", error.context or ""
    mark = error.problem_mark or error.context_mark
    if opened := _OPENED.search(context):
        unclosed = "did not find expected ','" in problem or "unexpected end of stream" in problem
        if unclosed and error.context_mark:
            what = _BRACKETS[opened[1] or opened[2]]
            return error.context_mark, f"the {what} opened here is not closed, or not where it should be."
    if tag := re.search(r"constructor for the tag '(?:tag:yaml\.org,2002:)?(.*)'", problem):
        return mark, f"the tag {tag[1]} is not allowed: only plain data is read. Remove the tag."
    if alias := re.search(r"undefined alias '(.*)'", problem):
        return mark, f"*{alias[1]} refers to nothing: define &{alias[1]} before, or put the text in quotes."
    if "could not find expected ':'" in problem:
        return error.context_mark, "a key without a `:` after it."
    for known, message in _HINTS.items():
        if known in problem:
            return mark, message
    first = _character_at(text, error.context_mark or mark)
    if first == "\t":
        return mark, "a tab: YAML is indented with blanks."
    if first and first in "@`%*&!|>":
        return error.context_mark or mark, f"a plain text cannot begin with {first}: put it in quotes."
    return mark, f"not valid YAML: {problem}."


def _character_at(text: str, mark: Mark | None) -> str:
    lines = text.split("\n")
    if mark is None or mark.line >= len(lines):
        return ""
    return lines[mark.line][mark.column : mark.column + 1]

"""
Lines of a prompt that hold nothing but tags vanish; all others stay as they are written.

Jinja's own `trim_blocks` takes the end of every line that ends with a tag, also of one with text in it:
`Language: {% if de %}German{% endif %}` would run into the next line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from jinja2.lexer import Lexer
from jinja2.sandbox import SandboxedEnvironment

Token = tuple[int, str, str]
"""The line, the kind and the text of a piece of a template, as Jinja cuts it."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ENDS = frozenset({"block_end", "comment_end", "raw_end"})


class PromptEnvironment(SandboxedEnvironment):
    """A sandbox whose templates keep their lines."""

    @cached_property
    def lexer(self) -> Lexer:
        return _LineLexer(self)


class _LineLexer(Lexer):
    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[Token]:
        for line in _lines(super().tokeniter(source, name, filename, state)):
            yield from _without_blanks(line)


def _lines(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The pieces of each line; the text between tags is cut at its line ends."""
    line: list[Token] = []
    for number, kind, text in tokens:
        if kind != "data":
            line.append((number, kind, text))
            continue
        for place, piece in enumerate(_LINE.findall(text)):
            line.append((number + place, kind, piece))
            if piece.endswith("\n"):
                yield line
                line = []
    yield line


def _without_blanks(line: list[Token]) -> list[Token]:
    """A line without its indentation and its end, where there are only tags in it."""
    tags = [place for place, (_, kind, _) in enumerate(line) if kind != "data"]
    has_text = any(kind == "variable_begin" or (kind == "data" and text.strip()) for _, kind, text in line)
    if not tags or has_text:
        return line
    first, last = tags[0], tags[-1]
    # `{%+` and `+%}` keep what is before and behind them, as in Jinja.
    head = line[:first] if line[first][2].endswith("+") else []
    _, kind, text = line[last]
    tail = line[last + 1 :]
    is_cut = kind in _ENDS and not text.startswith("+") and [piece for _, _, piece in tail] == ["\n"]
    return [*head, *line[first : last + 1], *([] if is_cut else tail)]

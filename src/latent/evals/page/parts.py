"""Pieces of HTML that the pages are made of; every text is escaped, except what is `Raw`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

LONG_TEXT = 300
"""Longer texts are folded."""

_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n\r"}
"""Control characters have no picture of their own: those of Unicode stand for them."""


class Raw(str):
    """HTML of ours."""


def text(value: object) -> str:
    """Any value as escaped text."""
    return value if isinstance(value, Raw) else escape(str(value).translate(_PICTURES))


def section(title: str, content: str, name: str) -> Iterator[str]:
    """A section with its heading; nothing where there is no content."""
    if content:
        yield f'<section id="{name}"><h2>{escape(title)}</h2>{content}</section>'


def facts(lines: Iterable[tuple[str, object]]) -> str:
    """Names and values; those without a value are left out, and long ones are folded."""
    shown = (f"<dt>{escape(name)}</dt><dd>{folded(value)}</dd>" for name, value in lines if value)
    return f"<dl>{''.join(shown)}</dl>"


def folded(value: object) -> str:
    """A text, of which only the beginning is seen when it is long."""
    content = text(value)
    if isinstance(value, Raw) or len(str(value)) <= LONG_TEXT:
        return content
    beginning = text(" ".join(str(value).split())[:100])
    return f"<details><summary>{beginning} …</summary><pre>{content}</pre></details>"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "") -> str:
    """A table; numbers stand to the right. Empty without rows."""
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    if not body:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    return f"<td>{text(value)}</td>"


def code(command: str) -> Raw:
    """A command to copy."""
    return Raw(f"<code>{text(command)}</code>")


def chip(content: object, kind: str = "") -> Raw:
    """A word in a frame; `kind` is `good`, `bad` or `soft`."""
    return Raw(f'<span class="chip {kind}">{text(content)}</span>')


def diff_html(pieces: Iterable[tuple[str, str]]) -> Raw:
    """A word diff, as `word_diff` gives it."""
    tags = {"same": "{}", "old": "<del>{}</del>", "new": "<ins>{}</ins>"}
    return Raw(f"<pre>{''.join(tags[kind].format(text(piece)) for kind, piece in pieces)}</pre>")

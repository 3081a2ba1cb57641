"""What the lines of a text are: how good a place the end of each is to end a chunk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import IntEnum


class Rank(IntEnum):
    """How good a place to end a chunk a border is; the best one in reach is taken."""

    NONE = 0
    """Never: what follows belongs to what is before, as a text to its heading."""
    LINE = 1
    """The end of a line that may lie within a sentence."""
    SENTENCE = 2
    ITEM = 3
    """The end of a list item, a row of a table or a line of code."""
    BLOCK = 4
    """The end of a paragraph, a list, a table or a block of code."""
    SECTION = 5
    """The end of a section: a heading follows."""


Structure = Callable[[list[str]], list[Rank]]
"""From the lines of a text to the rank of the border before each of them."""


def structure_of(media_type: str) -> Structure:
    """How texts of a media type are to be read; as plain text when it is none of the known ones."""
    return _STRUCTURES.get(media_type, plain_ranks)


def plain_ranks(lines: list[str]) -> list[Rank]:
    """Paragraphs between blank lines; other line ends may be those of an editor that wraps lines."""
    return [
        Rank.NONE if _is_blank(line) else Rank.BLOCK if is_after_blank else Rank.LINE
        for line, is_after_blank in _with_gaps(lines)
    ]


def code_ranks(lines: list[str]) -> list[Rank]:
    """Lines of code; what begins at the margin after a blank line is a section: a function, a table."""
    ranks = []
    for line, is_after_blank in _with_gaps(lines):
        if _is_blank(line):
            ranks.append(Rank.NONE)
        elif is_after_blank:
            ranks.append(Rank.BLOCK if line[0].isspace() else Rank.SECTION)
        else:
            ranks.append(Rank.ITEM)
    return ranks


_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<info>.*)")
_ATX_HEADING = re.compile(r" {0,3}#{1,6}(?:\s|$)")
_SETEXT_LINE = re.compile(r" {0,3}(?:=+|-+)\s*$")
_BLOCK_TAGS = (
    "address|article|aside|d[ltd]|details|div|figure|h[1-6]|hr|li|ol|p|pre|section|summary|t[drh]|table|tbody"
    "|thead|ul"
)
_MARKDOWN_ITEM = re.compile(
    rf"\s*(?:(?:[-*+]|\d{{1,9}}[.)])\s|\||</?(?:{_BLOCK_TAGS})\b|<!--|\[[^\]]+\]:\s)", re.IGNORECASE
)
# Of a line without blanks at its ends: with them, a long run of blanks would be gone through once for each.
_TABLE_RULE = re.compile(r"\|?\s*:?-{2,}:?\s*(?:\||$)[\s|:-]*$")


def markdown_ranks(lines: list[str]) -> list[Rank]:
    """Sections, paragraphs, list items, rows of tables; fenced code only between its lines."""
    ranks: list[Rank] = []
    fence = ""
    follows_heading = False
    for number, (line, is_after_blank) in enumerate(_with_gaps(lines)):
        mark = _FENCE.match(line)
        if fence:
            ranks.append(Rank.NONE if _is_blank(line) else Rank.ITEM)
            if mark and mark["mark"].startswith(fence) and not mark["info"].strip():
                fence = ""
            continue
        if _is_blank(line):
            ranks.append(Rank.NONE)
            continue
        is_heading = bool(_ATX_HEADING.match(line)) or _is_underlined(lines, number)
        if is_heading:
            ranks.append(Rank.SENTENCE if follows_heading else Rank.SECTION)
        elif follows_heading or _TABLE_RULE.match(line.strip()):
            ranks.append(Rank.NONE)
        else:
            ranks.append(_within(is_after_blank, bool(mark or _MARKDOWN_ITEM.match(line))))
        if mark and not (mark["mark"][0] == "`" and "`" in mark["info"]):
            fence = mark["mark"]
        # The line below a heading's text, too, belongs to the heading.
        follows_heading = is_heading or (follows_heading and bool(_SETEXT_LINE.match(line)))
    return ranks


_RULER = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*$")
_RST_ITEM = re.compile(
    r"\s*(?:(?:[-*+\u2022]|\(?(?:\d+|#|[a-zA-Z])[.)])\s|\.\.(?:\s|$)|:[^:`\s][^:`]*:(?:\s|$)|[+|]|==+ )"
)
_DIRECTIVE = re.compile(r"\s*\.\. (?P<name>[\w:-]+)::")
_CODE_DIRECTIVES = frozenset(
    ("code", "code-block", "sourcecode", "highlight", "parsed-literal", "math", "raw", "productionlist")
)


def rst_ranks(lines: list[str]) -> list[Rank]:
    """Sections, paragraphs, list items, fields and directives; literal blocks only between their lines."""
    ranks: list[Rank] = []
    literal: int | None = None
    follows_heading = False
    for number, (line, is_after_blank) in enumerate(_with_gaps(lines)):
        if _is_blank(line):
            ranks.append(Rank.NONE)
            continue
        indent = len(line) - len(line.lstrip())
        if literal is not None and indent > literal:
            ranks.append(Rank.BLOCK if is_after_blank and not follows_heading else Rank.ITEM)
            continue
        literal = None
        is_heading = _is_rst_heading(lines, number)
        if is_heading:
            ranks.append(Rank.SENTENCE if follows_heading else Rank.SECTION)
        elif follows_heading:
            ranks.append(Rank.NONE)
        else:
            ranks.append(_within(is_after_blank, bool(_RST_ITEM.match(line))))
        follows_heading = is_heading or (follows_heading and _is_part_of_heading(lines, number))
        if _opens_literal(line):
            literal = indent
    return ranks


def _is_blank(line: str) -> bool:
    return not line or line.isspace()


def _with_gaps(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether a blank one is before it."""
    is_after_blank = False
    for line in lines:
        yield line, is_after_blank
        is_after_blank = _is_blank(line)


def _within(is_after_blank: bool, is_item: bool) -> Rank:
    """The rank before a line of a section's text."""
    return Rank.BLOCK if is_after_blank else Rank.ITEM if is_item else Rank.LINE


def _is_underlined(lines: list[str], number: int) -> bool:
    """Whether a line is the text of a Markdown heading with a line of `=` or `-` below."""
    if number + 1 >= len(lines) or not _SETEXT_LINE.match(lines[number + 1]):
        return False
    if number and not _is_blank(lines[number - 1]):
        return False  # the last line of a paragraph; that is rarely meant as a heading
    return not (_MARKDOWN_ITEM.match(lines[number]) or _SETEXT_LINE.match(lines[number]))


def _is_rst_heading(lines: list[str], number: int) -> bool:
    """Whether a heading begins in a line: with its text, or with the line above it."""
    line = lines[number]
    below = lines[number + 1] if number + 1 < len(lines) else ""
    if number and not _is_blank(lines[number - 1]):
        return False
    if _RULER.match(line):
        return (
            not _is_blank(below) and number + 2 < len(lines) and lines[number + 2].rstrip() == line.rstrip()
        )
    return not line[0].isspace() and bool(_RULER.match(below))


def _is_part_of_heading(lines: list[str], number: int) -> bool:
    """Whether a line behind a heading's first one still is the heading's: its text, or the line below."""
    if _is_blank(lines[number - 1]):
        return False
    ruler_above = bool(_RULER.match(lines[number - 1]))
    return bool(_RULER.match(lines[number])) or (
        ruler_above and number + 1 < len(lines) and bool(_RULER.match(lines[number + 1]))
    )


def _opens_literal(line: str) -> bool:
    """Whether what is indented below a line is to be kept as it is."""
    if directive := _DIRECTIVE.match(line):
        return directive["name"] in _CODE_DIRECTIVES
    return line.rstrip().endswith("::")


_CODE_TYPES = ("text/x-code", "application/json", "application/yaml", "application/toml")
_STRUCTURES: dict[str, Structure] = {
    "text/markdown": markdown_ranks,
    "text/x-rst": rst_ranks,
    # What loading makes of these is Markdown.
    "text/html": markdown_ranks,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": markdown_ranks,
    **dict.fromkeys(_CODE_TYPES, code_ranks),
}

"""The code blocks of a page of documentation: which are files, which are run, and what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

Kind = Literal["file", "python", "console", "shown"]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_FILE_COMMENT = re.compile(r"^(?:#|//) (?P<path>[\w./-]+\.\w+)\s*$")
_FILE_BEFORE = re.compile(r"^`(?P<path>[\w./-]+\.\w+)`:$")
"""Formats without comments (CSV, JSON, plain text) are named by the line before the block."""


@dataclass(frozen=True)
class Block:
    """One fenced code block of a page."""

    page: Path
    line: int
    """1-based line of the opening fence."""
    kind: Kind
    text: str
    path: str | None = None
    """Where a file block belongs, relative to the workspace."""
    expected: str | None = None
    """What a python block prints: the `output` block right behind it. None when it shows nothing."""
    exit_code: int = 0
    """How the last command of a console block ends."""
    runs: bool = True

    @property
    def label(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in their order; an `output` block belongs to the python block before it."""
    blocks: list[Block] = []
    for line, info, before, text in _fenced(page.read_text(encoding="utf-8").splitlines()):
        language, *flags = info.split() or [""]
        block = _block(page, line, language, flags, before, text)
        if language == "output":
            previous = blocks.pop()
            assert previous.kind == "python", f"{block.label}: an output block follows a python block"
            block = Block(page, previous.line, "python", previous.text, expected=text, runs=previous.runs)
        blocks.append(block)
    return blocks


def tracks(page: Path) -> bool:
    """Whether a page's examples need tracking, which starts a process: the page says so in a comment."""
    return "<!-- examples: tracking -->" in page.read_text(encoding="utf-8")


def _fenced(lines: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """Line number, info string, last text before, and content of each block."""
    before, start, info, content, indent = "", 0, "", [], 0
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if start == 0:
            if fence:
                start, info, content, indent = number, fence["info"].strip(), [], len(fence["indent"])
            elif line.strip():
                before = line.strip()
        elif fence and not fence["info"].strip():
            yield start, info, before, "".join(f"{each[indent:]}\n" for each in content)
            start, before = 0, ""
        else:
            content.append(line)
    assert start == 0, f"the block of line {start} is not closed"


def _block(page: Path, line: int, language: str, flags: list[str], before: str, text: str) -> Block:
    path = _path(text, before)
    exit_code = next((int(flag.removeprefix("exit=")) for flag in flags if flag.startswith("exit=")), 0)
    runs = "no-run" not in flags
    if path is not None and language != "console":
        return Block(page, line, "file", text, path=path, runs=runs)
    if language in ("python", "console"):
        return Block(page, line, language, text, exit_code=exit_code, runs=runs)  # type: ignore[arg-type]  # one of both
    return Block(page, line, "shown", text)


def _path(text: str, before: str) -> str | None:
    first = text.partition("\n")[0]
    match = _FILE_COMMENT.match(first) or _FILE_BEFORE.match(before)
    return match["path"] if match else None

"""
Writing to the terminal: tables and colour where a person looks, plain lines where a program reads.

NO_COLOR and TERM=dumb are honoured.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at what is written to `stream`."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_display() -> bool:
    """Whether a page can be opened for the person who runs the command."""
    if sys.platform in ("darwin", "win32"):
        return sys.stdout.isatty()
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def colour(text: str, shade: str, stream: TextIO | None = None) -> str:
    """`text` in `shade` when `stream` (stdout by default) shows colours, else as it is."""
    if os.environ.get("NO_COLOR") or not is_terminal(stream or sys.stdout):
        return text
    return typer.style(text, fg=shade)


def say(text: str = "") -> None:
    """A line for the user on stdout."""
    typer.echo(text)


def complain(text: str) -> None:
    """An error paragraph on stderr."""
    typer.echo(f"{colour('Error:', 'red', sys.stderr)} {text}", err=True)


def log_to_stdout() -> None:
    """Send what this process and its children write to stderr to stdout from now on, as containers want."""
    sys.stderr.flush()
    os.dup2(1, 2)


def printable(text: str) -> str:
    """`text` on one line, with control characters spelled out: data must not steer the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def show_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """
    A table: drawn and fitted to the width on a terminal, else a line per row, columns aligned, nothing cut.

    None is shown as a dash: unknown must not look like empty or zero.
    """
    cells = [[printable("-" if cell is None else str(cell)) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _draw(headers, cells)
        return
    for line in align([[header.upper() for header in headers], *cells]):
        say(line)


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the cells of each column below one another, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(row).rstrip() for row in padded]


def _draw(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a bracket in the data is a bracket, not markup
    Console(highlight=False).print(table)

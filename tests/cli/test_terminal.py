"""Plain lines for programs, tables for people, and no data that steers the terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from latent.cli.terminal import colour, printable, say, show_table


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)


def on_terminal(show: Callable[[], object]) -> str:
    """What a person sees of what `show` writes."""
    with redirect_stdout(Terminal()) as screen:
        show()
    return screen.getvalue()


def test_rows_are_aligned_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["flow", "rows"], [["prepare", 12], ["evaluate", None]])
    assert capsys.readouterr().out == "FLOW      ROWS\nprepare   12\nevaluate  -\n"


def test_nothing_is_cut_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["text"], [["x" * 500]])
    assert "x" * 500 in capsys.readouterr().out


def test_table_fits_the_terminal() -> None:
    shown = on_terminal(lambda: show_table(["flow", "text"], [["prepare", "word " * 40]]))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert len(lines) > 4
    assert max(map(len, lines)) <= 60


def test_brackets_in_data_are_no_markup() -> None:
    shown = on_terminal(lambda: show_table(["text"], [["[red]x[/red] [1, 2]"]]))
    assert "[red]x[/red] [1, 2]" in shown


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_terminal(lambda: say(colour("x", "red"))) == "\x1b[31mx\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert on_terminal(lambda: say(colour("x", "red"))) == "x\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("two\nlines", "two\\nlines"), ("\x1b[2Jgone", "\\x1b[2Jgone"), ("naïve 名 🌳", "naïve 名 🌳")],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown

"""The live view: what it says, when it says it, and that it never gets into anybody's way."""

from __future__ import annotations

import io
import logging
import re
import sys
import time

import pytest

from latent.cli.live import Lines, Pace, Progress, Watch, drawn, facts, live_view, worth_showing
from latent.cli.screen import Screen, clipped, writing_above
from latent.prefect.outcomes import Outcomes


def progress(**changes: object) -> Progress:
    known = {
        "name": "ask", "rows": 100, "done": 40, "reused": 30, "failed": 0, "skipped": 0, "running": 8,
        "seconds": 5.0, "per_second": 2.0, "cost_usd": None,
    }  # fmt: skip
    return Progress(**known | changes)  # type: ignore[arg-type]


# What is said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "40 of 100 rows, 30 reused, 2.0/s, 30 s left"),
        ({"failed": 1, "cost_usd": 0.314}, "40 of 100 rows, 30 reused, 1 failed, 2.0/s, 30 s left, $0.3140"),
        ({"per_second": None}, "40 of 100 rows, 30 reused, 5.0 s"),
        ({"per_second": 0.05, "reused": 0}, "40 of 100 rows, 3.0/min, 20 min 0 s left"),
        ({"per_second": 1234.5, "rows": 10_000}, "40 of 10,000 rows, 30 reused, 1,234/s, 8 s left"),
        ({"done": 40, "running": 0, "skipped": 60}, "40 of 100 rows, 30 reused, 60 skipped, 5.0 s"),
        ({"skipped": 50}, "40 of 100 rows, 30 reused, 50 skipped, 2.0/s, stopping"),
        ({"rows": 0, "done": 0, "reused": 0}, "5.0 s"),
        ({"done": 99}, "99 of 100 rows, 30 reused, 2.0/s, 1 s left"),
        ({"rows": 0, "done": 3, "reused": 0}, "3 done, 5.0 s"),
    ],
)
def test_facts(changes: dict[str, object], said: str) -> None:
    assert ", ".join(fact for fact in facts(progress(**changes)) if fact) == said


def test_terminal_gets_a_line_for_each_task_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    tasks = [
        progress(name="load", rows=0, done=1, reused=0, running=0, seconds=0.5),
        progress(failed=2),
    ]
    assert drawn(tasks, 65.0) == [
        "load                        1 done                                      500 ms",
        "ask   ━━━━━━━━────────────  40 of 100 rows  30 reused  2 failed  2.0/s  30 s left",
        "1 min 5 s so far",
    ]


def test_tasks_that_go_on_are_shown_rather_than_others() -> None:
    tasks = [progress(name=f"t{n}", done=100, running=0) for n in range(20)] + [progress(name="last")]
    lines = drawn(tasks, 1.0)
    assert len(lines) == 13
    assert lines[-2].startswith("last")
    assert lines[-1] == "1.0 s so far, and 9 more tasks"


def test_watch_reads_the_account() -> None:
    outcomes = Outcomes()
    watch = Watch(outcomes)
    assert watch.look(0.0) == []
    outcomes.progressed("ask", planned=10)
    outcomes.finished("ask", {"cached": 5, "ok": 1, "failed": 1, "skipped": 1}, 1.0, 3.0)
    outcomes.progressed("ask", running=2)
    outcomes.spent("ask", 0.5)
    (ask,) = watch.look(10.0)
    assert (ask.rows, ask.done, ask.reused, ask.failed, ask.skipped, ask.running) == (10, 7, 5, 1, 1, 2)
    assert (ask.cost_usd, ask.per_second, ask.is_over, ask.seconds) == (0.5, None, False, 0.0)
    outcomes.finished("ask", {"ok": 2}, 3.0, 8.0)
    outcomes.progressed("ask", running=-2)
    (ask,) = watch.look(14.0)
    assert ask.is_over
    assert ask.seconds == 7.0, "what the task took, not how long it is being watched"
    assert ask.per_second == 0.5


def test_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    assert pace.per_second(0.0, 0) is None
    assert pace.per_second(0.2, 5) is None, "too soon to tell"
    assert pace.per_second(1.0, 10) == 10.0
    for second in range(2, 101):
        fast = pace.per_second(float(second), 10 + 100 * (second - 1))
    assert fast == pytest.approx(100, rel=0.01)
    assert pace.per_second(200.0, 10 + 100 * 99 + 1) == pytest.approx(0.01, rel=0.1), "it has stalled"


def test_pace_never_rises_while_no_row_ends() -> None:
    """Two at once, a minute each: 4 of 6 rows had ended after two minutes, and the others take theirs."""
    pace = Pace()
    pace.per_second(0.0, 0, 2)
    ends = {60.0: 1, 60.5: 2, 120.0: 3, 120.5: 4}
    done, told = 0, []
    for tick in range(1, 360):
        now = tick / 2
        done = ends.get(now, done)
        told.append(pace.per_second(now, done, 2))
    assert told[239] == pytest.approx(3 / 120)
    after = told[240:]
    assert after[0] == pytest.approx(4 / 120.5)
    assert after == sorted(after, reverse=True)
    assert after[-1] == pytest.approx(4 / 179.5)


def test_pace_reaches_back_to_before_the_rows_began() -> None:
    """Of 32 rows that began together, 31 end after 100 s and one after 130 s."""
    pace = Pace()
    pace.per_second(0.0, 0, 32)
    pace.per_second(100.0, 20, 32)
    pace.per_second(100.5, 31, 32)
    assert pace.per_second(130.0, 32, 32) == pytest.approx(32 / 130)


def test_nothing_is_shown_of_what_is_over_in_a_moment() -> None:
    assert not worth_showing([progress()], 0.1)
    assert worth_showing([progress()], 0.4)
    assert not worth_showing([progress(rows=3, done=1)], 0.4)
    assert worth_showing([progress(rows=3, done=1)], 1.0)
    assert not worth_showing([], 60.0)


# Plain lines


def said(states: list[tuple[float, Progress]]) -> list[float]:
    """At which seconds something was said, of the states that a task went through."""
    at: list[float] = []
    lines = Lines(lambda line: at.append(now))
    for now, task in states:
        lines([task], now)
    return at


def test_lines_come_every_ten_seconds_and_at_every_tenth() -> None:
    slow = [(float(s), progress(seconds=s, done=40)) for s in range(31)]
    assert said(slow) == [10, 20, 30]
    quick = [(float(s), progress(seconds=s, done=4 * s)) for s in range(26)]
    assert said(quick) == [10, 13, 15, 18, 20, 23, 25]
    sudden = [(s / 10, progress(seconds=s / 10, done=s - 100)) for s in range(100, 140)]
    assert said(sudden) == [10, 11, 12, 13], "not more than one a second"


def test_short_maps_and_calls_say_nothing() -> None:
    assert said([(s / 10, progress(seconds=s / 10, done=s)) for s in range(100)]) == []
    call = {"rows": 0, "done": 0, "reused": 0}
    assert said([(float(s), progress(seconds=s, **call)) for s in range(10)]) == []


def test_calls_that_take_long_say_so_less_and_less_often() -> None:
    call = {"rows": 0, "done": 0, "reused": 0}
    assert said([(float(s), progress(seconds=s, **call)) for s in range(200)]) == [10, 20, 40, 70, 110, 160]


def test_end_of_a_map_that_was_told_of_is_told_once() -> None:
    over = {"done": 100, "running": 0}
    states = [(12.0, progress(seconds=12)), (12.5, progress(seconds=12, **over)), (19.0, progress(**over))]
    assert said(states) == [12.0, 12.5]
    assert said(states[1:]) == []


def test_piped_run_gets_no_codes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latent.cli.live._LINE_SECONDS", 0.1)
    outcomes = Outcomes()
    outcomes.progressed("ask", planned=100)
    outcomes.finished("ask", {"cached": 75}, 1.0, 1.0)
    with live_view(outcomes):
        deadline = time.monotonic() + 10
        shown = ""
        while not shown and time.monotonic() < deadline:
            time.sleep(0.05)
            shown += capsys.readouterr().err
    assert re.fullmatch(r"(ask: 75 of 100 rows, 75 reused, \d+ ms\n)+", shown)


# The terminal


class Terminal(io.StringIO):
    """A terminal that understands what the screen writes to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> list[str]:
        lines, row = [""], 0
        for code, text in re.findall(r"(\x1b\[\d*[A-Z]|\r|\n)|([^\x1b\r\n]+)", self.getvalue()):
            if code == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif code.endswith("A"):
                row -= int(code[2:-1])
            elif code.endswith("J"):
                lines = [*lines[:row], ""]
            elif text:
                lines[row] += text
        return lines


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let the test write to a terminal; no fixture, since pytest sets the streams before each test."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_what_is_printed_and_logged_stays_above_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    handler = logging.StreamHandler(terminal)  # one that found the stream before
    log = logging.getLogger("other")
    monkeypatch.setattr(log, "propagate", False)  # other tests leave handlers with streams that are closed
    log.addHandler(handler)
    try:
        screen = Screen(terminal)
        with writing_above(screen):
            screen.draw(["one", "two"])
            print("printed")
            log.warning("logged")
            print("half", end="")
            assert terminal.shown == ["printed", "logged", "half"]
            screen.draw(["one", "2"])
            assert terminal.shown == ["printed", "logged", "half"], "not into another writer's line"
            print(" and half")
            assert terminal.shown == ["printed", "logged", "half and half", "one", "2", ""]
            screen.draw(["three"])
            screen.clear()
        print("after")
        assert terminal.shown == ["printed", "logged", "half and half", "after", ""]
        assert sys.stdout is sys.stderr is handler.stream is terminal
    finally:
        log.removeHandler(handler)


def test_prefects_handler_stays_above_the_lines_too(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    from prefect.logging.handlers import PrefectConsoleHandler

    handler = PrefectConsoleHandler()
    log = logging.getLogger("prefect.other")
    log.addHandler(handler)
    log.propagate = False
    try:
        screen = Screen(terminal)
        with writing_above(screen):
            screen.draw(["one"])
            log.warning("logged")
            assert [re.sub(r"\x1b\[\d*m", "", line) for line in terminal.shown] == ["logged", "one", ""]
        assert handler.console.file is terminal
    finally:
        log.removeHandler(handler)


def test_stream_that_is_piped_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stdout", piped)
    screen = Screen(terminal)
    with writing_above(screen):
        screen.draw(["one"])
        assert sys.stdout is piped
        print("printed")
    assert piped.getvalue() == "printed\n"


def test_lines_fit_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    screen = Screen(terminal)
    screen.draw([f"{number} {'x' * 100}" for number in range(30)])
    assert len(terminal.shown) == 10
    assert all(len(line) < 40 for line in terminal.shown)
    assert clipped("日本語の名前", 5) == "日本 "
    assert clipped("日本語", 6) == "日本語"


def test_code_that_keeps_the_stand_in_can_go_on_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    screen = Screen(terminal)
    with writing_above(screen):
        screen.draw(["one"])
        kept = sys.stdout
        assert (kept.isatty(), kept.encoding) == (True, "utf-8")
        screen.clear()
    print("late", file=kept)
    assert terminal.shown == ["late", ""]


def test_view_on_a_terminal_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr("latent.cli.live._QUIET_ROWS_SECONDS", 0.0)
    outcomes = Outcomes()
    outcomes.progressed("ask", planned=100)
    outcomes.finished("ask", {"ok": 10}, 1.0, 1.0)
    with live_view(outcomes):
        deadline = time.monotonic() + 10
        while "10 of 100" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        print("kept")
    assert terminal.shown == ["kept", ""]
    assert "10 of 100" in terminal.getvalue()
    assert sys.stdout is terminal


def test_broken_terminal_does_not_reach_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Terminal):
        def write(self, text: str) -> int:
            raise OSError("gone")

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("latent.cli.live._QUIET_ROWS_SECONDS", 0.0)
    outcomes = Outcomes()
    outcomes.progressed("ask", planned=100)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Broken())
        with live_view(outcomes):
            time.sleep(0.3)

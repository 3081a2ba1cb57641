"""
Count the functions of latent that a row passes, and in how many files they stand.

    python scripts/trace_rows.py            the figures: a new row, a remembered row, the whole map
    python scripts/trace_rows.py --list     and the functions of each, with their calls for each row

A flow maps a task over 400 rows twice: the first run computes them, the second finds them remembered. A run
over other rows comes before, since the first run of a process also imports, and reads the task's code. A row
passes the functions that are called at least once for (nearly) each row; a run passes every function called
from its start to its end, in all threads but the one that sends records to tracking. Comprehensions and
generator expressions are not counted.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

from latent.config import find_workspace
from latent.prefect import flow, task
from latent.testing import write_files
from latent.tracking import stop_writer

SOURCES = str(Path(inspect.getfile(find_workspace)).parent.parent)
ROWS = 400
MOST_ROWS = 0.95
"""The share of rows for which a function must be called: a few take another way, such as the first."""

TRACKING_THREAD = "latent-spool"
CALLED: list[CodeType] = []
"""What was called since the run began. Appending is atomic; adding to a count that threads share is not."""


@task("double")
def double(number: int) -> int:
    """Do nearly nothing, so that the functions around the call are what is seen."""
    return 2 * number


@flow("trace_rows")
def trace_rows(first: int) -> list[int]:
    """Map over `ROWS` numbers from `first` on."""
    results: list[int] = double.map(list(range(first, first + ROWS))).result()
    return results


def main(*, with_lists: bool) -> None:
    """Run the flow twice and print what each run passed."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, workspace(Path(name)):
        threading.setprofile(profile)
        sys.setprofile(profile)
        calls_of_a_run(0)
        new = calls_of_a_run(ROWS)
        remembered = calls_of_a_run(ROWS)
        sys.setprofile(None)
    for title, calls in {
        "a new row": per_row(new),
        "a remembered row": per_row(remembered),
        f"a run of {ROWS} new rows": new,
        f"a run of {ROWS} remembered rows": remembered,
    }.items():
        files = sorted({code.co_filename for code in calls})
        print(f"{title} passes {len(calls)} functions in {len(files)} files")
        for file in files if with_lists else ():
            print(f"  {Path(file).relative_to(SOURCES)}")
            for code in sorted(calls, key=lambda code: code.co_firstlineno):
                if code.co_filename == file:
                    print(f"    {code.co_qualname} ({calls[code] / ROWS:.3g})")


@contextmanager
def workspace(folder: Path) -> Iterator[None]:
    """A workspace in `folder` as the current one, and without a writer process left behind."""
    write_files(folder, {"config/latent.toml": "", "flows/.keep": ""})
    os.environ["LATENT_WORKSPACE"] = str(folder)
    try:
        yield
    finally:
        stop_writer(find_workspace(folder))


def calls_of_a_run(first: int) -> Counter[CodeType]:
    """How often each function of latent was called in one run of the flow."""
    CALLED.clear()
    trace_rows(first)
    return Counter(code for code in CALLED.copy() if is_function(code))


def profile(frame: FrameType, event: str, _: object) -> None:
    """Note what is called."""
    if event == "call" and threading.current_thread().name != TRACKING_THREAD:
        CALLED.append(frame.f_code)


def is_function(code: CodeType) -> bool:
    # The bodies of modules and classes run on import, and are not optimized.
    named = code.co_flags & inspect.CO_OPTIMIZED and (code.co_name[0] != "<" or code.co_name == "<lambda>")
    return bool(named) and code.co_filename.startswith(SOURCES)


def per_row(calls: Counter[CodeType]) -> Counter[CodeType]:
    return Counter({code: count for code, count in calls.items() if count >= MOST_ROWS * ROWS})


if __name__ == "__main__":
    main(with_lists="--list" in sys.argv[1:])

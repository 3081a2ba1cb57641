"""A flow of many rows that writes down what happens to them, for tests that interrupt it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.conftest import environment

WORKERS = 8
LATENT_RUN = ("-m", "latent", "run", "main")

# Rows are written down twice: when their work begins, and when the flow has their result.
FLOW = """
import os
import time
from pathlib import Path

from latent.prefect import flow, task
from latent.prefect.futures import as_completed


def note(event, row):
    # One short line in one write: it is there whole or not at all, whatever ends the process.
    file = os.open("rows.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{event} {os.getpid()} {row}\\n".encode())
    os.close(file)


@task("pay", retry=False)
def pay(row):
    note("began", row)
    Path(f"working-{os.getpid()}").touch()
    if not Path("hurry").exists():
        time.sleep(0.02 + row % 7 / 100)
    return {"row": row, "text": "x" * (2_000 if row % 10 == 0 else 20)}


@flow("main")
def main(rows=3_000):
    futures = pay.map(range(rows))
    for future in as_completed(futures):
        note("has", future.result()["row"])
    return [future.result()["row"] for future in futures] == list(range(rows))
"""

FILES = {
    "config/latent.toml": f"""
        [rows]
        max_workers = {WORKERS}
        [cache]
        large_value_bytes = 1_024
        [tracking]
        enabled = false
    """,
    "flows/main/flow.py": FLOW,
}


class Events:
    """What the rows of all lives wrote down, in the order in which it happened."""

    def __init__(self, file: Path) -> None:
        lines = [line.split() for line in file.read_text().splitlines()]
        self.all = [(event, int(pid), int(row)) for event, pid, row in lines]
        self.begun = Counter(row for event, _, row in self.all if event == "began")

    def begun_again_after_finish(self) -> set[int]:
        """Rows whose work began although some flow had their result already."""
        finished, wrong = set(), set()
        for event, _, row in self.all:
            if event == "has":
                finished.add(row)
            elif row in finished:
                wrong.add(row)
        return wrong

    def redone(self) -> Counter[int]:
        """How many rows each process began that another had to begin again."""
        began: dict[int, list[int]] = defaultdict(list)
        for event, pid, row in self.all:
            if event == "began":
                began[row].append(pid)
        return Counter(pid for pids in began.values() for pid in pids[:-1])


def begun(root: Path) -> int:
    """How many times the work of a row has begun so far."""
    file = root / "rows.log"
    return file.read_text().count("began") if file.exists() else 0


def run_python(*arguments: str, code: int = 0, **variables: str) -> str:
    """What a Python process prints that runs in the current workspace, from the sources under test."""
    with started(*arguments, **variables) as process:
        shown, _ = process.communicate(timeout=240)
    assert process.returncode == code, shown[-6000:]
    return shown


@contextmanager
def started(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Such a process at work; it does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for(rows: int, root: Path, process: subprocess.Popen[str]) -> None:
    """Return once so many rows have begun."""
    deadline = time.monotonic() + 60
    while begun(root) < rows:
        assert process.poll() is None, process.communicate()[0][-6000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def reused(shown: str) -> tuple[int, int]:
    """What a run says: how many rows it reused, and of how many."""
    line = next(line for line in shown.splitlines() if line.startswith("pay "))
    some, every = line.split("  ")[-1].split(" of ")
    return int(some.replace(",", "")), int(every.replace(",", ""))

"""How long a user waits before anything of theirs runs."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Figure, compare, milliseconds_of, python
from latent.config import find_workspace
from latent.testing import write_files
from latent.tracking import stop_writer

LATENT = [sys.executable, "-m", "latent"]
PREFECT = "from prefect import flow, task"

HELLO = {
    "config/latent.toml": "",
    "flows/hello/flow.py": """
        from latent.prefect import flow, task

        @task("greet", cache=False)
        def greet(name):
            return f"hello {name}"

        @flow("hello")
        def hello():
            return greet("you")
    """,
}


def figures() -> Iterator[Figure]:
    """Imports, help and the shortest run."""
    yield compare(
        "import latent",
        lambda: milliseconds_of(python("import latent")),
        lambda: milliseconds_of(python("pass")),
        peer="python -c pass",
        reach=2.0,
        rounds=15,
    )
    yield compare(
        "latent --help",
        lambda: milliseconds_of([*LATENT, "--help"]),
        lambda: milliseconds_of(python("import typer")),
        peer="import typer",
        reach=1.6,
        rounds=15,
    )
    with _workspace() as folder:
        yield compare(
            "latent run, one trivial task, warm writer",
            lambda: milliseconds_of([*LATENT, "run", "hello"], folder=folder),
            lambda: milliseconds_of(python(PREFECT)),
            peer=PREFECT,
            reach=1.6,
        )
    yield compare(
        "latent run, one trivial task, cold writer",
        _cold_run,
        lambda: milliseconds_of(python(PREFECT)),
        peer=PREFECT,
        reach=None,
        rounds=3,
    )


@contextmanager
def _workspace() -> Iterator[Path]:
    """A workspace whose writer process is up; it is stopped at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(folder, HELLO)
        milliseconds_of([*LATENT, "run", "hello", "--wait-tracking"], folder=folder)
        try:
            yield folder
        finally:
            stop_writer(find_workspace(folder))


def _cold_run() -> float:
    """The first run of a new workspace, whose writer starts beside it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(folder, HELLO)
        taken = milliseconds_of([*LATENT, "run", "hello"], folder=folder)
        stop_writer(find_workspace(folder))
        time.sleep(1)  # the stopped writer has the processor until it is gone
        return taken

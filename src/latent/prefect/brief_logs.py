"""
The user's lines and what went wrong, for a terminal: without what Prefect's engine says about each task run.

Who started the run is told at its end what became of each task, and what failed in which line; the engine's
lines and tracebacks stand in the run's log file. What users log themselves, `logger.exception` included, is
shown as it is.
"""

from __future__ import annotations

import copy
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def brief_logs() -> Iterator[None]:
    """While the block runs, the terminal shows of the engine only its failures, one line each."""
    from prefect.logging.handlers import PrefectConsoleHandler

    # Prefect's logging file says which of these has the terminal; users may bring a file of their own.
    names = (None, "prefect", "prefect.flow_runs", "prefect.task_runs")
    found = {handler for name in names for handler in logging.getLogger(name).handlers}
    before = {handler: handler.formatter for handler in found if isinstance(handler, PrefectConsoleHandler)}
    for handler, formatter in before.items():
        handler.setFormatter(_Brief(formatter or logging.Formatter()))
        handler.addFilter(_is_worth_reading)
    try:
        yield
    finally:
        for handler, formatter in before.items():
            handler.setFormatter(formatter)
            handler.removeFilter(_is_worth_reading)


def _is_worth_reading(record: logging.LogRecord) -> bool:
    """Not that a run began or ended: a thousand rows would say it a thousand times."""
    if Path(record.pathname).name not in _ENGINE_FILES:
        return True
    return record.levelno >= logging.WARNING and not record.getMessage().startswith(_TOLD_AT_THE_END)


_ENGINE_FILES = ("flow_engine.py", "task_engine.py")
_TOLD_AT_THE_END = ("Finished in state", "Encountered exception during execution", "Crash detected!")


class _Brief(logging.Formatter):
    """Formats as another formatter does, but without tracebacks that Prefect's engine logs."""

    def __init__(self, plain: logging.Formatter) -> None:
        import prefect

        super().__init__()
        self.plain = plain
        self.engine = str(Path(prefect.__file__).parent)

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and record.pathname.startswith(self.engine):
            # A copy: the log file's handler gets the same record, and wants its traceback.
            record = copy.copy(record)
            record.exc_info = record.exc_text = None
        return self.plain.format(record)

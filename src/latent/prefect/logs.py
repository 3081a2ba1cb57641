"""
`logger`: one object that logs to wherever this code runs.

In a run its lines are Prefect's (terminal, UI, API) and stand in `.latent/logs/<run id>.log`; outside of
runs, in plain functions and unit tests, they go to the standard library's logger "latent".
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from latent.config import Masker, ensure_private_dir
from latent.prefect.run import current_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.prefect.run import Run

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_FORMAT = "%(asctime)s %(levelname)-8s %(message)s"
_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class _Logger:
    """Hands every call on to the logger of the run that it is made in."""

    def __getattr__(self, name: str) -> Any:
        return getattr(get_flow_logger(), name)

    def __repr__(self) -> str:
        return f"<latent logger for {get_flow_logger()!r}>"


logger = cast("logging.Logger", _Logger())
"""Logs to the run that the calling code belongs to; a `logging.Logger` in all but its class."""


def get_flow_logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The logger of the running task or flow; the standard library's logger "latent" outside of runs."""
    # Who never imported Prefect is in no run.
    if "prefect.context" in sys.modules:
        from prefect.context import FlowRunContext, TaskRunContext
        from prefect.logging.loggers import flow_run_logger, get_run_logger

        if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
            return get_run_logger()
        run = current_run()
        if run is not None and run.flow_run is not None:
            return flow_run_logger(run.flow_run)
    return _plain_logger()


_told: set[str] = set()
_told_lock = Lock()


def warn_once(topic: str, message: str) -> None:
    """Warn about `topic` the first time in this process, and not again."""
    with _told_lock:
        if topic in _told:
            return
        _told.add(topic)
    get_flow_logger().warning(message)


@contextmanager
def log_errors(doing: str) -> Iterator[None]:
    """Log an error of the block, and go on: work that others wait for must not end with it."""
    try:
        yield
    except Exception:
        get_flow_logger().exception("%s failed; the run goes on.", doing)


@contextmanager
def run_log(run: Run) -> Iterator[None]:
    """While the block runs, write the run's lines to its own file, at the settings' level, secrets masked."""
    settings = run.workspace.settings.logging
    mask = _masking(run)
    _keep_to_prefects_level()
    handler = _file_handler(run) if settings.files else None
    for name in _RUN_LOGGERS:
        run_logger = logging.getLogger(name)
        run_logger.setLevel(settings.level)
        if handler is not None:
            run_logger.addHandler(handler)
    try:
        yield
    except BaseException:
        # Prefect logs what ends a flow once this run's file is closed.
        if handler is not None:
            handler.handle(_ending(mask))
        raise
    finally:
        if handler is not None:
            for name in _RUN_LOGGERS:
                logging.getLogger(name).removeHandler(handler)
            handler.close()


def _ending(mask: logging.Filter) -> logging.LogRecord:
    """A line about the exception being handled, with its traceback."""
    record = logging.LogRecord(
        "latent", logging.ERROR, __file__, 0, "The flow ended with an error.", (), sys.exc_info()
    )
    mask.filter(record)
    return record


class _AtPrefectsLevel(logging.Filter):
    """Where PREFECT_LOGGING_LEVEL is set, leaves out what is below it; the run's file has its own level."""

    def filter(self, record: logging.LogRecord) -> bool:
        from prefect.settings import get_current_settings

        chosen = get_current_settings().logging
        if "level" not in chosen.model_fields_set or not record.name.startswith(_RUN_LOGGERS):
            return True
        return record.levelno >= logging.getLevelNamesMapping()[chosen.level]


_at_prefects_level = _AtPrefectsLevel()


def _keep_to_prefects_level() -> None:
    """Filter what Prefect's handlers show and send. It stays: the engine logs how a flow ended afterwards."""
    for name in (None, "prefect", *_RUN_LOGGERS):
        for handler in logging.getLogger(name).handlers:
            if type(handler).__module__.startswith("prefect."):
                handler.addFilter(_at_prefects_level)


class _OfRun(logging.Filter):
    """Lets through what one run says: several may run in one process."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def filter(self, record: logging.LogRecord) -> bool:
        return str(getattr(record, "flow_run_id", self.run_id)) == self.run_id


class _Masking(logging.Filter):
    """Replaces credentials in a run's lines before any handler sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.masker = Masker()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        masked = self.masker.text(text)
        if masked != text:
            record.msg, record.args = masked, None
        if record.exc_info and not record.exc_text:
            # Handlers show this text in the place of a traceback of their own.
            record.exc_text = self.masker.text(logging.Formatter().formatException(record.exc_info))
        return True


_mask = _Masking()


def _masking(run: Run) -> logging.Filter:
    """
    The filter of this process, told of the run's credentials.

    It stays: Prefect logs how a flow ended when the run is over.
    """
    _mask.masker = run.masker
    for name in _RUN_LOGGERS:
        logging.getLogger(name).addFilter(_mask)
    return _mask


def _file_handler(run: Run) -> logging.Handler | None:
    try:
        ensure_private_dir(run.workspace.logs_dir)
        handler = _RunLogFile(run.workspace.logs_dir / f"{run.run_id}.log", encoding="utf-8", delay=True)
    except OSError as error:
        _tell_unwritten(error)
        return None
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_OfRun(run.run_id))
    return handler


def _tell_unwritten(error: BaseException | None) -> None:
    warn_once(
        "log-file", f"Log files are not written: {error}. The run goes on; its lines are in the terminal."
    )


class _RunLogFile(logging.FileHandler):
    """The file of a run's lines; a disk that takes no more of them costs the lines and nothing else."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging names it
        _tell_unwritten(sys.exc_info()[1])

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _plain_logger() -> logging.Logger:
    """The logger "latent", with a terminal of its own where nobody configured logging."""
    plain = logging.getLogger("latent")
    if not plain.hasHandlers():
        handler = _TerminalHandler()
        handler.setFormatter(_TerminalFormatter(_FORMAT, datefmt="%H:%M:%S"))
        plain.addHandler(handler)
    if plain.level == logging.NOTSET:
        plain.setLevel(logging.INFO)
    return plain


class _TerminalHandler(logging.StreamHandler[Any]):
    """Writes to whatever `sys.stderr` is at the time, since tests and notebooks replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _TerminalFormatter(logging.Formatter):
    """Colours the level on a terminal, and writes plain lines elsewhere."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        colour = _COLOURS.get(record.levelname)
        return f"\033[{colour}m{line}\033[0m" if colour and sys.stderr.isatty() else line

"""How a command ends: one paragraph for the user, one exit code for scripts."""

from __future__ import annotations

import traceback as tracebacks

from latent.cli.terminal import complain
from latent.errors import (
    ConfigError,
    DatasetConfigError,
    DatasetNotFoundError,
    FlowNotFoundError,
    LatentError,
    TaskExecutionError,
    UsageError,
)

DONE, FAILED, WRONG_USE = 0, 1, 2
INTERRUPTED, TERMINATED = 130, 143
"""As shells report them: 128 plus the number of SIGINT (Ctrl-C), and of SIGTERM."""

_WRONG_USE = (UsageError, ConfigError, FlowNotFoundError, DatasetNotFoundError, DatasetConfigError)


def exit_code(error: BaseException) -> int:
    """2 when the user must ask differently, 1 when what was asked for failed."""
    # A task's failure is also an instance of its original error's class: a ConfigError that a task
    # raised is a failure all the same.
    if isinstance(error, TaskExecutionError):
        return FAILED
    return WRONG_USE if isinstance(error, _WRONG_USE) else FAILED


def report(error: BaseException, *, traceback: bool) -> int:
    """Write the error to stderr, as one paragraph or with its traceback; returns the exit code."""
    if traceback:
        tracebacks.print_exception(error)
    elif isinstance(error, LatentError):
        complain(str(error))
    else:
        complain(f"{type(error).__name__}: {error}")
    return exit_code(error)

"""Which errors are the user's slip (2) and which are failures (1), and how each is told."""

from __future__ import annotations

import pytest

from latent.cli.exits import FAILED, WRONG_USE, exit_code, report
from latent.errors import (
    CacheError,
    ConfigError,
    DatasetLoadError,
    DatasetNotFoundError,
    FlowImportError,
    FlowNotFoundError,
    SettingsError,
    StoreConnectionError,
    StoreMismatchError,
    StoreRefusedError,
    StoreUsageError,
    TaskExecutionError,
    UsageError,
    WorkspaceError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("a word too many"), WRONG_USE),
        (WorkspaceError("no workspace"), WRONG_USE),
        (ConfigError("bad YAML"), WRONG_USE),
        (SettingsError(("unknown key",)), WRONG_USE),
        (FlowNotFoundError("a", ("b",), "flows/"), WRONG_USE),
        (DatasetNotFoundError("a", ("b",), "flows/x/catalog.yaml"), WRONG_USE),
        (StoreUsageError("lancedb", "docs", "a metric is one of cosine, not 'cosin'."), WRONG_USE),
        (StoreMismatchError("lancedb", "docs", "it was made for vectors of 256 numbers."), WRONG_USE),
        (StoreRefusedError("pinecone", "docs", "Pinecone refuses: no room."), FAILED),
        (StoreConnectionError("pinecone", "docs", "Pinecone cannot be reached."), FAILED),
        (FlowImportError("flows/x/flow.py", 3, "SyntaxError"), FAILED),
        (DatasetLoadError("a", "json.JSONDataset", "data/a.json", "it is cut off", 3), FAILED),
        (CacheError("the disk is full"), FAILED),
        (ZeroDivisionError("division by zero"), FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_task_that_failed_with_a_config_error_failed_all_the_same() -> None:
    """It is an instance of ConfigError too, so that the flow's own `except` catches it."""
    error = TaskExecutionError.of("load", ConfigError("bad YAML in the data"), {})
    assert isinstance(error, ConfigError)
    assert exit_code(error) == FAILED


def test_error_is_one_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    report(UsageError("Say which."), traceback=False)
    assert capsys.readouterr().err == "Error: Say which.\n"


def test_foreign_error_is_told_with_its_class(capsys: pytest.CaptureFixture[str]) -> None:
    report(ZeroDivisionError("division by zero"), traceback=False)
    assert capsys.readouterr().err == "Error: ZeroDivisionError: division by zero\n"


def test_traceback_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise UsageError("Say which.") from KeyError("it")
    except UsageError as error:
        report(error, traceback=True)
    shown = capsys.readouterr().err
    assert shown.startswith("KeyError: 'it'")
    assert shown.endswith("latent.errors.UsageError: Say which.\n")

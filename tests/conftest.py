"""What every room's tests share: the fixtures that users get, too."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest

from tests.prefect_server import make_database

pytest_plugins = ["latent.testing.plugin"]


def pytest_collection_finish() -> None:
    """What collecting has imported stays: looking there for garbage takes an eighth of the suite's time."""
    gc.collect()
    gc.freeze()


def pytest_configure() -> None:
    """Where a shell starts the suite in the background, it ignores Ctrl-C, and so would what it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of Prefect's server, to be copied."""
    own = tmp_path_factory.getbasetemp()
    return make_database(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)

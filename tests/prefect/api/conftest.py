"""A Prefect of its own for these tests, and one real Prefect server to compare with."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.prefect_server import Server, prefect_server

if TYPE_CHECKING:
    from prefect.settings import Settings

# Prefect leaves some of its own HTTP clients to the garbage collector, whatever server they talk to.
PREFECTS_SOCKETS = r"unclosed <socket\.socket.*127\.0\.0\.1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(f"ignore:{PREFECTS_SOCKETS}:ResourceWarning"))


@pytest.fixture(scope="session", autouse=True)
def prefects_sockets_are_collected_here() -> Iterator[None]:
    """Sockets that Prefect leaves behind are collected before other tests could stumble over them."""
    yield
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", PREFECTS_SOCKETS, ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect-home")


@pytest.fixture(scope="session")
def fresh_settings(prefect_home: Path) -> Settings:
    """Prefect's settings as on a fresh machine: no server named, nothing of the developer's own."""
    from prefect.settings import temporary_settings

    changes = {
        "home": prefect_home,
        "results.local_storage_path": prefect_home / "storage",
        "api.url": None,
        "api.key": None,
        "flows.heartbeat_frequency": None,
        "logging.to_api.enabled": False,
    }
    with temporary_settings(changes) as settings:
        return settings


@pytest.fixture(autouse=True)
def no_server_named(fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins with the settings of a fresh machine."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    from prefect.context import SettingsContext, get_settings_context

    with SettingsContext(profile=get_settings_context().profile, settings=fresh_settings):
        yield


@pytest.fixture(scope="session", autouse=True)
def server_process(request: pytest.FixtureRequest, prefect_home: Path) -> Iterator[Server | None]:
    """The real server, started beside the first tests, if any test will ask for it."""
    if not any("real_server" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    database = request.getfixturevalue("prefect_database")
    with prefect_server(prefect_home, database=database) as server:
        yield server


@pytest.fixture(scope="session")
def real_server(server_process: Server) -> str:
    """The address of the real server, once it answers."""
    return server_process.ready()


@pytest.fixture(scope="session")
def server_settings(fresh_settings: Settings, real_server: str) -> Settings:
    """
    Settings for the real server, with what only costs time here switched off.

    States and results are compared, and they do not depend on it: Prefect's events, the CSRF tokens
    and the CA bundle of a client that speaks plain HTTP.
    """
    from prefect.context import SettingsContext, get_settings_context
    from prefect.settings import temporary_settings

    from latent.prefect.api.session import NOBODY

    with SettingsContext(profile=get_settings_context().profile, settings=fresh_settings):
        changes = {
            "api.url": real_server,
            "api.ssl_cert_file": str(NOBODY),
            "client.csrf_support_enabled": False,
            "client.server_version_check_enabled": False,
        }
        with temporary_settings(changes) as settings:
            return settings

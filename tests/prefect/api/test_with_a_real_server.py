"""The in-memory API and a real Prefect server: the same flows, the same states and results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from prefect.context import SettingsContext, get_settings_context
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import Settings, temporary_settings

from latent.prefect.api import prefect_api
from latent.prefect.api.session import NOBODY
from tests.prefect.api.scenarios import SCENARIOS, Scenario


@pytest.fixture(scope="module")
def server_settings(fresh_settings: Settings, real_server: str) -> Settings:
    """
    Settings for the real server, with what only costs time here switched off.

    States and results are compared, and they do not depend on it: Prefect's events, the CSRF tokens
    and the CA bundle of a client that speaks plain HTTP.
    """
    with SettingsContext(profile=get_settings_context().profile, settings=fresh_settings):
        changes = {
            "api.url": real_server,
            "api.ssl_cert_file": str(NOBODY),
            "client.csrf_support_enabled": False,
            "client.server_version_check_enabled": False,
        }
        with temporary_settings(changes) as settings:
            return settings


@contextmanager
def on_the_server(settings: Settings) -> Iterator[None]:
    EventsWorker.set_client_override(NullEventsClient)
    try:
        with SettingsContext(profile=get_settings_context().profile, settings=settings):
            yield
    finally:
        EventsWorker.set_client_override(None)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_both_apis_see_the_same(scenario: Scenario, server_settings: Settings) -> None:
    mark = uuid4().hex[:8]
    with prefect_api() as url:
        assert url is not None
        in_memory = scenario(f"m{mark}")
    with on_the_server(server_settings):
        on_server = scenario(f"s{mark}")
    assert in_memory == on_server

"""The in-memory API and a real Prefect server: the same flows, the same states and results."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prefect.settings import Settings

from latent.prefect.api import prefect_api
from tests.prefect.api.on_server import on_the_server
from tests.prefect.api.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_both_apis_see_the_same(scenario: Scenario, server_settings: Settings) -> None:
    mark = uuid4().hex[:8]
    with prefect_api() as url:
        assert url is not None
        in_memory = scenario(f"m{mark}")
    with on_the_server(server_settings):
        on_server = scenario(f"s{mark}")
    assert in_memory == on_server

"""Requests to the in-memory API never leave for a proxy."""

from __future__ import annotations

import os

import pytest
from prefect import flow

from latent.prefect.api import prefect_api
from latent.prefect.api.proxies import loopback_without_proxy

PROXY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_flow_runs_where_the_environment_names_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    @flow
    def behind_a_proxy() -> int:
        return 1

    monkeypatch.setenv("HTTP_PROXY", PROXY)
    with prefect_api():
        assert behind_a_proxy() == 1
    assert "NO_PROXY" not in os.environ


@pytest.mark.parametrize(
    ("before", "inside"), [(None, "127.0.0.1"), ("a.org, b.org", "a.org,b.org,127.0.0.1")]
)
def test_exceptions_are_added_and_taken_back(
    before: str | None, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    if before is not None:
        monkeypatch.setenv("NO_PROXY", before)
    with loopback_without_proxy():
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == inside
    assert os.environ.get("NO_PROXY") == before
    assert "no_proxy" not in os.environ


@pytest.mark.parametrize(
    "environment",
    [{}, {"HTTPS_PROXY": PROXY}, {"HTTP_PROXY": PROXY, "NO_PROXY": "x,127.0.0.1"}, {"NO_PROXY": "*"}],
)
def test_nothing_is_touched_without_need(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with loopback_without_proxy():
        assert dict(os.environ) == before

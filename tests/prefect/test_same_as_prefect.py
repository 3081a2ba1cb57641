"""What a Prefect script does with Prefect, it does with latent: scenarios, run with both."""

from __future__ import annotations

import dataclasses

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from latent.registry import TaskRegistry
from tests.prefect.same_as_prefect import LATENT, PREFECT, seen
from tests.prefect.scenarios import all_scenarios, argument_kinds

SCENARIOS, GENERATED = all_scenarios(), dict(argument_kinds.scenarios())
FAILED = [name for name in GENERATED if name.startswith(argument_kinds.FAILED)]
ARGUMENTS = [name for name in GENERATED if name not in FAILED]

ON_PURPOSE = {
    "cache_with_broken_key": ("logs", "latent says it once, Prefect with a traceback for each call"),
    "flow_called_with_large_values": ("runs", "large arguments are not sent: Prefect gets their fingerprint"),
}
"""What is not compared, and why: each of it stands in docs/differences-from-prefect.md."""


@pytest.fixture(autouse=True)
def _empty_store(tmp_path):
    """Prefect's own cache outlives a process."""
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: str(tmp_path)}):
        yield


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_arrive_as_with_prefect(name, make):
    make({})
    expected = seen(GENERATED[name], PREFECT)
    TaskRegistry.clear()
    assert seen(GENERATED[name], LATENT) == expected


@pytest.mark.parametrize("name", FAILED)
def test_what_works_with_the_result_of_a_failed_task_is_not_called(name, make):
    """Prefect gives None, a state that is not ready or `UnfinishedRun`; latent an error in each case."""
    make({})
    found = seen(GENERATED[name], LATENT).result
    assert any(f"{error}: " in str(found) for error in ("ValueError", "UnfinishedRun")) or "PENDING" in str(
        found
    )
    assert "ValueError('-1 is negative') " not in str(found), "it was called"


@pytest.mark.parametrize("name", SCENARIOS)
def test_scripts_do_the_same_as_with_prefect(name, make):
    make({})
    expected = seen(SCENARIOS[name], PREFECT)
    TaskRegistry.clear()
    found = seen(SCENARIOS[name], LATENT)
    if name in ON_PURPOSE:
        left_out = {ON_PURPOSE[name][0]: None}
        assert found != expected, "it is not a difference any more: take it off the list, and off the docs"
        found, expected = dataclasses.replace(found, **left_out), dataclasses.replace(expected, **left_out)
    assert found == expected

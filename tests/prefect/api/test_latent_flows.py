"""Flows and tasks of latent's own, orchestrated by a real Prefect server."""

from __future__ import annotations

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.settings import PREFECT_API_URL, temporary_settings

from latent.prefect import flow, params, task
from latent.prefect.context import get_run_context


@pytest.fixture
def on_server(real_server):
    """Prefect's settings name the server: latent uses it, and nothing in memory."""
    with temporary_settings({PREFECT_API_URL: real_server}):
        yield real_server


def runs_on_server(flow_run_id):
    with get_client(sync_client=True) as client:
        (found,) = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        )
    return found


def test_same_flow_runs_on_a_server_and_is_found_there(make, on_server):
    make({"flows/main/parameters.yaml": "factor: 3\n"})
    seen = []

    @task("scale")
    def scale(x):
        return x * params.factor

    @flow("child")
    def child(x):
        return scale(x)

    @flow("main")
    def main(frame):
        seen.append(get_run_context().flow_run.id)
        return [child(1), *scale.map([1, 2]).result(), len(frame)]

    # An argument of a million numbers: a server refuses more than 512 kB.
    assert main(pd.DataFrame({"x": range(1_000_000)})) == [3, 3, 6, 1_000_000]
    found = runs_on_server(seen[0])
    assert found.state.is_completed()
    assert found.parameters["frame"].startswith("<DataFrame ")


def test_failure_is_the_same_and_the_server_knows_it(make, on_server):
    make({})
    seen = []

    @task("fail", retries=1)
    def fail():
        raise LookupError("nothing here")

    @flow("main")
    def main():
        seen.append(get_run_context().flow_run.id)
        fail()

    with pytest.raises(LookupError) as caught:
        main()
    assert caught.value.context["attempts"] == 2
    found = runs_on_server(seen[0])
    assert found.state.is_failed()

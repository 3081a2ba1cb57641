"""Flows and tasks of latent's own, orchestrated by a real Prefect server."""

from __future__ import annotations

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from latent.prefect import flow, params, task
from latent.prefect.context import get_run_context
from latent.prefect.rows.runners import limited_tags
from tests.prefect.api.test_vanished_server import relay


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


def test_rows_of_a_tag_with_a_limit_are_task_runs_of_their_own(make, on_server, caplog):
    make({"config/latent.toml": "[rows]\nrows_as_runs = 1\n"})
    with get_client(sync_client=True) as client:
        client.create_concurrency_limit(tag="narrow", concurrency_limit=2)
    seen = []

    @task("score", tags=["narrow", "wide"])
    def score(x):
        seen.append(get_run_context().task_run.id)
        return x

    @flow("main")
    def main():
        return score.map(range(4)).result()

    assert main() == [0, 1, 2, 3]
    assert len(set(seen)) == 4
    assert "tag 'narrow' carries a Prefect concurrency limit" in caplog.text


def test_a_server_that_is_gone_does_not_keep_rows_of_a_tag_from_being_mapped(make, real_server, caplog):
    make({})

    @task("score", tags=["wide"])
    def score(x):
        return x

    with relay(real_server) as way:
        gone = {PREFECT_API_URL: f"http://127.0.0.1:{way.port}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
        with temporary_settings(gone):
            assert limited_tags(score) == []
            assert "does not answer" not in caplog.text
            way.cut()
            assert limited_tags(score) == []
    assert "Prefect's server does not answer" in caplog.text

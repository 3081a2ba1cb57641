"""A deployment is checked against its flow before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from latent.config import DeploymentSettings
from latent.errors import DeploymentError
from latent.flows import READY
from latent.services.deployments.definitions import define

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TYPED = '''
"""Sums numbers up."""
from pydantic import BaseModel
from latent.prefect import flow, params

class Settings(BaseModel):
    size: int
    where: str = "here"

@flow("sum_up", config_schema=Settings)
def sum_up(size: int):
    return size
'''
PLAIN = """
from latent.prefect import flow

@flow("plain")
def plain(paths: list[str], count: int = 3):
    return paths
"""


@pytest.fixture
def workspace(make_workspace):
    return make_workspace(
        {
            "config/latent.toml": "",
            "flows/sum_up/flow.py": TYPED,
            "flows/sum_up/parameters.yaml": "size: 3\n",
            "flows/plain/flow.py": PLAIN,
            "flows/plain/parameters.yaml": "model: small\n",
        }
    )


def deployed(workspace, flow, **parameters):
    return define(workspace, DeploymentSettings(flow=flow, name="nightly", parameters=parameters), READY, NOW)


def test_definition_says_all_that_the_server_is_told(workspace):
    definition = deployed(workspace, "sum_up", where="there")
    assert (definition.name, definition.flow_name) == ("nightly", "sum_up")
    assert definition.description == "Sums numbers up."
    assert definition.record.workspace == workspace.root.name
    assert set(definition.parameter_schema["properties"]) == {"size", "where"}
    assert definition.parameter_schema["required"] == []


def test_flows_that_come_with_latent_can_be_deployed(workspace):
    assert deployed(workspace, "document_ingestion", file_paths=["a.md"]).flow_name == "document_ingestion"


@pytest.mark.parametrize(
    ("flow", "parameters", "message"),
    [
        ("sum_upp", {}, "Deployment 'nightly': There is no flow 'sum_upp' in .* did you mean 'sum_up'"),
        ("sum_up", {"size": "many"}, "size: Input should be a valid integer"),
        ("sum_up", {"szie": 3}, "szie: unknown key, did you mean 'size'"),
        ("plain", {}, "missing a required argument: 'paths'. Set it here, or in the flow's parameters.yaml"),
        ("plain", {"paths": "a"}, "paths: Input should be a valid list"),
        ("plain", {"paths": ["a"], "count": "x"}, "count: Input should be a valid integer"),
        ("plain", {"paths": ["a"], "modle": "x"}, "has no parameter 'modle': did you mean 'model'"),
    ],
)
def test_flow_and_parameters_that_do_not_fit_are_refused(workspace, caplog, flow, parameters, message):
    with pytest.raises(DeploymentError, match=message):
        deployed(workspace, flow, **parameters)
    assert "validation failed" not in caplog.text, "told once, by the error"

"""How the process of a deployed run comes to its workspace and its flow."""

from __future__ import annotations

import inspect

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs

from latent.errors import CodeChangedError, FlowNotFoundError, WorkspaceError
from latent.prefect.deployed import DeployedFlow
from latent.services.code_digest import code_digest
from latent.services.deployed import deployed_digest, enter_workspace, entrypoint, pull_steps

FLOW = """
from pydantic import BaseModel
from latent.prefect import flow, params

class Settings(BaseModel):
    size: int = 1
    where: str = "here"

@flow("sum_up", config_schema=Settings)
def sum_up(size: int, note: str = "none"):
    return size, note, params.where, params.unit
"""

FILES = {
    "config/latent.toml": "",
    "config/global.yaml": "unit: cm\n",
    "flows/sum_up/flow.py": FLOW,
    "flows/sum_up/parameters.yaml": "size: 3\n",
}


@pytest.fixture
def workspace(make_workspace, monkeypatch):
    made = make_workspace(FILES)
    monkeypatch.chdir(made.root)
    return made


def arguments(flow, parameters):
    """What Prefect's engine makes of a flow run's parameters before it runs the flow."""
    args, kwargs = parameters_to_args_kwargs(flow.fn, parameters)
    return flow.validate_parameters(get_call_parameters(flow.fn, args, kwargs))


def test_an_entrypoint_leads_to_the_flow_of_the_current_workspace(workspace):
    flow = load_flow_from_entrypoint(entrypoint("sum_up"))
    assert isinstance(flow, DeployedFlow)
    assert flow.name == "sum_up"


def test_flows_that_come_with_latent_have_one_too(workspace):
    assert load_flow_from_entrypoint(entrypoint("document_ingestion")).name == "document_ingestion"


@pytest.mark.parametrize("name", ["sum.up", "sum up", "sum:up"])
def test_names_that_are_no_names_in_python_pass(workspace, name):
    assert entrypoint(name).count(".") == 3
    with pytest.raises(FlowNotFoundError, match="sum"):
        load_flow_from_entrypoint(entrypoint(name))


def test_parameters_come_over_the_configuration_and_reach_function_and_params(workspace):
    flow = load_flow_from_entrypoint(entrypoint("sum_up"))
    assert arguments(flow, {}) == {"size": 3, "note": "none"}
    assert arguments(flow, {"size": "4", "where": "there", "unit": "m"})["size"] == 4
    assert arguments(flow, {"note": "given"}) == {"size": 3, "note": "given"}
    assert set(inspect.signature(flow.fn).parameters) == {"size", "note", "where", "unit"}
    with pytest.raises(ParameterTypeError, match="size"):
        arguments(flow, {"size": "many"})


def test_the_step_enters_the_workspace_that_was_deployed(workspace, tmp_path, monkeypatch):
    (step,) = pull_steps(workspace)[0].values()
    assert deployed_digest(pull_steps(workspace)) == code_digest(workspace)
    monkeypatch.chdir(tmp_path)
    assert enter_workspace(**step) == {"directory": str(workspace.root)}


def test_latent_workspace_comes_first_and_the_current_folder_last(workspace, make_workspace, monkeypatch):
    other = make_workspace(FILES)
    assert code_digest(other) == code_digest(workspace)
    digest = code_digest(workspace)
    assert enter_workspace("/nowhere", digest) == {"directory": str(workspace.root)}
    monkeypatch.setenv("LATENT_WORKSPACE", str(other.root))
    assert enter_workspace(str(workspace.root), digest) == {"directory": str(other.root)}


def test_a_machine_without_the_workspace_is_told_what_to_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match=r"/nowhere.*LATENT_WORKSPACE"):
        enter_workspace("/nowhere", "")
    with pytest.raises(WorkspaceError, match="LATENT_WORKSPACE"):
        load_flow_from_entrypoint(entrypoint("sum_up"))


def test_other_code_is_refused_with_both_digests_unless_it_is_trusted(workspace):
    deployed = code_digest(workspace)
    (workspace.root / "flows/sum_up/parameters.yaml").write_text("size: 4\n")
    with pytest.raises(CodeChangedError) as refused:
        enter_workspace(str(workspace.root), deployed)
    assert deployed in str(refused.value) and code_digest(workspace) in str(refused.value)
    (workspace.root / "config/latent.toml").write_text('[code]\ncheck = "trust"\n')
    assert enter_workspace(str(workspace.root), deployed) == {"directory": str(workspace.root)}

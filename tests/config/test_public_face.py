"""What `latent.config` offers, and what importing it costs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import latent
import latent.config

HEAVY = (
    "pydantic",
    "yaml",
    "tomllib",
    "prefect",
    "mlflow",
    "kedro",
    "pandas",
    "numpy",
    "pydantic_settings",
    "rich",
)


def test_every_public_name_can_be_imported_and_is_typed():
    for name in latent.config.__all__:
        assert getattr(latent.config, name) is not None
    tree = ast.parse(Path(latent.config.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(latent.config.__all__) == typed - {None}


def test_unknown_name_is_an_attribute_error():
    assert not hasattr(latent.config, "nothing")


def loaded_after(code: str) -> set[str]:
    """Which of the heavy libraries a fresh process has loaded after `code`."""
    report = f"import sys; {code}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    environ = {**os.environ, "PYTHONPATH": str(Path(latent.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, env=environ
    )
    return set(done.stdout.split())


def test_finding_the_workspace_loads_no_library():
    assert loaded_after("from latent.config import find_workspace; find_workspace()") == set()


def test_settings_load_pydantic_and_parameters_yaml_and_nothing_else(workspace):
    assert loaded_after("from latent.config import find_workspace; find_workspace().settings") == {
        "pydantic",
        "tomllib",
    }
    (workspace.config_dir / "global.yaml").write_text("a: 1")
    code = "from latent.config import find_workspace, load_parameters as load"
    assert loaded_after(f"{code}; load(find_workspace(), flow_name='x', folder=None)") == {"yaml"}

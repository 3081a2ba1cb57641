"""What every command shares: help, version, wrong use, and how little a start costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from latent import __version__
from latent.cli.app import COMMANDS, load_command
from tests.cli.conftest import Cli, environment

HEAVY = {"prefect", "mlflow", "pandas", "numpy", "pyarrow", "kedro", "rich", "yaml"}
"""Not pydantic: the parser itself checks the values of options with it."""


def test_help_lists_every_command_with_its_line(cli: Cli) -> None:
    ended = cli("--help")
    assert ended.code == 0
    width = max(map(len, COMMANDS))
    for name, line in COMMANDS.items():
        assert f"  {name.ljust(width)}  {line}" in ended.out


@pytest.mark.parametrize("name", COMMANDS)
def test_command_says_in_its_own_help_what_the_list_says(name: str) -> None:
    """The list is written by hand, so that it can be shown without loading the commands."""
    assert load_command(name).help.splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_version(cli: Cli, args: list[str]) -> None:
    assert cli(*args).out == f"latent {__version__}\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run", "flow", "--wait"], "No such option: --wait"),
        (["cache", "clean"], "No such command 'clean'"),
        (["why"], "Missing argument"),
    ],
)
def test_wrong_use_ends_with_2_and_names_what_is_wrong(cli: Cli, args: list[str], message: str) -> None:
    ended = cli(*args)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_help_of_no_command_loads_a_heavy_library() -> None:
    lines = [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in COMMANDS),
        ["cache", "clear", "--help"],
    ]
    command = f"""
    for line in {lines!r}:
        sys.argv[1:] = line
        try:
            main()
        except SystemExit as end:
            assert end.code == 0, line
"""
    assert not _modules_after("from latent.cli import main", command) & HEAVY


def test_first_help_needs_not_even_pydantic() -> None:
    assert not _modules_after("sys.argv[1:] = ['--help']") & {"pydantic"}


def test_import_loads_nothing_else() -> None:
    assert not _modules_after("", command="import latent.cli") & (HEAVY | {"typer"})


def test_completion_of_flow_names_loads_no_heavy_library(cli: Cli, tmp_path) -> None:
    for name in ("answers", "anatomy", "broken"):
        (tmp_path / "flows" / name).mkdir(parents=True)
        (tmp_path / "flows" / name / "flow.py").write_text("import nothing_of_that_name")
    asked = {"_LATENT_COMPLETE": "complete_bash", "COMP_WORDS": "latent run an", "COMP_CWORD": "2"}
    loaded = _modules_after(
        f"import os; os.environ.update({asked}); os.chdir({str(tmp_path)!r}); sys.argv[0] = 'latent'"
    )
    assert not loaded & HEAVY
    offered = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'latent'; from latent.cli import main; main()"],
        env=environment(**asked),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert offered.stdout.split() == ["anatomy", "answers"]


def _modules_after(preparation: str, command: str = "from latent.cli import main; main()") -> set[str]:
    """Top-level modules that a fresh process has loaded after running a command."""
    script = f"""
import json, sys
{preparation}
try:
    {command}
finally:
    sys.stderr.write("LOADED" + json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=60
    )
    return set(json.loads(done.stderr.partition("LOADED")[2]))

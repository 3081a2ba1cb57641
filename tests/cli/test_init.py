"""A new workspace: made whole or not at all, and nothing overwritten without asking."""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path

import pytest

from latent.cli.scaffold import conflicts, flow_files, template_names, workspace_files, write_files
from latent.errors import UsageError, WorkspaceError
from tests.cli.conftest import Cli, environment


@pytest.mark.parametrize("template", template_names())
def test_template_has_what_a_workspace_needs(cli: Cli, tmp_path: Path, template: str) -> None:
    ended = cli("init", "project", "--template", template)
    root = tmp_path / "project"
    assert ended.code == 0, ended.err
    assert ".latent/" in (root / ".gitignore").read_text().splitlines()
    assert "config/credentials.yaml" in (root / ".gitignore").read_text().splitlines()
    assert "on_code_change" in (root / "config" / "latent.toml").read_text()
    assert (root / "config" / "global.yaml").is_file()
    (flow_file,) = root.glob("flows/*/flow.py")
    assert {"parameters.yaml", "catalog.yaml"} < {path.name for path in flow_file.parent.iterdir()}
    assert f"latent run {flow_file.parent.name}" in ended.out


def test_templates_are_the_documented_ones() -> None:
    assert template_names() == ["default", "evaluation", "minimal"]


def test_unknown_template_names_the_nearest(cli: Cli) -> None:
    ended = cli("init", "--template", "evaluatoin")
    assert (ended.code, ended.out) == (2, "")
    assert "did you mean 'evaluation'?" in ended.err


def test_files_in_the_way_are_named_and_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    ended = cli("init")
    assert ended.code == 2
    assert "README.md" in ended.err
    assert "--force" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_force_overwrites_only_the_files_of_the_template(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine too")
    assert cli("init", "--force").code == 0
    assert (tmp_path / "README.md").read_text() != "mine"
    assert (tmp_path / "notes.txt").read_text() == "mine too"


def test_second_init_finds_nothing_in_the_way(cli: Cli) -> None:
    assert cli("init").code == 0
    assert cli("init").code == 0


def test_settings_of_an_existing_project_are_kept(cli: Cli, tmp_path: Path) -> None:
    """Two settings files would be an error at the first run."""
    (tmp_path / "latent.toml").write_text('environment = "dev"\n')
    ended = cli("init", "--template", "minimal")
    assert ended.code == 0
    assert "Kept latent.toml" in ended.out
    assert not (tmp_path / "config" / "latent.toml").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a Unix thing")
def test_terminal_is_asked_about_each_file(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".gitignore").write_text("mine")
    code, shown = _in_terminal(["init"], tmp_path, answers="n\ny\n")
    assert code == 0, shown
    assert ".gitignore exists. Overwrite it?" in shown
    assert "README.md exists. Overwrite it?" in shown
    assert (tmp_path / ".gitignore").read_text() != "mine"
    assert (tmp_path / "README.md").read_text() == "mine"
    assert "Kept README.md" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a Unix thing")
def test_interrupted_question_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    code, _ = _in_terminal(["init"], tmp_path, answers="\x03")
    assert code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_folder_where_a_file_must_go_is_refused_even_by_force(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    ended = cli("init", "--force")
    assert ended.code == 2
    assert "is a folder" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_file_where_a_folder_must_go_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "flows").write_text("a file")
    ended = cli("init")
    assert ended.code == 2
    assert "is a file" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["flows"]


def test_failed_write_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("before")
    with pytest.raises(WorkspaceError, match="Nothing was written"):
        write_files(tmp_path, {"new/file": b"1", "kept": b"2", "kept/below": b"3"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_files_are_readable_as_the_users_others_are(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_files(tmp_path, {"made": b"1"})
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


def test_conflicts_are_files_with_another_content(tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"1")
    (tmp_path / "other").write_bytes(b"1")
    assert conflicts(tmp_path, {"same": b"1", "other": b"2", "absent": b"3"}) == ["other"]


def test_template_files_hold_no_compiled_code() -> None:
    assert not [path for path in workspace_files("default") if "__pycache__" in path or path.endswith(".pyc")]


def test_new_flow_bears_its_name_throughout(cli: Cli, tmp_path: Path) -> None:
    cli("init", "--template", "minimal")
    ended = cli("new", "flow", "answers")
    assert ended.code == 0, ended.err
    text = (tmp_path / "flows" / "answers" / "flow.py").read_text()
    assert '@flow("answers")\ndef answers()' in text
    assert "my_flow" not in text
    assert "latent run answers" in ended.out


@pytest.mark.parametrize("name", ["two words", "a.b", "../up", "1st", "", "größe"])
def test_name_that_cannot_be_a_flows_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a flow"):
        flow_files(name)


def test_new_flow_needs_a_workspace(cli: Cli, tmp_path: Path) -> None:
    ended = cli("new", "flow", "answers")
    assert ended.code == 2
    assert "latent init" in ended.err
    assert not list(tmp_path.iterdir())


def _in_terminal(args: list[str], cwd: Path, answers: str) -> tuple[int, str]:
    """Run a command in a pseudo-terminal that types `answers`; its exit code and what it showed."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        os.execve(sys.executable, [sys.executable, "-m", "latent", *args], environment(TERM="xterm"))
    shown = b""
    interrupts, asked = answers == "\x03", False
    if not interrupts:
        os.write(terminal, answers.encode())
    while True:
        # Python misses a Ctrl-C that comes right before it waits for a key; people press it once more.
        is_quiet = not select.select([terminal], [], [], 1.0)[0]
        try:
            shown += (chunk := b"" if is_quiet else os.read(terminal, 4096))
        except OSError:  # Linux says so when the child has closed its end
            break
        if not (chunk or is_quiet):
            break
        asked, was_asked = b"Overwrite" in shown, asked
        if interrupts and asked and (is_quiet or not was_asked):
            os.write(terminal, b"\x03")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()

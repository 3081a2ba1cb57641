"""Commands that look at a workspace: flows, graph, datasets, memory, past runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from latent.config import Workspace
from latent.testing.plugin import MakeWorkspace
from tests.cli.conftest import Cli

FILES = {
    "flows/prepare/flow.py": '''
        """Prepare the questions."""
        from latent.prefect import flow, task

        @task("split", input="corpus", output="parts")
        def split(corpus):
            return corpus.split()

        @task("shout")
        def shout(part):
            return part.upper()

        @flow("prepare", output="shouted")
        def prepare():
            """Split the corpus and shout its parts.

            At length.
            """
            return shout.map(part=split()).result()
    ''',
    "flows/prepare/catalog.yaml": """
        corpus: data/corpus.txt
        parts: data/parts.json
        shouted: data/shouted.json
    """,
    "flows/evaluate/flow.py": """
        from latent.prefect import flow

        @flow("evaluate", input=["prepare.shouted", "parts"])
        def evaluate(shouted, parts):
            return len(shouted)
    """,
    "flows/evaluate/catalog.yaml": "parts: data/own_parts.json\nfar: s3://bucket/far.json",
    "data/corpus.txt": "to be or",
}


@pytest.fixture
def workspace(make: MakeWorkspace) -> Workspace:
    return make(FILES)


@pytest.fixture
def ran(workspace: Workspace, latent: Cli) -> Workspace:
    assert latent("run", "prepare").code == 0
    return workspace


def test_ls_shows_what_flows_do_read_and_write(latent: Cli, workspace: Workspace) -> None:
    ended = latent("ls")
    assert ended.code == 0
    header, evaluate, prepare, ready = ended.out.splitlines()
    assert header.split("  ")[0] == "FLOW"
    assert evaluate.split() == ["evaluate", "prepare.shouted,", "parts", "flows/evaluate/flow.py"]
    assert prepare.startswith("prepare   Split the corpus and shout its parts.")
    assert prepare.endswith("shouted  flows/prepare/flow.py")
    assert ready.startswith(
        "Ready in any workspace: batch_evaluation, comparison, document_ingestion, imported_evaluation, "
        "rescoring."
    )


def test_ls_shows_a_copy_of_a_ready_flow_in_its_place(latent: Cli, make: MakeWorkspace) -> None:
    make({})
    assert latent("new", "flow", "document_ingestion", "--from", "document_ingestion").code == 0
    ended = latent("ls")
    assert "flows/document_ingestion/flow.py" in ended.out
    assert (
        "Ready in any workspace: batch_evaluation, comparison, imported_evaluation, rescoring." in ended.out
    )


def test_ls_lists_the_others_when_a_flow_file_is_broken(
    latent: Cli, workspace: Workspace, make: MakeWorkspace
) -> None:
    make({"flows/broken/flow.py": "import latent\n\ndef broken(:\n"})
    ended = latent("ls")
    assert ended.code == 1
    assert [line.split()[0] for line in ended.out.splitlines()] == ["FLOW", "evaluate", "prepare", "Ready"]
    assert ended.err == "Error: flows/broken/flow.py:3 cannot be loaded: SyntaxError: invalid syntax\n"


def test_ls_of_an_empty_workspace_says_how_to_begin(latent: Cli, make: MakeWorkspace) -> None:
    make({})
    ended = latent("ls")
    assert ended.code == 0
    assert "`latent new flow NAME`" in ended.out


@pytest.mark.parametrize("args", [["ls"], ["run", "x"], ["graph"], ["catalog", "list"], ["runs", "list"]])
def test_commands_need_a_workspace(
    latent: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.delenv("LATENT_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    ended = latent(*args)
    assert ended.code == 2
    assert "There is no workspace in" in ended.err
    assert "latent init" in ended.err


def test_graph_shows_tasks_without_running_them(latent: Cli, workspace: Workspace) -> None:
    ended = latent("graph")
    assert ended.code == 0
    assert "📦 Flow: prepare" in ended.out
    assert "  ├── ⚙️  split\n  │    ⬇️  in: corpus\n  │    ⬆️  out: parts\n" in ended.out
    assert not workspace.runs_dir.exists()
    assert not (workspace.root / "data/parts.json").exists()


def test_graph_of_one_flow(latent: Cli, workspace: Workspace) -> None:
    ended = latent("graph", "evaluate")
    assert "Flow: evaluate" in ended.out
    assert "Flow: prepare" not in ended.out


def test_graph_shows_tasks_that_a_class_of_the_flows_file_calls(latent: Cli, make: MakeWorkspace) -> None:
    working = """
        from latent.prefect import flow, task

        @task("begin")
        def begin():
            return 1

        @task("finish")
        def finish(number):
            return number

        class Work:
            def do(self):
                return finish(begin())

        @flow("working")
        def working():
            return Work().do()
    """
    make({"flows/working/flow.py": working})
    shown = latent("graph", "working").out
    assert [line.split()[-1] for line in shown.splitlines() if "⚙️" in line] == ["begin", "finish"]


def test_graph_as_mermaid_joins_flows_by_their_data(latent: Cli, workspace: Workspace) -> None:
    ended = latent("graph", "--mermaid")
    assert ended.out.startswith("flowchart LR\n")
    assert ended.out.count('[("prepare.shouted")]') == 1


def test_graph_of_an_unknown_flow_names_the_nearest(latent: Cli, workspace: Workspace) -> None:
    ended = latent("graph", "prepar")
    assert ended.code == 2
    assert "did you mean 'prepare'?" in ended.err


def test_catalog_list_shows_every_dataset_of_every_flow(latent: Cli, workspace: Workspace) -> None:
    ended = latent("catalog", "list")
    assert ended.code == 0
    assert [line.split() for line in ended.out.splitlines()] == [
        ["FLOW", "DATASET", "TYPE", "PATH", "EXISTS"],
        ["evaluate", "far", "json.JSONDataset", "s3://bucket/far.json", "-"],
        ["evaluate", "parts", "json.JSONDataset", "data/own_parts.json", "no"],
        ["prepare", "corpus", "text.TextDataset", "data/corpus.txt", "yes"],
        ["prepare", "parts", "json.JSONDataset", "data/parts.json", "no"],
        ["prepare", "shouted", "json.JSONDataset", "data/shouted.json", "no"],
    ]


def test_catalog_list_of_one_flow(latent: Cli, workspace: Workspace) -> None:
    assert "corpus" not in latent("catalog", "list", "--flow", "evaluate").out
    assert "did you mean 'evaluate'?" in latent("catalog", "list", "--flow", "evaluat").err


def test_catalog_list_shows_the_others_when_a_file_is_broken(
    latent: Cli, workspace: Workspace, make: MakeWorkspace
) -> None:
    make({"flows/evaluate/catalog.yaml": "parts: [data\n"})
    ended = latent("catalog", "list")
    assert ended.code == 2
    assert "shouted" in ended.out
    assert ended.err.startswith("Error: flows/evaluate/catalog.yaml:")


def test_catalog_show(latent: Cli, workspace: Workspace) -> None:
    ended = latent("catalog", "show", "corpus")
    facts = dict(line.split(":", 1) for line in ended.out.splitlines())
    assert facts["Path"].strip() == "data/corpus.txt"
    assert facts["Exists"].strip() == "yes"
    assert facts["Size"].strip() == "8 B"
    assert len(facts["Fingerprint"].strip()) == 32


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("corpsu", "did you mean 'corpus'?"),
        ("parts", "say evaluate.parts or prepare.parts"),
        ("prepare.nothing", "'prepare.nothing'"),
    ],
)
def test_catalog_show_of_a_name_that_means_nothing_or_too_much(
    latent: Cli, workspace: Workspace, name: str, message: str
) -> None:
    ended = latent("catalog", "show", name)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


@pytest.mark.parametrize("args", [["prepare.parts"], ["parts", "--flow", "prepare"]])
def test_catalog_show_of_one_flows_dataset(latent: Cli, workspace: Workspace, args: list[str]) -> None:
    assert "data/parts.json" in latent("catalog", "show", *args).out


def test_cache_stats_count_by_task(latent: Cli, ran: Workspace) -> None:
    lines = [line.split() for line in latent("cache", "stats").out.splitlines()]
    assert lines[0] == ["TASK", "KIND", "RESULTS", "EXPIRED", "SIZE"]
    assert lines[1][:4] == ["shout", "row", "3", "0"]
    assert lines[2][:4] == ["split", "task", "1", "0"]
    assert lines[3][:2] == ["4", "results"]


@pytest.mark.parametrize(
    ("options", "forgotten", "left"),
    [
        (["--yes"], "4 results forgotten.", "Nothing is remembered"),
        (["--task", "shout"], "3 results forgotten.", "1 result in"),
        (["--expired"], "0 results forgotten.", "4 results in"),
        (["--checkpoints"], "0 results forgotten.", "4 results in"),
        (["--task", "split", "--expired"], "0 results forgotten.", "4 results in"),
    ],
)
def test_cache_clear_forgets_what_all_options_select(
    latent: Cli, ran: Workspace, options: list[str], forgotten: str, left: str
) -> None:
    assert latent("cache", "clear", *options).out == f"{forgotten}\n"
    assert left in latent("cache", "stats").out


def test_cache_clear_without_a_terminal_forgets_everything_only_when_told_to(
    latent: Cli, ran: Workspace
) -> None:
    ended = latent("cache", "clear")
    assert (ended.code, ended.out) == (2, "")
    assert "all 4 remembered results" in ended.err
    assert "--yes" in ended.err
    assert "4 results in" in latent("cache", "stats").out


def test_cache_clear_of_an_empty_memory_asks_nothing(latent: Cli, workspace: Workspace) -> None:
    assert latent("cache", "clear").out == "0 results forgotten.\n"


def test_cache_clear_of_an_unknown_task_names_the_nearest(latent: Cli, ran: Workspace) -> None:
    ended = latent("cache", "clear", "--task", "spilt")
    assert ended.code == 2
    assert "did you mean 'split'?" in ended.err


def test_runs_are_listed_newest_first(latent: Cli, ran: Workspace) -> None:
    latent("run", "evaluate", "-p", "x=1")
    header, first, second = latent("runs", "list").out.splitlines()
    assert header.split() == ["RUN", "FLOW", "STATE", "STARTED", "TOOK", "OUTCOME"]
    assert first.split()[1:3] == ["evaluate", "failed"]
    assert second.split()[1:3] == ["prepare", "ok"]
    assert second.endswith("4 ok")
    assert len(latent("runs", "list", "--flow", "prepare").out.splitlines()) == 2
    assert len(latent("runs", "list", "--limit", "1").out.splitlines()) == 2


def test_runs_without_an_id_are_the_last_one(latent: Cli, ran: Workspace) -> None:
    latent("run", "evaluate", "-p", "x=1")
    assert latent("runs", "show").out == latent("runs", "show", "last").out
    assert "evaluate" in latent("runs", "show").out
    assert latent("runs", "rows").code == latent("runs", "failures").code == 0


def test_runs_show_says_where_nothing_has_run(latent: Cli, workspace: Workspace) -> None:
    ended = latent("runs", "show")
    assert ended.code != 0
    assert "latent run FLOW" in ended.err


def test_runs_show_takes_the_beginning_of_an_id(latent: Cli, ran: Workspace) -> None:
    (folder,) = ran.runs_dir.iterdir()
    ended = latent("runs", "show", folder.name[:6])
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == f"Run:       {folder.name}"
    assert "Tracking:  off" in lines
    assert ["shout", "3", "ok"] in [line.split()[:3] for line in lines]
    assert ["output", "shouted", "3", "data/shouted.json"] in [line.split() for line in lines]


def test_runs_show_tells_the_error_and_its_traceback_on_request(latent: Cli, workspace: Workspace) -> None:
    latent("run", "evaluate")
    (folder,) = workspace.runs_dir.iterdir()
    plain = latent("runs", "show", folder.name).out
    assert "State:       failed" in plain or "State:" in plain
    assert "Dataset" in plain
    assert "Traceback" not in plain
    assert "Traceback" in latent("runs", "show", folder.name, "--traceback").out


def test_unknown_run_is_wrong_use(latent: Cli, workspace: Workspace) -> None:
    ended = latent("runs", "show", "nothing")
    assert ended.code == 2
    assert "`latent runs list`" in ended.err


def test_no_runs_yet(latent: Cli, workspace: Workspace) -> None:
    assert latent("runs", "list").out == "No runs in .latent/runs yet.\n"

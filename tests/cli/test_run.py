"""`latent run`: what it takes, what it says at the end, and with which code it ends."""

from __future__ import annotations

import json
import socket

import pytest

from latent.config import Workspace
from latent.testing.plugin import MakeWorkspace
from latent.tracking import list_runs, stop_writer
from tests.cli.conftest import Cli

HELLO = """
    from latent.prefect import flow, params, task

    @task("greet")
    def greet(name):
        return f"Hello, {name}!"

    @flow("hello")
    def hello():
        return greet(params.name)
"""
FAILING = """
    from latent.prefect import flow, params, task

    @task("check", retry=False)
    def check(row):
        if row == 3:
            raise ValueError("three is refused")
        return row

    @flow("failing")
    def failing():
        if params.get("how") == "divide":
            return 1 / 0
        return check.map(row=range(5)).result()
"""
CHECKED = """
    from pydantic import BaseModel, Field
    from latent.prefect import flow

    class Config(BaseModel):
        batch_size: int = Field(1, gt=0)

    @flow("checked", config_schema=Config)
    def checked():
        return "ran"
"""


@pytest.fixture
def hello(make: MakeWorkspace) -> Workspace:
    return make({"flows/hello/flow.py": HELLO, "flows/hello/parameters.yaml": "name: world"})


@pytest.fixture
def failing(make: MakeWorkspace) -> Workspace:
    return make({"flows/failing/flow.py": FAILING})


def test_end_of_a_run_says_what_came_of_it_and_where_it_lies(latent: Cli, hello: Workspace) -> None:
    ended = latent("run", "hello")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("Flow 'hello' done after ")
    assert lines[0].endswith(": 1 ok.")
    assert lines[1].split() == ["TASK", "OUTCOME", "TIME", "REUSED"]
    assert lines[2].startswith("greet  1 ok ")
    assert lines[2].endswith("0 of 1")
    assert lines[3] == "Result:  Hello, world!"
    (folder,) = hello.runs_dir.iterdir()
    assert lines[4:] == [f"Run:     .latent/runs/{folder.name}"]


def test_second_run_says_that_everything_was_reused(latent: Cli, hello: Workspace) -> None:
    latent("run", "hello")
    assert "everything was reused, nothing had to be computed." in latent("run", "hello").out


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["name=you"], "Hello, you!"),
        (["name=1.50"], "Hello, 1.5!"),
        (['name="1.50"'], "Hello, 1.50!"),
        (["name=a", "name=b"], "Hello, b!"),
        (["name.first=Ada", "name.last=L"], "Hello, {'first': 'Ada', 'last': 'L'}!"),
    ],
)
def test_parameters_are_yaml(latent: Cli, hello: Workspace, given: list[str], shown: str) -> None:
    options = [word for text in given for word in ("-p", text)]
    assert f"Result:  {shown}\n" in latent("run", "hello", *options).out


def test_saved_datasets_are_named_with_their_files(latent: Cli, make: MakeWorkspace) -> None:
    workspace = make(
        {
            "flows/saving/flow.py": """
                from latent.prefect import flow

                @flow("saving", output="numbers")
                def saving():
                    return [1, 2]
            """,
            "flows/saving/catalog.yaml": "numbers: data/numbers.json",
        }
    )
    ended = latent("run", "saving")
    assert "Saved:   numbers (data/numbers.json)" in ended.out
    assert json.loads((workspace.root / "data/numbers.json").read_text()) == [1, 2]


def test_failed_run_names_the_cause_its_line_and_how_to_go_on(latent: Cli, failing: Workspace) -> None:
    ended = latent("run", "failing", "-p", "note='two words'")
    assert ended.code == 1
    assert "4 ok, 1 failed. What is finished is kept." in ended.out
    assert "Failures:  latent runs failures " in ended.out
    assert "Resume:    latent run failing -p 'note='\"'\"'two words'\"'\"''" in ended.out
    assert ended.err.endswith(
        "Error: Task 'check': 1 of 5 rows failed.\n"
        "  1x ValueError: three is refused (first in row 3)\n"
        "Raised at flows/failing/flow.py:6 in check.\n"
    )


def test_run_after_a_failure_computes_only_what_is_missing(latent: Cli, failing: Workspace) -> None:
    latent("run", "failing")
    assert "4 cached, 1 failed" in latent("run", "failing").out


def test_error_of_the_flow_itself_is_told_with_its_class(latent: Cli, failing: Workspace) -> None:
    ended = latent("run", "failing", "-p", "how=divide")
    assert ended.code == 1
    assert ended.err.endswith(
        "Error: ZeroDivisionError: division by zero\nRaised at flows/failing/flow.py:12 in failing.\n"
    )


@pytest.mark.parametrize("where", ["before", "after", "environment"])
def test_traceback_on_request(
    latent: Cli, failing: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "environment":
        monkeypatch.setenv("LATENT_DEBUG", "1")
    before, after = (["--debug"] if where == name else [] for name in ("before", "after"))
    ended = latent(*before, "run", "failing", "-p", "how=divide", *after)
    assert ended.err.endswith("\nZeroDivisionError: division by zero\n")


def test_terminal_gets_no_traceback_and_the_log_file_gets_it(cli: Cli, failing: Workspace) -> None:
    ended = cli("run", "failing", cwd=failing.root)
    assert ended.code == 1
    assert "Task run failed with exception: ValueError('three is refused')" in ended.err
    assert "Traceback" not in ended.err
    (log,) = failing.logs_dir.glob("*.log")
    assert f"Log:       .latent/logs/{log.name}" in ended.out
    assert 'raise ValueError("three is refused")' in log.read_text()


def test_refused_parameters_are_wrong_use(latent: Cli, make: MakeWorkspace) -> None:
    make({"flows/checked/flow.py": CHECKED, "flows/checked/parameters.yaml": "batch_size: -1"})
    ended = latent("run", "checked")
    assert ended.code == 2
    assert ended.err.endswith(
        "Error: Configuration validation failed for flow 'checked':\n"
        "  batch_size: Input should be greater than 0 (type=greater_than, got -1, "
        "from flows/checked/parameters.yaml)\n"
    )
    assert "Resume" not in ended.out


def test_no_secret_is_shown(cli: Cli, hello: Workspace) -> None:
    ended = cli("run", "hello", "-p", "name=hunter2hunter2", cwd=hello.root, MODEL_API_KEY="hunter2hunter2")
    assert ended.code == 0
    assert "hunter2hunter2" not in ended.out + ended.err
    assert "Hello, ***" in ended.out


def test_long_result_is_cut(latent: Cli, hello: Workspace) -> None:
    ended = latent("run", "hello", "-p", f"name={'x' * 5_000}")
    (line,) = [line for line in ended.out.splitlines() if line.startswith("Result:")]
    assert len(line) < 400
    assert "more characters]" in line


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Which flow? This workspace has hello: say `latent run hello`."),
        (["helo"], "There is no flow 'helo' in workspace: did you mean 'hello'?"),
        (["hello", "-p", "name"], "'name' sets no parameter: write key=value"),
        (["hello", "-p", "name=[1"], "The value of name cannot be read as YAML"),
        (["hello", "-p", "name=1", "-p", "name.first=2"], "name.first is set inside name"),
    ],
)
def test_wrong_use(latent: Cli, hello: Workspace, args: list[str], message: str) -> None:
    ended = latent("run", *args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {message}")


def test_run_without_flows_says_how_to_make_one(latent: Cli, make: MakeWorkspace) -> None:
    make({})
    assert "`latent new flow NAME`" in latent("run").err


def test_waiting_for_tracking_that_is_off_says_so(latent: Cli, hello: Workspace) -> None:
    ended = latent("run", "hello", "--wait-tracking")
    assert ended.code == 0
    assert "Tracking is off" in ended.out


def test_waiting_for_tracking_ends_when_mlflow_knows_the_run(cli: Cli, hello: Workspace) -> None:
    short = {"LATENT_TRACKING__ENABLED": "true", "LATENT_TRACKING__IDLE_MINUTES": "0.01"}
    ended = cli("run", "hello", "--wait-tracking", cwd=hello.root, **short)
    assert ended.code == 0
    assert "MLflow:  mlflow ui --backend-store-uri sqlite:///.latent/mlflow.db\n" in ended.out
    (run,) = list_runs(hello)
    assert run.tracking_complete
    stop_writer(hello)


def test_server_of_prefect_that_does_not_answer_is_named(cli: Cli, hello: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api"
    ended = cli("run", "hello", cwd=hello.root, PREFECT_API_URL=address)
    assert ended.code == 1
    assert f"Prefect's server at {address}, which Prefect's settings name (PREFECT_API_URL" in ended.err
    assert "without one, flows run without a server." in " ".join(ended.err.split())


def test_server_that_a_task_calls_is_not_taken_for_prefects(latent: Cli, make: MakeWorkspace) -> None:
    calling = """
        import httpx
        from latent.prefect import flow

        @flow("calling")
        def calling():
            httpx.get("http://127.0.0.1:9/api")
    """
    make({"flows/calling/flow.py": calling})
    assert "Error: ConnectError: " in latent("run", "calling").err


ARGUMENTS = """
    from latent.prefect import flow, params

    @flow("taking")
    def taking(limit: int = 10, model: str = "small", words: list[str] | None = None):
        read = ["labels.0", "prices.gpt-4.1.in", "free"]
        return [limit, model, words, *map(params.get, read)]
"""


@pytest.fixture
def taking(make: MakeWorkspace) -> Workspace:
    files = {"flows/taking/parameters.yaml": "labels: {0: neg}\nprices: {gpt-4.1: {in: 2}}\ntopics: [a, b]\n"}
    return make({"flows/taking/flow.py": ARGUMENTS, **files})


@pytest.mark.parametrize(
    ("override", "result"),
    [
        ("limit=3", "[3, 'small', None, 'neg', 2, None]"),
        ("words=[a, b]", "[10, 'small', ['a', 'b'], 'neg', 2, None]"),
        ("labels.0=new", "[10, 'small', None, 'new', 2, None]"),
        ("prices.gpt-4.1.in=1", "[10, 'small', None, 'neg', 1, None]"),
        ("free=x", "[10, 'small', None, 'neg', 2, 'x']"),
    ],
)
def test_what_is_set_is_what_the_flow_sees(
    latent: Cli, taking: Workspace, override: str, result: str
) -> None:
    ended = latent("run", "taking", "-p", override)
    assert (ended.code, ended.err) == (0, "")
    assert result in ended.out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modle=large", "Flow 'taking' has no parameter 'modle': did you mean 'model'?"),
        ("topisc=[c]", "Flow 'taking' has no parameter 'topisc': did you mean 'topics'?"),
        ("topics=c,d", "topics is a list, and 'c,d' is a string: write topics=[c,d]"),
        ("topics.2=c", "topics.2 cannot be set"),
        ("words=a,b", "A list is written as [a, b]."),
        ("limit=many", "Flow 'taking' cannot run with these parameters."),
    ],
)
def test_what_would_have_no_effect_is_wrong_use(
    latent: Cli, taking: Workspace, override: str, message: str
) -> None:
    ended = latent("run", "taking", "-p", override)
    assert ended.code == 2
    assert message in ended.err

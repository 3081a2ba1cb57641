"""What arrives in MLflow, sent by a writer in this process, whatever happens on the way."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest

from latent.files import read_json, replace_json
from latent.testing.workspace import temporary_workspace
from latent.tracking import SpanRecord, TaskRecord, describe_error, load_run
from latent.tracking.folders import default_tracking_uri
from latent.tracking.mlflow_database import ensure_database
from latent.tracking.mlflow_runs import agree
from latent.tracking.payload import trace_id

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One workspace for all: opening an MLflow database costs a second."""
    with temporary_workspace({}, root=tmp_path_factory.mktemp("workspace")) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def client(workspace):
    from mlflow import MlflowClient

    ensure_database(workspace)
    return MlflowClient(tracking_uri=default_tracking_uri(workspace))


@pytest.fixture
def finished(start, workspace):
    """A tracked run with one of everything."""

    def make(outcome="ok", flow="hello", **about):
        run = start(flow, tracked=True, parameters={"model": {"name": "m"}, "prompt": "x" * 600}, **about)
        run.task(record(span_type="RETRIEVER", inputs={"q": "who?"}, output=["me"], rows_in=4, rows_out=3))
        run.task(record("score", outcome="cached", cache="hit", attempts=0))
        run.span(SpanRecord(name="call", started_at=time.time(), duration_seconds=0.1, span_type="LLM"))
        run.metric("accuracy", 0.5)
        run.metric("loss", float("nan"), step=3)
        run.finish(outcome, describe_error(ValueError("boom")) if outcome == "failed" else None)
        assert run.flush(5)
        return run

    return make


def record(name="load", **changes):
    return TaskRecord(
        **({"name": name, "outcome": "ok", "started_at": 10.0, "duration_seconds": 2.5} | changes)
    )


def work(writer, rounds=20):
    """Let the writer go on until nothing moves; a run that is alive would keep it busy."""
    while writer.round() and rounds:
        rounds -= 1


def mlflow_run(client, run):
    return client.get_run(read_json(run.folder.mlflow_file)["run_id"])


def test_a_run_arrives_with_parameters_tags_and_metrics(writer, finished, client, workspace):
    run = finished(run_name="try 1", tags={"team": "search"}, environment="dev")
    work(writer)
    view = load_run(workspace, run.info.run_id)
    assert view.tracking_complete
    assert view.tracking_text == "complete"
    found = mlflow_run(client, run)
    assert client.get_experiment(found.info.experiment_id).name == "hello"
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "try 1"
    assert found.info.start_time == round(run.info.started_at * 1000)
    assert found.info.end_time >= found.info.start_time
    assert found.data.params["model.name"] == "m"
    assert found.data.params["prompt"].endswith("[600 characters]")
    assert found.data.tags["latent.environment"] == "dev"
    assert found.data.tags["team"] == "search"
    metrics = found.data.metrics
    assert metrics["task.load.duration"] == 2.5
    assert metrics["task.load.status"] == 1
    assert (metrics["task.load.rows_in"], metrics["task.load.rows_out"]) == (4, 3)
    assert metrics["task.score.hits"] == 1
    assert metrics["accuracy"] == 0.5
    assert math.isnan(metrics["loss"])
    assert not list(writer.target.pending_dir.iterdir())


def test_the_whole_configuration_is_an_artifact(writer, finished, client, workspace):
    run = finished(configuration={"parameters": {"prompt": "x" * 600}, "catalog": {"raw": "data/raw.csv"}})
    work(writer)
    artifacts = mlflow_run(client, run).info.artifact_uri
    assert artifacts.startswith((workspace.state_dir / "mlartifacts").as_uri())
    content = (Path(unquote(urlsplit(artifacts).path)) / "configuration.json").read_text()
    assert json.loads(content)["catalog"] == {"raw": "data/raw.csv"}


def test_a_trace_has_a_span_for_each_task(writer, finished, workspace, client):
    run = finished("failed")
    work(writer)
    trace = client.get_trace(trace_id(run.info.run_id))
    spans = {span.name: span for span in trace.data.spans}
    assert spans.keys() == {"hello", "load", "score", "call"}
    assert spans["hello"].parent_id is None
    assert str(spans["hello"].status.status_code) == "SpanStatusCode.ERROR"
    assert spans["hello"].events[0].attributes["exception.message"] == "boom"
    load = spans["load"]
    assert (load.span_type, load.inputs, load.outputs) == ("RETRIEVER", {"q": "who?"}, ["me"])
    assert (load.start_time_ns, load.end_time_ns) == (10_000_000_000, 12_500_000_000)
    assert load.parent_id == spans["hello"].span_id
    assert spans["call"].span_type == "LLM"
    assert trace.info.state == "ERROR"
    assert trace.info.trace_metadata["mlflow.sourceRun"] == mlflow_run(client, run).info.run_id
    assert trace.info.tags["mlflow.traceName"] == "hello"


def test_datasets_are_inputs_and_small_outputs_artifacts(writer, start, client, workspace):
    small, gone = workspace.root / "report.md", workspace.root / "gone.csv"
    small.write_text("# Report")
    gone.write_text("a\n1\n")
    run = start(tracked=True)
    run.dataset("raw", "input", fingerprint="ab" * 16, path="data/raw.csv", rows=10)
    run.dataset("report", "output", fingerprint="cd" * 16, path=small)
    run.dataset("other.table", "output", fingerprint="ef" * 16, path=gone)
    run.dataset("folder", "output", path=workspace.root)
    run.flush()
    gone.write_text("overwritten by a later run")
    run.finish("ok")
    run.flush()
    work(writer)
    found = mlflow_run(client, run)
    (dataset,) = [given.dataset for given in found.inputs.dataset_inputs]
    assert (dataset.name, dataset.digest, dataset.profile) == ("raw", "ab" * 16, '{"num_rows": 10}')
    assert found.data.tags["latent.output.report"] == "cd" * 16
    outputs = {
        path.relative_to(workspace.state_dir).name: path
        for path in workspace.state_dir.glob("**/outputs/**/*")
    }
    assert outputs["report.md"].read_text() == "# Report"
    assert "gone.csv" not in outputs
    assert json.loads(outputs["other.table.reference.json"].read_text())["fingerprint"] == "ef" * 16
    assert "folder.reference.json" in outputs


def test_subflows_are_nested(writer, start, client):
    outer = start("outer", tracked=True)
    inner = start("inner", tracked=True, parent_run_id=outer.info.run_id)
    innermost = start("innermost", tracked=True, parent_run_id=inner.info.run_id)
    for run in (innermost, inner, outer):
        run.finish("ok")
    outer.flush()
    work(writer)
    ids = [mlflow_run(client, run).info.run_id for run in (outer, inner, innermost)]
    parents = [
        mlflow_run(client, run).data.tags.get("mlflow.parentRunId") for run in (outer, inner, innermost)
    ]
    assert parents == [None, *ids[:2]]


def test_a_parent_that_is_not_tracked_is_no_parent(writer, start, client):
    outer = start("outer")
    inner = start("inner", tracked=True, parent_run_id=outer.info.run_id)
    inner.finish("ok")
    inner.flush()
    work(writer)
    assert "mlflow.parentRunId" not in mlflow_run(client, inner).data.tags


def test_sending_everything_twice_changes_nothing(writer, finished, client, workspace):
    """A writer killed after MLflow took a batch, and before it wrote that down, sends the batch again."""
    run = finished("failed")
    run.dataset("raw", "input", fingerprint="ab" * 16)
    run.flush()
    work(writer)

    def everything():
        found = mlflow_run(client, run)
        history = {key: len(client.get_metric_history(found.info.run_id, key)) for key in found.data.metrics}
        spans = len(client.get_trace(trace_id(run.info.run_id)).data.spans)
        inputs = len(found.inputs.dataset_inputs)
        return (
            history,
            spans,
            inputs,
            found.data.params,
            found.data.tags,
            found.info.status,
            found.info.end_time,
        )

    before = everything()
    run.folder.tracking_file.unlink()
    (writer.target.pending_dir / run.info.run_id).touch()
    work(writer)
    assert load_run(workspace, run.info.run_id).tracking_complete
    assert everything() == before
    wanted = f"tags.`latent.run_id` = '{run.info.run_id}'"
    assert len(client.search_runs([mlflow_run(client, run).info.experiment_id], wanted)) == 1


def test_a_run_created_but_not_written_down_is_found_again(writer, finished, client):
    run = finished()
    work(writer)
    first = mlflow_run(client, run).info.run_id
    run.folder.mlflow_file.unlink()
    assert agree(run.workspace, run.target, run.folder).run_id == first


def test_a_parameter_that_the_user_logged_first_stays(writer, start, client, workspace):
    run = start(tracked=True, parameters={"a": 1, "b": 2})
    run.flush()
    agreed = agree(workspace, run.target, run.folder)
    client.log_param(agreed.run_id, "a", "mine")
    run.finish("ok")
    run.flush()
    work(writer)
    assert mlflow_run(client, run).data.params == {"a": "mine", "b": "2"}
    view = load_run(workspace, run.info.run_id)
    assert view.tracking_complete
    assert "refused 'a'" in view.tracking_text


def test_a_run_deleted_in_mlflow_is_given_up_and_says_so(writer, start, client, workspace):
    run = start(tracked=True)
    run.flush()
    agreed = agree(workspace, run.target, run.folder)
    client.delete_run(agreed.run_id)
    run.task(record())
    run.finish("ok")
    run.flush()
    work(writer)
    view = load_run(workspace, run.info.run_id)
    assert not view.tracking_complete
    assert "was deleted" in view.tracking_text
    assert not list(writer.target.pending_dir.iterdir())


def test_a_deleted_experiment_keeps_its_runs_waiting_and_no_others(writer, finished, client, workspace):
    first = finished(flow="deleted")
    work(writer)
    experiment_id = mlflow_run(client, first).info.experiment_id
    client.delete_experiment(experiment_id)
    stuck, fine = finished(flow="deleted"), finished()
    work(writer)
    assert "mlflow experiments restore" in load_run(workspace, stuck.info.run_id).tracking_text
    assert load_run(workspace, fine.info.run_id).tracking_complete
    client.restore_experiment(experiment_id)
    writer._waiting[stuck.info.run_id].retry_at = 0.0
    work(writer)
    assert load_run(workspace, stuck.info.run_id).tracking_complete


def test_a_run_in_progress_can_be_watched(writer, start, client):
    run = start(tracked=True)
    run.task(record())
    run.flush()
    for _ in range(3):
        assert writer.round()
    found = mlflow_run(client, run)
    assert found.info.status == "RUNNING"
    assert found.data.metrics["task.load.duration"] == 2.5
    assert writer._is_done(10.0)


def test_a_run_whose_process_died_is_closed(writer, start, client, workspace):
    run = start(tracked=True)
    run.task(record())
    run.flush()
    while (story := read_json(run.folder.run_file))["provenance"] is None:
        run.flush()
    replace_json(run.folder.run_file, {**story, "holder": "4711-gone.lock"})
    work(writer)
    found = mlflow_run(client, run)
    assert found.info.status == "FAILED"
    assert found.data.tags["latent.state"] == "crashed"
    assert load_run(workspace, run.info.run_id).tracking_complete


def test_lines_that_come_after_the_end_are_sent_too(writer, finished, client, workspace):
    run = finished()
    work(writer)
    run.metric("late", 1.0)
    run.flush()
    assert not load_run(workspace, run.info.run_id).tracking_complete
    work(writer)
    assert mlflow_run(client, run).data.metrics["late"] == 1.0
    assert load_run(workspace, run.info.run_id).tracking_complete


def test_many_rows_arrive_in_bounded_batches(writer, start, client, workspace):
    run = start(tracked=True)
    for index in range(3_000):
        run.task(record("row", row_index=index, inputs={"i": index}, output="x" * 500))
    run.finish("ok")
    assert run.flush(10)
    work(writer)
    found = mlflow_run(client, run)
    assert found.data.metrics["task.row.calls"] == 3_000
    assert len(client.get_metric_history(found.info.run_id, "task.row.duration")) == 500
    assert load_run(workspace, run.info.run_id).tracking_complete


def test_foreign_files_among_the_notes_and_missing_folders_are_no_trouble(writer, finished):
    run = finished()
    (writer.target.pending_dir / ".DS_Store").touch()
    (writer.target.pending_dir / uuid4().hex).touch()
    work(writer)
    assert [note.name for note in writer.target.pending_dir.iterdir()] == [".DS_Store"]
    assert read_json(run.folder.tracking_file)["complete"]

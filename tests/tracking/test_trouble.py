"""A store that is damaged, missing, refusing or slow: the run ends well, and everything is sent later."""

from __future__ import annotations

import sqlite3

import pytest

from latent.tracking import TaskRecord, load_run

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def finish_one(start):
    run = start(tracked=True)
    run.task(TaskRecord(name="t", outcome="ok", started_at=1.0, duration_seconds=1.0))
    run.finish("ok")
    assert run.flush(5)
    return run


def work(writer, rounds=20):
    while writer.round() and rounds:
        rounds -= 1


@pytest.mark.parametrize("damage", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_damaged_database_is_left_alone_and_told(writer, start, workspace, damage):
    workspace.mlflow_db.parent.mkdir(exist_ok=True)
    workspace.mlflow_db.write_bytes(damage)
    run = finish_one(start)
    work(writer)
    text = load_run(workspace, run.info.run_id).tracking_text
    assert "is damaged" in text
    assert "move it away" in text
    assert workspace.mlflow_db.read_bytes() == damage
    workspace.mlflow_db.rename(workspace.mlflow_db.with_suffix(".damaged"))
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    _tracking_store_registry._get_store_with_resolved_uri.cache_clear()
    waiting = writer._waiting[run.info.run_id]
    waiting.retry_at = 0.0
    work(writer)
    assert load_run(workspace, run.info.run_id).tracking_complete


def test_an_empty_database_file_is_filled(writer, start, workspace):
    workspace.state_dir.mkdir(exist_ok=True)
    workspace.mlflow_db.touch()
    run = finish_one(start)
    work(writer)
    assert load_run(workspace, run.info.run_id).tracking_complete
    with sqlite3.connect(workspace.mlflow_db) as connection:
        places = connection.execute("SELECT artifact_location FROM experiments").fetchall()
    connection.close()
    assert all((workspace.state_dir / "mlartifacts").as_uri() in place for (place,) in places)

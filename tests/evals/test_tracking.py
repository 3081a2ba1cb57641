"""What MLflow knows of an evaluation: metrics with their intervals and coverage, scores and report."""

from __future__ import annotations

from latent.evals import evaluate, scorer
from latent.tracking import load_run, wait_for_tracking


@scorer
def contains(output, expected):
    return expected in output


def test_metrics_scores_and_report_reach_mlflow(make_workspace):
    workspace = make_workspace({"config/latent.toml": ""})
    rows = [{"id": n, "output": str(n), "expected": "1"} for n in range(4)] + [
        {"id": "gone", "expected": "1"}
    ]
    found = evaluate(rows, scorers=contains)
    assert wait_for_tracking(workspace, found.run_id, 120)
    from mlflow import MlflowClient

    tracking = load_run(workspace, found.run_id).tracking
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.mlflow_db}")
    run = client.get_run(tracking["mlflow_run_id"])
    assert run.data.metrics["contains"] == 0.25
    assert run.data.metrics["contains.n"] == 4
    assert run.data.metrics["contains.missing"] == 1
    assert 0 < run.data.metrics["contains.ci_low"] < 0.25 < run.data.metrics["contains.ci_high"] < 1
    listed = {each.path for each in client.list_artifacts(run.info.run_id, "outputs")}
    assert listed >= {"outputs/evaluate.scores", "outputs/evaluate.report"}

"""An evaluation in a notebook: under its running event loop, and showing itself."""

from __future__ import annotations

from pathlib import Path

import pytest

CELL = """
from latent.evals import evaluate, evaluate_async, scorer

@scorer
def contains(output, expected):
    return expected in output

rows = [{"id": "a", "output": "It is 4", "expected": "4"}, {"id": "b", "output": "7", "expected": "6"}]
first = evaluate(rows, scorers=contains)
second = await evaluate_async(rows, lambda expected: expected, contains)
print(first["contains"].mean, second["contains"].mean)
first
"""


def test_evaluations_run_and_show_themselves_in_a_real_kernel(tmp_path: Path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("LATENT_TRACKING__ENABLED", "false")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = notebook.cells[0].outputs
    printed = "".join(each.get("text", "") for each in outputs if each.get("name") == "stdout")
    assert "0.5 1.0" in printed
    shown = next(each.data["text/html"] for each in outputs if each.output_type == "execute_result")
    assert "<th>95 % interval</th>" in shown
    assert "<td>contains</td><td>0.500</td>" in shown
    assert (tmp_path / ".latent" / "runs").is_dir()

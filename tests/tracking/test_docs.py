"""The examples of docs/tracking.md, in their order, in one workspace."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from latent.config import find_workspace, read_settings
from latent.tracking import list_runs, load_run, stop_writer

PAGE = Path(__file__).parents[2] / "docs" / "tracking.md"
BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_examples_run(make_workspace):
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    files = {text.splitlines()[0].removeprefix("# "): text for _, text in blocks if text.startswith("# ")}
    workspace = make_workspace(files)
    assert set(files) == {"flows/train/flow.py", "config/latent.toml"}
    assert read_settings(workspace).tracking.idle_minutes == 10
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "latent", "run", "train"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=workspace.root,
    )
    assert run.returncode == 0, run.stderr
    try:
        (reading,) = [text for _, text in blocks if not text.startswith("# ")]
        shown = subprocess.run(
            [sys.executable, "-c", reading],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            cwd=workspace.root,
        )
    finally:
        assert stop_writer(find_workspace())
    assert shown.stdout.splitlines() == ["ok {'ok': 1} complete", "fit 1 1"]
    (view,) = list_runs(workspace)
    assert load_run(workspace, view.run_id).tracking_complete

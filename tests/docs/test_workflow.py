"""The workflow of docs/ci.md: its shell steps, run one after the other as GitHub runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import yaml

from tests.docs.blocks import ROOT, blocks_of

WORKFLOW = ".github/workflows/evaluate.yml"
INSTALL = "pip install latent-flows pytest"
"""The one step that is left out: what it installs is what is tested."""


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A step, as GitHub runs it on Linux, without keys and without settings of this machine."""
    outside = ("LATENT_", "OPENAI_", "PYTEST_")
    known = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    path = os.pathsep.join([str(Path(sys.executable).parent), known.get("PATH", "")])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command],
        cwd=folder,
        env={**known, "PATH": path, "LATENT_TRACKING__ENABLED": "false", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_steps_of_the_workflow_pass_with_recordings_and_leave_what_they_upload(tmp_path):
    for block in blocks_of(ROOT / "docs" / "ci.md"):
        if block.kind == "file":
            (tmp_path / block.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.path).write_text(block.text)
    record = "python prepare.py && latent simulate-provider -- python -m pytest -q --record"
    recorded = shell(record, tmp_path)
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr

    job = yaml.safe_load((tmp_path / WORKFLOW).read_text())["jobs"]["evaluate"]
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert steps[0] == INSTALL
    summary = tmp_path / "summary.md"
    for step in steps[1:]:
        ended = shell(step, tmp_path, GITHUB_STEP_SUMMARY=str(summary))
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| contains" in summary.read_text()
    (upload,) = [step["with"]["path"] for step in job["steps"] if "upload" in step.get("uses", "")]
    for name in upload.split():
        assert (tmp_path / name).stat().st_size > 0
    cases = list(ElementTree.parse(tmp_path / "tests.xml").iter("testcase"))
    assert [case.get("name") for case in cases] == [
        "test_support",
        "test_support_is_cheap_and_answers_all",
    ]

"""The reference's second pipeline: with Prefect's decorators, and with only the import changed to ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from latent.testing import Fault, ProviderSimulator

SCRIPT = (Path(__file__).parent / "evaluation_pipeline.py").read_text(encoding="utf-8")
NOT_JSON = "Expected pattern: a step"


def answer(prompt: str) -> str:
    if prompt.startswith("Rate this response"):
        return "It is good." if NOT_JSON in prompt else '{"score": 5, "reason": "clear"}'
    return f"Well: {prompt}"


def run(script: str, folder: Path, provider: ProviderSimulator) -> Any:
    """What the pipeline returned, from a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LATENT_")}
    environment |= {
        "LATENT_TRACKING__ENABLED": "false",
        "PREFECT_HOME": str(folder / "prefect"),
        **provider.environment,
    }
    (folder / "pipeline.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "pipeline.py"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    return json.loads(line.removeprefix("RESULT"))


def test_the_reference_pipeline_runs_twice(library: str, tmp_path: Path):
    script = SCRIPT.replace("from prefect", f"from {library}")
    # A fault that the SDK retries by itself, as the page leaves it: its tasks would wait for 5 s and more.
    with ProviderSimulator(answer=answer, faults=[Fault(500, first=1, only="What is a row?")]) as provider:
        first, second = (run(script, tmp_path, provider) for _ in range(2))
        record = provider.record()
    assert first == second
    evaluations, report, summary, name, cron = first
    assert [each["response"] for each in evaluations] == [
        f"Well: What is a {what}?" for what in ("flow", "task", "row")
    ]
    # A judge's answer that is not JSON becomes a 3 on this page; latent's own evaluations abstain there.
    assert [each["score"] for each in evaluations] == [5, 3, None]
    assert "Mean score: 4" in report
    assert summary == "Well: Say that the batch is done."
    assert (name, cron) == ("nightly-evaluation", "0 2 * * *")
    prompts = [prompt for prompt in record.answered if prompt.startswith("What is a")]
    assert {record.answered[prompt] for prompt in prompts} == {1}  # remembered for two hours
    if library == "latent.prefect":  # here every task remembers, also those that do not say so
        assert set(record.answered.values()) == {1}

"""`latent limits`: what is set, what was learned, who holds and who waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from latent.limits import limiter_for
from latent.testing.plugin import MakeWorkspace
from tests.cli.conftest import Cli

SETTINGS = """
    [limits.openai-api]
    concurrency = 20
    requests_per_minute = 3000
    [limits.open]
"""


def test_limits_are_shown_with_what_is_set_and_what_holds_now(make_workspace: MakeWorkspace, latent: Cli):
    make_workspace({"config/latent.toml": SETTINGS})
    ended = latent("limits")
    assert (ended.code, ended.out.splitlines()) == (
        0,
        [
            "LIMIT       CALLS    WAITING  REQUESTS/MIN  SET    TOKENS/MIN  429S (LAST MINUTE)",
            "open        0        0        600           -      -           0",
            "openai-api  0 of 20  0        3,000         3,000  -           0",
        ],
    )


def test_who_holds_is_shown_by_process_and_run(make_workspace: MakeWorkspace, latent: Cli):
    workspace = make_workspace({"config/latent.toml": SETTINGS})
    with limiter_for(workspace, "openai-api").acquire(run_id="0123456789"):
        deadline = time.monotonic() + 30
        while "1 of 20" not in (out := latent("limits").out):
            assert time.monotonic() < deadline
    assert f"process {os.getpid()}  -     01234567  openai-api  1      0" in out


def test_limits_are_lines_of_json_for_programs(make_workspace: MakeWorkspace, latent: Cli):
    make_workspace({"config/latent.toml": SETTINGS})
    told = [json.loads(line) for line in latent("limits", "--json").out.splitlines()]
    assert [status["name"] for status in told] == ["open", "openai-api"]
    assert told[1]["settings"]["concurrency"] == 20
    assert told[1]["holders"] == []


def test_workspace_without_limits_is_told_how_to_define_one(make_workspace: MakeWorkspace, latent: Cli):
    make_workspace({})
    assert latent("limits").out == "No limits: a table [limits.NAME] in the settings defines one.\n"


def test_watch_goes_on_until_it_is_interrupted(make_workspace: MakeWorkspace):
    make_workspace({"config/latent.toml": SETTINGS})
    watching = subprocess.Popen(
        [sys.executable, "-m", "latent", "limits", "--watch"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        seen = [watching.stdout.readline() for _ in range(6)]
        assert sum(line.startswith("LIMIT") for line in seen) == 2
    finally:
        watching.kill()
        watching.communicate(timeout=60)

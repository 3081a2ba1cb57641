"""`latent simulate-provider`: round a command, and by itself until Ctrl-C."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from latent.testing import write_files
from tests.cli.conftest import Cli, environment

ASK = """
import http.client, json, os, sys

host = os.environ["ANTHROPIC_BASE_URL"].removeprefix("http://")
assert os.environ["OPENAI_BASE_URL"] == f"http://{host}/v1"
for prompt in sys.argv[1:]:
    connection = http.client.HTTPConnection(host, timeout=10)
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    print(connection.getresponse().status, flush=True)
    connection.close()
sys.exit(7)
"""


def test_round_a_command(cli: Cli, tmp_path: Path) -> None:
    write_files(tmp_path, {"ask.py": ASK})
    ended = cli(
        "simulate-provider",
        "--fault",
        "500:first=1",
        "--answer",
        "yes",
        "--",
        sys.executable,
        "ask.py",
        *("one", "one", "one", "two"),
    )
    assert ended.code == 7, "the command's own exit code"
    lines = ended.out.splitlines()
    assert lines[:4] == ["500", "200", "200", "500"]
    assert re.fullmatch(r"4 requests in .*, at most 1 at once\.", lines[4])
    assert [line.split() for line in lines[5:8]] == [["STATUS", "REQUESTS"], ["200", "2"], ["500", "2"]]
    assert lines[8:] == [
        "2 answers to 1 prompt: 2 tokens in, 2 out.",
        "Faults as told: 2 500.",
        "1 request came for prompts that had been answered already.",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_alone_until_it_is_stopped(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "latent", "simulate-provider", "--requests-per-minute", "60"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        shown = [process.stdout.readline() for _ in range(7)]
        port = int(re.findall(r":(\d+)", shown[0])[0])
        assert shown[2:6] == [
            f"  export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1\n",
            "  export OPENAI_API_KEY=simulated-key\n",
            f"  export ANTHROPIC_BASE_URL=http://127.0.0.1:{port}\n",
            "  export ANTHROPIC_API_KEY=simulated-key\n",
        ]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(number)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "1 request in " in rest
    assert re.search(r"200 +1\n", rest)


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_sigterm_ends_the_command_too() -> None:
    script = "import time; print('runs', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-m", "latent", "simulate-provider", "--", sys.executable, "-c", script],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        time.sleep(0.2)  # the command may be quicker than the one that waits for it
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert rest.startswith("0 requests in ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--requests-per-minute", "-5"], "requests_per_minute=-5.0: it must be a number above 0"),
        (["--fault", "often"], "Fault(kind)='often'"),
        (["--fault", "500:x"], "write KIND, KIND:SHARE or KIND:first=N"),
        (["--headers", "all"], "headers='all': it must be one of"),
        (["--", "no-such-command-here"], "'no-such-command-here' cannot be run: No such file"),
    ],
)
def test_wrong_use(latent: Cli, args: list[str], message: str) -> None:
    ended = latent("simulate-provider", *args)
    assert ended.code == 2
    assert message in ended.err

"""Servers for a workspace, and what flows pay for them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measure import Figure, environment, measure, milliseconds_of, paired
from benchmarks.starts import HELLO, LATENT
from benchmarks.subjects.workload import ROWS
from latent.config import find_workspace
from latent.services import down, up
from latent.testing import write_files
from latent.tracking import stop_writer

BY_HAND_ROUNDS = 3
CLEAN_ROUNDS = 20
CAUGHT_UP_ROUNDS = 2
ROWS_ROUNDS = 5
RUN_ROUNDS = 7
ANSWER_SECONDS = 300.0
TASK_RUNS = 2_000
AWAY_SECONDS = 60.0

BY_HAND = "`prefect server start` and `mlflow server`"
AWAY = """
import time
from latent.prefect import flow, task

@task("wait", cache=False, max_workers=4)
def wait(row):
    with open("begun", "a") as begun:
        begun.write(f"{row}\\n")
    time.sleep(0.5)
    return row

@flow("away")
def away():
    return len(wait.map(range(200), row_runs="all").result())  # 25 s
"""

NOTE = """\
"By hand" is both commands as their documentation has them, started side by side, with the databases of an
earlier start. Memory counts what processes share in parts (PSS, on Linux). "Clean" counts the rounds of `up`
and `down` that left no process and no taken port, and none if any of them left a file in /dev/shm.
The rows of the run of 10,000 do nothing, so what a server costs a run once weighs a third of it: some 0.2 to
0.3 s for eight requests at its begin and one at its end. Rows that wait a second for a model do not see it.
"""


def figures() -> Iterator[Figure]:
    """Starting, stopping and size; then how far a server is behind its runs, and what it costs them."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        yield from _starts_and_stops(folder)
        yield from _caught_up(folder)
        yield from _runs(folder)
        yield from _away(folder)


@dataclass(frozen=True, slots=True)
class _Size:
    """What started servers take."""

    seconds: float
    processes: int
    memory_mb: float


def _starts_and_stops(folder: Path) -> Iterator[Figure]:
    ours_at, hand_at = folder / "starts", folder / "by_hand"
    write_files(ours_at, {"config/latent.toml": ""})
    hand_at.mkdir()
    workspace = find_workspace(ours_at)
    with _by_hand(hand_at):  # neither's first start counts: it makes the databases
        up(workspace)
        down(workspace)
    ours, by_hand, stops = [], [], []
    clean, left = 0, set[str]()
    for number in range(CLEAN_ROUNDS):
        shared_before = _shared_memory()
        milliseconds = milliseconds_of([*LATENT, "up"], folder=ours_at)
        services = [report.service for report in up(workspace)]
        sessions = [service.pid for service in services]
        ours.append(_size(milliseconds / 1e3, sessions))
        stops.append(milliseconds_of([*LATENT, "down"], folder=ours_at) / 1e3)
        left |= _shared_memory() - shared_before
        clean += not _members(sessions) and all(_is_free(service.port) for service in services)
        if number < BY_HAND_ROUNDS:
            with _by_hand(hand_at) as found:
                by_hand.append(found)
    if left & _shared_memory():  # others' files that have gone since do not count
        clean = 0
    for what, unit, reach, of in (
        ("`latent up` to both answering, second time", "s", 0.6, lambda size: size.seconds),
        ("memory of both servers", "MB", 0.4, lambda size: size.memory_mb),
    ):
        pairs = [*map(of, ours[:BY_HAND_ROUNDS])], [*map(of, by_hand)]
        yield paired(what, *pairs, peer=BY_HAND, reach=reach, unit=unit)
    processes = [float(size.processes) for size in ours]
    yield paired("processes of both servers", processes, 3.0, peer="3", reach=1.0, unit="")
    theirs = [float(size.processes) for size in by_hand]
    yield paired("processes of both servers", processes[:BY_HAND_ROUNDS], theirs, peer=BY_HAND, unit="")
    yield paired("`latent down`, the slowest", [max(stops)], 5.0, peer="5 s", reach=1.0, unit="s")
    yield paired(
        f"clean after `latent down`, of {CLEAN_ROUNDS}", [float(clean)], float(CLEAN_ROUNDS),
        peer=f"{CLEAN_ROUNDS}", reach=1.0, unit="", at_least=True,
    )  # fmt: skip


def _caught_up(folder: Path) -> Iterator[Figure]:
    """How long a server takes after a run until it knows each of its task runs."""
    ours_at, hand_at = folder / "tuned", folder / "defaults"
    write_files(ours_at, {"config/latent.toml": ""})
    write_files(hand_at, {"config/latent.toml": ""})
    ours, theirs = [], []
    with _served(ours_at), _prefect_by_hand(hand_at) as url:
        for _ in range(CAUGHT_UP_ROUNDS):
            ours.append(measure("services_latent", TASK_RUNS, folder=ours_at)["behind"])
            theirs.append(
                measure("services_latent", TASK_RUNS, folder=hand_at, PREFECT_API_URL=url)["behind"]
            )
        stop_writer(find_workspace(hand_at))
    what = f"{TASK_RUNS:,} task runs on SQLite: until the server knows them all, after the run"
    yield paired(what, ours, theirs, peer="`prefect server start`", reach=0.25, unit="s")


def _runs(folder: Path) -> Iterator[Figure]:
    """What a run takes longer when a server knows of it."""
    served_at, alone_at = sides = folder / "served", folder / "alone"
    for each in sides:
        write_files(each, HELLO)
    with _served(served_at), _alone(alone_at):
        for each in sides:  # the writer's first start, and compiled files
            milliseconds_of([*LATENT, "run", "hello", "--wait-tracking"], folder=each)
        rounds = [
            [measure("services_latent", ROWS, "batches", folder=each) for each in sides]
            for _ in range(ROWS_ROUNDS)
        ]
        ours, theirs = ([found[side]["run"] for found in rounds] for side in (0, 1))
        yield paired(
            f"a run of {ROWS:,} rows with a server", ours, theirs, peer="without", reach=1.1, unit="s"
        )
        what = "the same: until the server knows all, after the run"
        behind = [found[0]["behind"] for found in rounds]
        yield paired(what, behind, 2.0, peer="2 s", reach=1.0, unit="s")
        pairs = [
            [milliseconds_of([*LATENT, "run", "hello"], folder=each) for each in sides]
            for _ in range(RUN_ROUNDS)
        ]
        ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
        yield paired("latent run with services up", ours, theirs, peer="with the in-memory API")
        more = [ours - theirs for ours, theirs in pairs]
        yield paired("the same: how much longer", more, 500.0, peer="500 ms", reach=1.0)


def _away(folder: Path) -> Iterator[Figure]:
    """How long a server that was away takes from its start until it knows the end of a run of that time."""
    at = folder / "away"
    write_files(at, {"config/latent.toml": "", "flows/away/flow.py": AWAY})
    with _served(at):
        run = subprocess.Popen(
            [*LATENT, "run", "away"], cwd=at, env=environment({}), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        while not (at / "begun").exists() and run.poll() is None:
            time.sleep(0.1)
        down(find_workspace(at))
        gone = time.monotonic()
        said, _ = run.communicate(timeout=ANSWER_SECONDS)
        if run.returncode:
            raise RuntimeError(f"A run whose server went away ended with {run.returncode}:\n{said[-2000:]}")
        time.sleep(max(0.0, gone + AWAY_SECONDS - time.monotonic()))
        began = time.monotonic()
        url = next(each.service.url for each in up(find_workspace(at)) if each.service.name == "prefect")
        while not _knows_an_end(url):
            if time.monotonic() - began > ANSWER_SECONDS:
                raise RuntimeError(f"The server does not know the run's end after {ANSWER_SECONDS:.0f} s.")
            time.sleep(0.1)
        seconds = time.monotonic() - began
    what = (
        f"a server away for {AWAY_SECONDS:.0f} s in a run that ended well: from `up` until it knows the end"
    )
    yield paired(what, [seconds], 30.0, peer="30 s", reach=1.0, unit="s")


def _knows_an_end(url: str) -> bool:
    body = b'{"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}'
    request = urllib.request.Request(
        f"{url}/api/flow_runs/count", data=body, headers={"content-type": "application/json"}
    )
    with suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
        return bool(json.loads(answer.read()))
    return False


@contextmanager
def _served(folder: Path) -> Iterator[None]:
    """A workspace with both servers."""
    workspace = find_workspace(folder)
    up(workspace)
    try:
        yield
    finally:
        stop_writer(workspace)
        down(workspace)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A workspace without servers."""
    try:
        yield
    finally:
        stop_writer(find_workspace(folder))


@contextmanager
def _by_hand(folder: Path) -> Iterator[_Size]:
    """Both servers as their documentation starts them, and what they take once both answer."""
    began = time.perf_counter()
    ports = [_free_port(), _free_port()]
    with ExitStack() as running:
        sessions = [
            running.enter_context(_started(folder, command))
            for command in (_prefect_command(ports[0]), _mlflow_command(ports[1]))
        ]
        for address in (f"http://127.0.0.1:{ports[0]}/api/health", f"http://127.0.0.1:{ports[1]}/health"):
            _wait_for(address)
        yield _size(time.perf_counter() - began, sessions)


@contextmanager
def _prefect_by_hand(folder: Path) -> Iterator[str]:
    """Prefect's server with its defaults; its API's address."""
    port = _free_port()
    with _started(folder, _prefect_command(port)):
        _wait_for(f"http://127.0.0.1:{port}/api/health")
        yield f"http://127.0.0.1:{port}/api"


def _prefect_command(port: int) -> list[str]:
    return [_script("prefect"), "server", "start", "--port", str(port)]


def _mlflow_command(port: int) -> list[str]:
    return [_script("mlflow"), "server", "--port", str(port)]


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextmanager
def _started(folder: Path, command: Sequence[str]) -> Iterator[int]:
    """A command in a session of its own, whose number is given; all of it ends with the block."""
    with (folder / f"{Path(command[0]).name}.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment({"PREFECT_HOME": str(folder / "prefect")}),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield process.pid
        finally:
            for way in (signal.SIGINT, signal.SIGKILL):
                for member in _members([process.pid]):
                    with suppress(psutil.Error):
                        member.send_signal(way)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=60)
            psutil.wait_procs(_members([process.pid]), timeout=60)


def _wait_for(address: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(int(ANSWER_SECONDS / 0.05)):
        with suppress(OSError), opener.open(address, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"Nothing answers at {address} after {ANSWER_SECONDS:.0f} s.")


def _size(seconds: float, sessions: Sequence[int]) -> _Size:
    members = _members(sessions)
    return _Size(seconds, len(members), sum(map(_bytes, members)) / 1e6)


def _members(sessions: Sequence[int]) -> list[psutil.Process]:
    """The living processes of sessions, each with all that it started."""
    found = set()
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found |= {process, *process.children(recursive=True)}
    return list(found)


def _bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(full, "pss", full.rss))


def _shared_memory() -> set[str]:
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False

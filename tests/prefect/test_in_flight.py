"""Paid work is never lost or redone: work in flight is shared, and what died is resumed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from latent.prefect import checkpoint, flow, task

KILLED = """
import time

from latent.prefect import flow, task

@task("pay", retry=False)
def pay(n):
    with open("paid.txt", "a") as file:
        file.write(f"{n}\\n")
    time.sleep(0.05)
    return n * 2

@flow("main")
def main():
    return sum(pay(n) for n in range(60))

if __name__ == "__main__":
    print("RESULT", main())
"""


def test_killed_run_is_resumed_without_paying_twice(make_workspace):
    """After kill -9 in the middle, at most the call in flight is paid for again."""
    workspace = make_workspace(
        {"config/latent.toml": "[tracking]\nenabled = false\n", "flows/main/flow.py": KILLED}
    )
    paid = workspace.root / "paid.txt"
    command = [sys.executable, "flows/main/flow.py"]
    process = subprocess.Popen(
        command, cwd=workspace.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (paid.exists() and len(paid.read_text().split()) >= 20) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = len(paid.read_text().split())
    assert 20 <= before < 60

    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, timeout=120)
    assert f"RESULT {sum(n * 2 for n in range(60))}" in done.stdout
    calls = paid.read_text().split()
    assert set(calls) == {str(n) for n in range(60)}
    assert len(calls) <= 61


def test_equal_rows_at_once_are_paid_for_once(make):
    make({})
    paid = []

    @task("pay")
    def pay(n):
        paid.append(n)
        time.sleep(0.2)
        return n

    @flow("main")
    def main():
        return pay.map([1, 1, 1, 2]).result()

    assert main() == [1, 1, 1, 2]
    assert sorted(paid) == [1, 2]


def test_equal_checkpoints_at_once_are_paid_for_once(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    paid = []

    @task("many", cache=False)
    def many():
        @checkpoint
        def pay(n):
            paid.append(n)
            time.sleep(0.2)
            return n

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(pay, [1] * 8))

    @flow("main")
    def main():
        return many()

    assert main() == [1] * 8
    assert paid == [1]


def test_equal_async_checkpoints_at_once_are_paid_for_once(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    paid = []

    @checkpoint(name="pay")
    async def pay(n):
        paid.append(n)
        await asyncio.sleep(0.1)
        return n

    @task("many", cache=False)
    async def many():
        return await asyncio.gather(*[pay(1) for _ in range(5)])

    @flow("main")
    async def main():
        return await many()

    assert asyncio.run(main()) == [1] * 5
    assert paid == [1]


def test_failed_work_in_flight_lets_the_next_one_try(make):
    make({})
    attempts = []
    started = threading.Event()

    @task("flaky", retry=False)
    def flaky(n):
        attempts.append(n)
        if len(attempts) == 1:
            started.set()
            time.sleep(0.2)
            raise ValueError("first")
        return n

    @flow("main")
    def main():
        futures = [flaky.submit(1)]
        started.wait(10)
        futures.append(flaky.submit(1))
        return [future.result(raise_on_failure=False) for future in futures]

    failed, succeeded = main()
    assert isinstance(failed, ValueError)
    assert succeeded == 1

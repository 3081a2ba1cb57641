"""Several processes on one store: nothing lost, nothing torn, when one dies at any moment."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import time
from contextlib import ExitStack

import pytest

from latent.cache import CodeFingerprint, Memory, SQLiteStore

from .peers import finish, line, peer

CODE = CodeFingerprint("c" * 32)

WRITER = """
name, rows = sys.argv[2], int(sys.argv[3])
for n in range(rows):
    memory.remember(f"{name}-{n}", {"n": n, "text": "x" * 500}, task=name, kind="row", code=code)
    hit = recall(f"{name}-{n}")
    assert hit is not None and hit.value["n"] == n
memory.close()
"""

ENDLESS = """
for n in range(10**9):
    text = os.urandom(300).hex()
    rows = [f"{n % 500}-{k}" for k in range(5)]
    memory.remember_many(Result(key=key, value={"n": n, "text": text}, task="t") for key in rows)
    memory.remember(f"large-{n % 5}", "x" * 400_000, task="t", code=code)
    say(n)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def memory(folder):
    memory = Memory(SQLiteStore(folder))
    yield memory
    memory.close()


def integrity(folder) -> str:
    connection = sqlite3.connect(folder / "cache.db")
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


def recall_all(memory: Memory, keys: list[str]) -> dict[str, object]:
    return {key: hit.value for key, hit in memory.recall_many(keys, code=CODE, parameter=str).items()}


def test_processes_that_write_at_once_lose_nothing(folder, memory):
    rows = 150
    names = ["a", "b", "c", "d"]
    with ExitStack() as stack:
        for process in [stack.enter_context(peer(WRITER, folder, name, rows)) for name in names]:
            finish(process)
    found = recall_all(memory, [f"{name}-{n}" for name in names for n in range(rows)])
    assert len(found) == len(names) * rows
    assert integrity(folder) == "ok"


def test_a_process_killed_while_it_writes_leaves_a_sound_store(folder, memory):
    """kill -9 at random moments, with another process at work all the time."""
    with peer(WRITER, folder, "steady", 400) as steady:
        for _ in range(4):
            with peer(ENDLESS, folder) as victim:
                line(victim)
                time.sleep(random.uniform(0.0, 0.2))
                victim.kill()
                victim.wait(60)
        finish(steady)
    assert integrity(folder) == "ok"
    assert len(recall_all(memory, [f"steady-{n}" for n in range(400)])) == 400
    written = memory.store.stats(0)
    assert written.entries > 400
    large = recall_all(memory, [f"large-{n}" for n in range(5)])
    assert all(value == "x" * 400_000 for value in large.values())
    assert memory.remember("after", 1, task="t", code=CODE)
    assert recall_all(memory, ["after"]) == {"after": 1}


def test_what_was_reported_before_a_kill_is_remembered(folder, memory):
    """A row is finished only once its entry is committed; a kill right after must not lose it."""
    program = """
    for n in range(10**9):
        memory.remember(f"row-{n}", n, task="t", code=code)
        say(n)
    """
    with peer(program, folder) as victim:
        reported = [int(line(victim)) for _ in range(50)]
        victim.kill()
        victim.wait(60)
        rest = victim.stdout.read().split() if victim.stdout else []
    last = int(rest[-1]) if rest else reported[-1]
    keys = [f"row-{n}" for n in range(last + 1)]
    assert recall_all(memory, keys) == {key: n for n, key in enumerate(keys)}


def test_processes_that_find_one_damaged_store_move_it_aside_once(folder, memory):
    memory.remember("k", 1, task="t", code=CODE)
    memory.close()
    (folder / "cache.db").write_bytes(b"no database" * 1000)
    with (
        peer(WRITER, folder, "a", 30) as a,
        peer(WRITER, folder, "b", 30) as b,
        peer(WRITER, folder, "c", 30) as c,
    ):
        for process in (a, b, c):
            finish(process)
    assert len(recall_all(memory, [f"{name}-{n}" for name in "abc" for n in range(30)])) == 90
    assert [path.name for path in folder.glob("cache.db.damaged-*")] == ["cache.db.damaged-1"]


def test_a_folder_deleted_by_another_process_is_made_again(folder, memory):
    memory.remember("k", 1, task="t", code=CODE)
    with peer("import shutil; shutil.rmtree(folder)", folder) as other:
        finish(other)
    assert recall_all(memory, ["k"]) == {}
    memory.remember("k", 2, task="t", code=CODE)
    with peer("say(recall('k').value)", folder) as other:
        assert finish(other).strip() == "2"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_uses_the_store_beside_its_parent(folder, memory):
    memory.remember("parent", 1, task="t", code=CODE)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            memory.remember("child", recall_all(memory, ["parent"])["parent"], task="t", code=CODE)
            status = 0
        finally:
            os._exit(status)
    memory.remember("more", 2, task="t", code=CODE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert recall_all(memory, ["parent", "child", "more"]) == {"parent": 1, "child": 1, "more": 2}
    assert integrity(folder) == "ok"


def test_importing_the_room_loads_no_heavy_library():
    import subprocess

    program = (
        "import sys\n"
        "from latent.cache import Memory, code_fingerprint, stable_hash, open_memory, SQLiteStore\n"
        "stable_hash({'a': 1})\n"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'mlflow', 'prefect', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

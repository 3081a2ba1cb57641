"""The SQLite store: entries in and out, one or thousands at a time, and what becomes of damage."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from latent.cache import Entry, SQLiteStore, Version
from latent.cache.store import VARIANTS_PER_KEY

VERSION = Version("score", "row", "code1", {"model": "m1"}, {"flow.py:f": "h1"})


def entry(key: str = "k", value: bytes = b"value", version: Version = VERSION, **fields: object) -> Entry:
    known = {"codec": "json", "size_bytes": len(value), "created_at": 100.0, "expires_at": None}
    return Entry(key=key, version=version, value=value, **{**known, **fields})  # type: ignore[arg-type]  # a test's shorthand


def other(code: str) -> Version:
    return Version("score", "row", code)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / ".latent" / "cache"


@pytest.fixture
def store(folder):
    store = SQLiteStore(folder, large_value_bytes=10_000)
    yield store
    store.close()


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").rglob("*") if path.is_file()]


def test_what_was_set_is_got_with_everything_about_it(store):
    one = entry(key_parts={"row": "h"}, outputs={"scores": "f"}, expires_at=200.0)
    assert store.set_many([one])
    assert store.get_many(["k", "other"]) == {"k": [one._replace(key_parts={})]}
    assert store.describe_many(["k", "other"]) == {"k": [one._replace(value=None)]}
    assert store.get_many(["k"])["k"][0].version.code_parts == {"flow.py:f": "h1"}


def test_reading_creates_nothing(store, folder):
    assert store.get_many(["k"]) == {}
    assert store.stats(0).entries == 0
    assert not folder.exists()


def test_thousands_at_once(store):
    entries = [entry(f"k{n}", b"%d" % n) for n in range(5000)]
    store.set_many(entries)
    found = store.get_many([f"k{n}" for n in range(7000)])
    assert found == {one.key: [one] for one in entries}


def test_the_same_version_is_replaced_and_others_stand_beside_it_newest_first(store):
    store.set_many([entry(value=b"1"), entry(value=b"2", version=other("code2"))])
    store.set_many([entry(value=b"3")])
    assert [one.value for one in store.get_many(["k"])["k"]] == [b"3", b"2"]


def test_the_newest_versions_of_a_key_are_kept(store):
    for number in range(VARIANTS_PER_KEY + 3):
        store.set_many([entry(value=b"%d" % number, version=other(f"code{number}"))])
    kept = [one.value for one in store.get_many(["k"])["k"]]
    assert kept == [b"%d" % number for number in reversed(range(3, VARIANTS_PER_KEY + 3))]


def test_large_values_are_files_that_go_with_their_entry(store, folder):
    large = b"x" * 20_000
    store.set_many([entry("a", large), entry("b", b"small")])
    found = store.get_many(["a"])["a"][0]
    assert (found.value, found.size_bytes) == (None, 20_000)
    assert store.load(found) == large
    assert len(files(folder)) == 1
    store.set_many([entry("a", large + b"y")])
    assert store.load(found) == large + b"y"
    assert len(files(folder)) == 1
    store.delete(keys=["a"])
    assert files(folder) == []


def test_outputs_are_noted(store):
    store.set_many([entry()])
    store.set_outputs(entry(), {"scores": "f2"})
    assert store.get_many(["k"])["k"][0].outputs == {"scores": "f2"}


def test_delete_by_every_condition(store):
    task2 = Version("rank", "checkpoint")

    def fill() -> None:
        store.delete()
        store.set_many(
            [entry("a"), entry("b", expires_at=50.0), entry("c", version=task2), entry("a", version=task2)]
        )

    for conditions, count in [
        ({}, 4),
        ({"keys": ["a", "x"]}, 2),
        ({"task": "rank"}, 2),
        ({"kind": "row"}, 2),
        ({"expired_before": 60.0}, 1),
        ({"expired_before": 40.0}, 0),
        ({"task": "rank", "keys": ["a"]}, 1),
        ({"task": "rank", "kind": "row"}, 0),
    ]:
        fill()
        assert store.delete(**conditions) == count
        assert store.stats(0).entries == 4 - count
    fill()
    store.discard([entry("a")])
    assert [one.task for one in store.get_many(["a"])["a"]] == ["rank"]


def test_stats_count_by_task(store, folder):
    store.set_many(
        [entry("a", b"12"), entry("b", b"345", expires_at=50.0), entry("c", version=Version("rank", "task"))]
    )
    stats = store.stats(60.0)
    assert [(task.task, task.kind, task.entries, task.size_bytes, task.expired) for task in stats.tasks] == [
        ("rank", "task", 1, 5, 0),
        ("score", "row", 2, 5, 1),
    ]
    assert (stats.entries, stats.size_bytes, stats.expired, stats.place) == (3, 10, 1, str(folder))
    assert stats.disk_bytes > 10


def test_recent_entries_come_without_values(store):
    store.set_many([entry(f"k{n}", key_parts={"row": str(n)}) for n in range(5)])
    assert [(one.key, one.value, dict(one.key_parts)) for one in store.recent("score", 2)] == [
        ("k4", None, {"row": "4"}),
        ("k3", None, {"row": "3"}),
    ]
    assert store.recent("rank", 5) == []


def test_entries_are_described_by_key_without_their_values(store):
    store.set_many([entry("a", b"1", key_parts={"row": "1"}), entry("b", b"2")])
    store.set_many([entry("a", b"3", version=Version("score", "task", "newer"))])
    found = store.describe_many(["a", "b", "c"])
    assert [(one.version.code, one.value) for one in found["a"]] == [("newer", None), ("code1", None)]
    assert found["a"][1].key_parts == {"row": "1"}
    assert found.keys() == {"a", "b"}
    assert store.describe_many([]) == {}


def test_clearing_gives_the_space_back(store, folder):
    store.set_many([entry(f"k{n}", os.urandom(5_000)) for n in range(500)])
    before = store.stats(0).disk_bytes
    store.delete()
    assert store.stats(0).disk_bytes < before / 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits")
def test_the_folder_is_private_and_git_ignored(store, folder):
    store.set_many([entry()])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder.parent / ".gitignore").read_text() == "*\n"


def test_many_threads_share_transactions_and_lose_nothing(store):
    def work(number: int) -> None:
        for n in range(50):
            assert store.set_many([entry(f"{number}-{n}")])
            assert f"{number}-{n}" in store.get_many([f"{number}-{n}"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert store.stats(0).entries == 400


# Damage.


def connect(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "cache.db", isolation_level=None)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET value = substr(value, 1, 3)",
        "UPDATE entries SET value = 7",
        "UPDATE entries SET value = NULL",
        "UPDATE entries SET checksum = x'00'",
        "UPDATE entries SET outputs = 'x'",
        "UPDATE entries SET variant = 'foreign'",
        "DELETE FROM variants",
        "UPDATE variants SET task = 'another'",
    ],
)
def test_a_damaged_entry_is_dropped_and_said(store, folder, caplog, damage):
    store.set_many([entry("a"), entry("b", version=other("code2"))])
    store.close()
    connection = connect(folder)
    connection.execute(damage)
    connection.close()
    fresh = SQLiteStore(folder)
    with caplog.at_level(logging.WARNING, "latent.cache"):
        assert fresh.get_many(["a", "b"]) == {}
    assert "is damaged" in caplog.text
    assert fresh.stats(0).entries == 0
    fresh.set_many([entry("a")])
    assert fresh.get_many(["a"])["a"] == [entry("a")]
    fresh.close()


def test_damaged_parts_of_a_key_are_noticed_by_who_reads_them(store, folder, caplog):
    store.set_many([entry("a")])
    store.close()
    connection = connect(folder)
    connection.execute("UPDATE entries SET key_parts = '{'")
    connection.close()
    fresh = SQLiteStore(folder)
    assert fresh.get_many(["a"])["a"] == [entry("a")]
    with caplog.at_level(logging.WARNING, "latent.cache"):
        assert fresh.describe_many(["a"]) == {}
    assert "is damaged" in caplog.text
    fresh.close()


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_file_of_a_large_value_is_a_miss(store, folder, caplog, damage):
    store.set_many([entry("a", b"x" * 20_000)])
    found = store.get_many(["a"])["a"][0]
    (file,) = files(folder)
    file.write_bytes(b"x" * 100) if damage == "truncate" else file.unlink()
    with caplog.at_level(logging.WARNING, "latent.cache"):
        assert store.load(found) is None
    assert "missing or damaged" in caplog.text
    assert store.get_many(["a"]) == {}


def garbage(file: Path) -> None:
    file.write_bytes(b"this is not a database" * 500)


def torn(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + b"\x00" * 5000)


def scrambled(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    file.write_bytes(data)


def another_schema(file: Path) -> None:
    file.unlink()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE entries (id INTEGER, key TEXT)")
    connection.close()


def newer_version(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("ruin", [garbage, torn, scrambled, another_schema, newer_version])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_corrupt_database_is_moved_aside_and_created_again(store, folder, caplog, ruin, is_open):
    store.set_many([entry(f"k{n}", os.urandom(2_000)) for n in range(50)])
    if not is_open or ruin is newer_version:
        store.close()
    else:
        store._database.close()  # what is in the log goes to the file; then it opens again
        store.get_many(["k1"])
    ruin(folder / "cache.db")
    with caplog.at_level(logging.WARNING, "latent.cache"):
        for _ in range(2):
            store.get_many([f"k{n}" for n in range(50)])
            assert store.set_many([entry("new")])
            assert store.get_many(["new"]) == {"new": [entry("new")]}
    store.close()
    connection = connect(folder)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    aside = [path for path in folder.iterdir() if path.name.startswith("cache.db.damaged-")]
    assert len([path for path in aside if path.name.endswith("-1")]) == 1, list(folder.iterdir())
    assert caplog.text.count("was moved to cache.db.damaged-1") == 1


# Deletion by hand.


@pytest.mark.parametrize("what", ["folder", "state", "database", "blobs", "log"])
def test_deletion_by_hand_at_any_time_is_safe(store, folder, what):
    store.set_many([entry("a"), entry("large", b"x" * 20_000)])
    store.get_many(["a"])
    if what == "database":
        (folder / "cache.db").unlink()
    elif what == "log":
        for name in ("cache.db", "cache.db-wal", "cache.db-shm"):
            (folder / name).unlink(missing_ok=True)
    else:
        shutil.rmtree({"folder": folder, "state": folder.parent, "blobs": folder / "blobs"}[what])
    found = store.get_many(["a", "large"])
    if what == "blobs":
        assert store.load(found["large"][0]) is None
    else:
        assert found == {}
    assert store.set_many([entry("b"), entry("large", b"y" * 20_000)])
    assert store.get_many(["b"]) == {"b": [entry("b")]}
    assert store.load(store.get_many(["large"])["large"][0]) == b"y" * 20_000


def test_deletion_while_threads_work_loses_results_but_breaks_nothing(store, folder):
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        count = 0
        try:
            while not stop.is_set():
                store.set_many([entry(f"{number}-{count % 50}", os.urandom(300))])
                store.get_many([f"{number}-{count % 50}"])
                count += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        stop.wait(0.05)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert errors == []
    # The first write after a deletion may still go to the file that is gone, and say so; the next does not.
    assert store.set_many([entry("after")]) or store.set_many([entry("after")])
    assert store.get_many(["after"]) == {"after": [entry("after")]}


# A place that cannot be used.


def test_a_place_that_cannot_be_written_is_said_once_and_the_work_goes_on(tmp_path, caplog):
    (tmp_path / ".latent").write_text("a file where the folder should be")
    store = SQLiteStore(tmp_path / ".latent" / "cache")
    with caplog.at_level(logging.WARNING, "latent.cache"):
        for _ in range(3):
            assert store.set_many([entry(), entry("large", b"x" * 300_000)]) is False
            assert store.get_many(["k"]) == {}
            assert store.delete() == 0
            assert store.stats(0).entries == 0
    assert len(caplog.records) == 1
    assert "the work goes on" in caplog.text
    store.close()


def test_a_full_disk_is_said_once_and_what_was_kept_stays(store, caplog):
    store.set_many([entry("before")])
    store._database.write(lambda db: db.execute("PRAGMA max_page_count = 20").fetchall())
    with caplog.at_level(logging.WARNING, "latent.cache"):
        kept = [store.set_many([entry(f"k{n}", os.urandom(9_000))]) for n in range(30)]
    assert kept[0]
    assert not kept[-1]
    assert len(caplog.records) == 1
    assert "full" in caplog.text
    assert "a map stops" in caplog.text
    assert store.get_many(["before"]) == {"before": [entry("before")]}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX users")
def test_a_read_only_store_is_still_read(store, folder, tmp_path):
    """Run as another user where the tests run as root, whom mode bits do not hold."""
    store.set_many([entry("a")])
    store.close()
    program = (
        "import os, sys, logging, urllib.parse\n"  # the other user may not be able to read Python's own files
        "from pathlib import Path\n"
        "from latent.cache import Entry, SQLiteStore, Version\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "logging.basicConfig(format='%(message)s')\n"
        "store = SQLiteStore(Path(sys.argv[1]))\n"
        "entry = Entry('b', Version('t'), 'json', b'1', 1, 0.0, None)\n"
        "print(len(store.get_many(['a'])), store.set_many([entry]))\n"
    )
    readable = [path for path in (tmp_path, *tmp_path.parents) if path.stat().st_uid == os.geteuid()]
    modes = {path: path.stat().st_mode for path in (*readable, folder.parent, folder, folder / "cache.db")}
    try:
        for path in modes:
            path.chmod(0o444 if path.is_file() else 0o555)
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60
        )
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert (done.returncode, done.stdout.split()) == (0, ["1", "False"]), done.stderr
    assert "the work goes on" in done.stderr

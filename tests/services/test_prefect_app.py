"""The server's process: what its garbage must not do."""

from __future__ import annotations

import subprocess
import sys

import pytest

HELD_UP = """
import sqlite3
import sys
import threading
import time

from latent.services.prefect_app import collect_garbage_aside

if sys.argv[2] == "aside":
    collect_garbage_aside()

def connection():
    return sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None, check_same_thread=False)

holder, waiter = connection(), connection()
holder.execute("PRAGMA journal_mode = WAL")
holder.execute("CREATE TABLE numbers (number)")
garbage = [waiter.executemany("INSERT INTO numbers VALUES (?)", [(1,)])]
garbage.append(garbage)
holder.execute("BEGIN IMMEDIATE")

def insert():
    try:
        waiter.executemany("INSERT INTO numbers VALUES (?)", [(2,)])  # shares the statement
        print("inserted")
    except sqlite3.OperationalError as error:
        print(error)

inserting = threading.Thread(target=insert)
inserting.start()
time.sleep(0.5)  # it waits for the holder's lock
del garbage
kept = [[] for _ in range(1_000_000)]  # Python would collect garbage here
holder.execute("COMMIT")
inserting.join()
"""


def run(tmp_path, collected: str) -> str:
    command = [sys.executable, "-c", HELD_UP, str(tmp_path / "numbers.db"), collected]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def test_garbage_of_one_connection_does_not_hold_up_the_transaction_of_another(tmp_path):
    assert run(tmp_path, "aside") == "inserted"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later ones leave the shared statement alone")
def test_python_3_11s_own_collector_would(tmp_path):
    assert run(tmp_path, "by Python") == "database is locked"

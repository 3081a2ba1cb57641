"""The memory: a result is recalled exactly while its code, its parameters and its time are right."""

from __future__ import annotations

import logging
import sqlite3
import threading
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import latent.cache
from latent.cache import CodeFingerprint, Entry, Leases, Memory, Result, SQLiteStore, open_memory, row_key
from latent.errors import UnstorableError
from latent.testing import temporary_workspace

CODE = CodeFingerprint("code1", {"flow.py:f": "1", "flow.py:PROMPT": "1"})
CHANGED = CodeFingerprint("code2", {"flow.py:f": "1", "flow.py:PROMPT": "2"})


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Word(str):
    __slots__ = ()


def no_parameters(name: str) -> str:
    raise AssertionError(f"nothing read parameter {name!r}")


def reader(**today: str):
    return lambda name: today.get(name, "missing")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(tmp_path, clock):
    made = []

    def make(**options) -> Memory:
        folder = tmp_path / "cache"
        memory = Memory(SQLiteStore(folder), leases=Leases(folder / "inflight.lock"), clock=clock, **options)
        made.append(memory)
        return memory

    yield make
    for memory in made:
        memory.close()


@pytest.fixture
def memory(make):
    return make()


def test_what_was_remembered_is_recalled(memory):
    entry = memory.remember("k", {"a": (1, 2)}, task="score", code=CODE)
    hit = memory.recall("k", code=CODE, parameter=no_parameters)
    assert hit is not None
    assert hit.value == {"a": (1, 2)}
    assert hit.version == entry.version
    assert memory.recall("other", code=CODE, parameter=no_parameters) is None


def test_a_remembered_none_is_a_hit(memory):
    memory.remember("k", None, task="score")
    hit = memory.recall("k", code=None, parameter=no_parameters)
    assert hit is not None
    assert hit.value is None


def test_a_new_process_recalls_it_too(memory, make):
    memory.remember(
        "k", pd.DataFrame({"a": [1]}), task="score", code=CODE, key_parts={"row": "h"}, outputs={"out": "f"}
    )
    memory.close()
    hit = make().recall("k", code=CODE, parameter=no_parameters)
    pd.testing.assert_frame_equal(hit.value, pd.DataFrame({"a": [1]}))
    assert hit.outputs == {"out": "f"}
    (described,) = make().store.describe_many(["k"])["k"]
    assert described.key_parts == {"row": "h"}


def test_an_entry_counts_until_it_expires(memory, clock):
    memory.remember("k", 1, task="score", expires_in=timedelta(seconds=10))
    memory.remember("kept", 1, task="score", expires_in=None)
    clock.now += 9.9
    assert memory.recall("k", code=None, parameter=no_parameters)
    clock.now += 0.1
    assert memory.recall("k", code=None, parameter=no_parameters) is None
    clock.now += 1e9
    assert memory.recall("kept", code=None, parameter=no_parameters)
    assert memory.clear(expired=True) == 1
    assert memory.stats().entries == 1


def test_only_entries_of_the_same_code_count(memory):
    memory.remember("k", 1, task="score", code=CODE)
    assert memory.recall("k", code=CHANGED, parameter=no_parameters) is None
    assert memory.recall("k", code=None, parameter=no_parameters) is None
    memory.remember("free", 1, task="score", code=None)
    assert memory.recall("free", code=CODE, parameter=no_parameters) is None


def test_entries_of_several_versions_stand_under_one_key(memory):
    memory.remember("k", "old", task="score", code=CODE)
    memory.remember("k", "new", task="score", code=CHANGED)
    assert memory.recall("k", code=CODE, parameter=no_parameters).value == "old"
    assert memory.recall("k", code=CHANGED, parameter=no_parameters).value == "new"


def test_only_entries_whose_parameters_are_as_they_were_count(memory):
    memory.remember("k", "m1", task="score", code=CODE, parameters_read={"model": "m1", "other.top_k": "3"})
    memory.remember("k", "m2", task="score", code=CODE, parameters_read={"model": "m2"})

    def value(**today: str):
        hit = memory.recall("k", code=CODE, parameter=reader(**today))
        return hit and hit.value

    assert value(model="m1", **{"other.top_k": "3"}) == "m1"
    assert value(model="m1", **{"other.top_k": "4"}) is None
    assert value(model="m2") == "m2"
    assert value(model="m3") is None


def test_many_are_recalled_at_once_and_each_parameter_is_asked_for_once(memory):
    memory.remember_many(
        Result(key=f"k{n}", value=n, task="score", kind="row", code=CODE, parameters_read={"model": "m1"})
        for n in range(3000)
    )
    asked: list[str] = []

    def today(name: str) -> str:
        asked.append(name)
        return "m1"

    hits = memory.recall_many([f"k{n}" for n in range(4000)], code=CODE, parameter=today)
    assert {key: hit.value for key, hit in hits.items()} == {f"k{n}": n for n in range(3000)}
    assert asked == ["model"]


def test_the_newest_of_equal_entries_wins(memory):
    memory.remember("k", 1, task="score", code=CODE)
    memory.remember("k", 2, task="score", code=CODE)
    assert memory.recall("k", code=CODE, parameter=no_parameters).value == 2


@pytest.mark.parametrize(
    ("policy", "value", "warnings"), [("recompute", None, 0), ("warn", 1, 1), ("reuse", 1, 0)]
)
def test_what_a_change_of_code_means_is_a_setting(make, caplog, policy, value, warnings):
    memory = make(on_code_change=policy)
    memory.remember("k", 1, task="score", code=CODE)
    with caplog.at_level(logging.WARNING, "latent.cache"):
        for _ in range(3):
            hit = memory.recall("k", code=CHANGED, parameter=no_parameters)
            assert (hit and hit.value) == value
    assert len(caplog.records) == warnings
    assert ("'flow.py:PROMPT' has changed" in caplog.text) == bool(warnings)


def test_with_reuse_the_present_code_comes_first_and_parameters_still_count(make):
    memory = make(on_code_change="reuse")
    memory.remember("k", "present", task="score", code=CHANGED)
    memory.remember("k", "older code", task="score", code=CODE)
    assert memory.recall("k", code=CHANGED, parameter=no_parameters).value == "present"
    memory.remember("p", 1, task="score", code=CODE, parameters_read={"model": "m1"})
    assert memory.recall("p", code=CHANGED, parameter=reader(model="m2")) is None


def test_a_value_that_cannot_be_stored_is_an_error_and_leaves_nothing(memory):
    with pytest.raises(UnstorableError, match=r"\['client'\]"):
        memory.remember("k", {"client": object()}, task="score")
    assert memory.stats().entries == 0


def test_among_many_the_unstorable_is_named_and_the_rest_is_kept(memory):
    kept = memory.remember_many(
        [Result(key=f"k{n}", value=object() if n == 1 else n, task="score") for n in range(3)]
    )
    assert [type(one) for one in kept] == [Entry, UnstorableError, Entry]
    assert memory.recall_many(["k0", "k1", "k2"], code=None, parameter=no_parameters).keys() == {"k0", "k2"}


def test_pickles_are_neither_written_nor_read_unless_allowed(memory, make):
    with pytest.raises(UnstorableError):
        memory.remember("k", Word("x"), task="score")
    allowed = make(allow_pickle=True)
    allowed.remember("k", Word("x"), task="score")
    assert type(allowed.recall("k", code=None, parameter=no_parameters).value) is Word
    assert memory.recall("k", code=None, parameter=no_parameters) is None
    assert allowed.recall("k", code=None, parameter=no_parameters), "it is left for whom it is allowed"


def test_large_values_are_remembered(memory):
    array = np.arange(300_000)
    memory.remember("k", {"vectors": array}, task="embed")
    assert (memory.recall("k", code=None, parameter=no_parameters).value["vectors"] == array).all()


def test_a_value_that_does_not_decode_is_dropped_and_computed_again(memory, tmp_path, caplog):
    memory.remember("k", (1, 2), task="score")
    memory.close()
    connection = sqlite3.connect(tmp_path / "cache" / "cache.db")
    connection.execute("UPDATE entries SET codec = 'json'")
    connection.commit()
    connection.close()
    with caplog.at_level(logging.WARNING, "latent.cache"):
        assert memory.recall("k", code=None, parameter=no_parameters) is None
    assert "task 'score' is damaged" in caplog.text
    assert memory.stats().entries == 0


def test_outputs_are_noted_after_a_save(memory):
    entry = memory.remember("k", 1, task="score")
    assert memory.set_outputs(entry, {"scores": "f"}).outputs == {"scores": "f"}
    assert memory.recall("k", code=None, parameter=no_parameters).outputs == {"scores": "f"}


def test_clear_by_task_and_kind(memory):
    for key, task, kind in [("a", "score", "row"), ("b", "score", "checkpoint"), ("c", "rank", "checkpoint")]:
        memory.remember(key, 1, task=task, kind=kind)
    assert memory.clear(kind="checkpoint") == 2
    assert memory.clear(task="score") == 1
    assert memory.clear() == 0


def test_why_a_lookup_missed(memory, clock):
    def why(key: str = "k", code: CodeFingerprint | None = CODE, parts=None, **today: str) -> list[str]:
        return memory.why(key, task="score", code=code, parameter=reader(**today), key_parts=parts)

    assert why() == ["Nothing is remembered of task 'score'."]
    memory.remember(
        "k", 1, task="score", code=CODE, parameters_read={"model": "m1"}, key_parts={"row": "h1", "k": "h2"},
        expires_in=timedelta(seconds=10),
    )  # fmt: skip
    assert why(model="m1") == []
    assert why(model="m2") == ["Parameter 'model' has changed."]
    assert why(code=CHANGED, model="m1") == ["The code of 'flow.py:PROMPT' has changed."]
    assert why("k2", parts={"row": "h9", "k": "h2"}) == ["Argument 'row' has changed."]
    assert why("k2", parts={"row": "h1", "n": "h2"}) == ["Argument 'k' is gone.", "Argument 'n' is new."]
    clock.now += 11
    assert why(model="m1")[0].startswith("It expired at ")


def test_misses_are_explained_where_something_lies_under_their_key(memory, clock):
    def missed(code: CodeFingerprint | None = CODE, **today: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for key in ("a", "b"):
            memory.recall(key, code=code, parameter=reader(**today), missed=found)
        together: dict[str, str] = {}
        memory.recall_many(["a", "b", "c"], code=code, parameter=reader(**today), missed=together)
        assert together == found, "one by one and in bulk"
        return found

    read = {"model": "m1", "*": "n1", "dataset:ask.raw": "d1"}
    week = timedelta(seconds=10)
    memory.remember("a", 1, task="score", code=CODE, parameters_read=read, expires_in=week)
    memory.remember("b", 1, task="score", code=CODE, expires_in=week)
    today = {"model": "m1", "*": "n1", "dataset:ask.raw": "d1"}
    assert missed(**today) == {}
    assert missed(**today | {"model": "m2"}) == {"a": "parameter 'model'"}
    assert missed(**today | {"*": "n2"}) == {"a": "the names of the parameters"}
    assert missed(**today | {"dataset:ask.raw": "d2"}) == {"a": "dataset 'ask.raw'"}
    assert missed(CHANGED, **today) == {
        "a": "code of 'PROMPT' in flow.py",
        "b": "code of 'PROMPT' in flow.py",
    }
    assert missed(CHANGED, **today | {"model": "m2"})["a"] == "code of 'PROMPT' in flow.py, parameter 'model'"
    assert missed(CodeFingerprint("other", CODE.parts), **today)["b"] == "code of a package"
    elsewhere = {f"{file}.py:{name}": "h" for file in "xy" for name in "fgh"}
    many = CodeFingerprint("many", CODE.parts | elsewhere)
    assert missed(many, **today)["b"].endswith(" and 3 more")  # six differ, three are named
    moved = CodeFingerprint("moved", elsewhere)
    assert missed(moved, **today)["b"] == "code, which was that of flow.py"
    clock.now += 11
    assert missed(**today) == {"a": "expired", "b": "expired"}


def test_a_claim_makes_one_of_many_threads_work(memory):
    paid = 0

    def work() -> None:
        nonlocal paid
        key = row_key("score", {"n": 1})
        with memory.claim(key):
            if memory.recall(key, code=None, parameter=no_parameters) is None:
                paid += 1
                memory.remember(key, 1, task="score")

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert paid == 1


async def test_a_memory_without_leases_keeps_nobody_waiting(tmp_path):
    memory = Memory(SQLiteStore(tmp_path))
    with memory.claim("k"), memory.claim("k"), await memory.claim_async("k") as lease:
        assert not lease.waited
    memory.close()


def test_a_workspace_has_one_memory_with_its_settings(tmp_path):
    with temporary_workspace(
        {"config/latent.toml": '[cache]\non_code_change = "reuse"\n'}, root=tmp_path
    ) as workspace:
        memory = open_memory(workspace)
        try:
            assert open_memory(workspace) is memory
            memory.remember("k", 1, task="score", code=CODE)
            assert memory.recall("k", code=CHANGED, parameter=no_parameters).value == 1
            assert (workspace.cache_dir / "cache.db").exists()
        finally:
            memory.close()


def test_a_process_that_works_on_many_workspaces_keeps_few_files_open(tmp_path):
    memories = []
    for number in range(12):
        with temporary_workspace(root=tmp_path / str(number)) as workspace:
            memory = open_memory(workspace)
            memory.remember("k", number, task="score")
            memories.append(memory)
    values = [memory.recall("k", code=None, parameter=no_parameters).value for memory in memories]
    assert values == list(range(12))
    for memory in memories:
        memory.close()


def test_memory_in_use_stays_open_however_many_workspaces_follow(tmp_path):
    with temporary_workspace(root=tmp_path / "first") as workspace:
        first = open_memory(workspace)
        lease = first.claim("k")
    others = []
    for number in range(10):
        with temporary_workspace(root=tmp_path / str(number)) as workspace:
            others.append(open_memory(workspace))
    try:
        with temporary_workspace(root=tmp_path / "first") as workspace:
            assert open_memory(workspace) is first
    finally:
        lease.release()
        for memory in [first, *others]:
            memory.close()


def test_the_public_names_are_those_that_are_exported():
    assert sorted(latent.cache.__all__) == sorted(latent.cache._HOME)
    for name in latent.cache.__all__:
        assert getattr(latent.cache, name).__name__ == name
    with pytest.raises(AttributeError):
        latent.cache.no_such_name  # noqa: B018  # the access is what is tested

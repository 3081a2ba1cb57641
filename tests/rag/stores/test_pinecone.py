"""Pinecone's own ways: its key, its limits, its outages."""

from __future__ import annotations

import numpy as np
import pytest

from latent.errors import StoreConnectionError, StoreNotFoundError, StoreRefusedError, StoreUsageError
from latent.rag.stores import Record, open_store
from latent.testing import PineconeSimulator


@pytest.fixture
def simulator(monkeypatch):
    with PineconeSimulator(api_key="right-key") as simulator:
        for name, value in simulator.environment.items():
            monkeypatch.setenv(name, value)
        yield simulator


def test_records_go_in_batches_of_a_hundred(simulator, tmp_path):
    store = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    store.upsert(Record(id=f"h:{n}", vector=[1.0, n], text="t") for n in range(250))
    assert simulator.requests["POST /vectors/upsert"] == 3


def test_batches_of_long_vectors_stay_below_the_size_of_a_request(simulator, tmp_path):
    store = open_store("pinecone", "docs", dimensions=3072, root=tmp_path)
    vectors = np.random.default_rng(0).normal(size=(100, 3072)).astype(np.float32)
    store.upsert(Record(id=f"h:{n}", vector=vector, text="t" * 512) for n, vector in enumerate(vectors))
    assert store.count() == 100
    held = simulator.vectors("docs")
    assert (np.array([held[f"h:{n}"]["values"] for n in range(100)], dtype=np.float32) == vectors).all()


def test_an_index_is_reached_by_its_host_without_the_control_plane(simulator, tmp_path):
    open_store("pinecone", "docs", dimensions=2, root=tmp_path).upsert(
        [Record(id="a", vector=[1, 0], text="t")]
    )
    before = simulator.requests["GET /indexes"]
    store = open_store("pinecone", "anything", host=simulator.host("docs"), root=tmp_path)
    assert (store.ids(), simulator.requests["GET /indexes"]) == (["a"], before)


def test_namespaces_are_apart(simulator, tmp_path):
    one, other = (
        open_store("pinecone", "docs", dimensions=2, namespace=name, root=tmp_path)
        for name in ("one", "other")
    )
    one.upsert([Record(id="a", vector=[1, 0], text="t")])
    one.write_manifest({"a": "b"})
    assert (one.count(), other.count(), other.read_manifest()) == (1, 0, {})


def test_the_namespace_without_a_name_is_not_the_one_called_default(simulator, tmp_path):
    stores = [
        open_store("pinecone", "docs", dimensions=2, namespace=name, root=tmp_path)
        for name in ("", "default", "__default__")
    ]
    stores[0].write_manifest({"a": "b"})
    assert [store.read_manifest() for store in stores] == [{"a": "b"}, {}, {"a": "b"}]


def test_without_a_key_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(StoreUsageError, match="set the environment variable PINECONE_API_KEY"):
        open_store("pinecone", "docs", dimensions=2)


def test_a_wrong_key_is_told_and_not_shown(simulator, tmp_path):
    with pytest.raises(StoreRefusedError, match=r"the key that api_key= gives \(HTTP 401") as caught:
        open_store("pinecone", "docs", dimensions=2, api_key="wrong-key", root=tmp_path)
    assert "wrong-key" not in str(caught.value)


def test_a_wrong_key_of_the_environment_is_told_with_its_variable(simulator, tmp_path, monkeypatch):
    monkeypatch.setenv("PINECONE_API_KEY", "wrong-key")
    with pytest.raises(StoreRefusedError, match="key of the environment variable PINECONE_API_KEY") as caught:
        open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    assert "wrong-key" not in str(caught.value) + repr(caught.value)


def test_a_name_that_pinecone_does_not_take_is_told_before_an_index_is_made(simulator, tmp_path):
    for name in ("../../evil", "Docs", "a" * 46):
        with pytest.raises(StoreUsageError, match="at most 45 lower case letters"):
            open_store("pinecone", name, dimensions=2, root=tmp_path)
    assert not simulator.requests["POST /indexes"]


def test_more_metadata_than_pinecone_takes_is_told_with_its_record(simulator, tmp_path):
    store = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    with pytest.raises(StoreRefusedError, match=r"'h:0' \(a.md\) have .* bytes, and Pinecone takes 40,960"):
        store.upsert([Record(id="h:0", vector=[1, 0], text="x" * 50_000, source="a.md")])


def test_an_outage_is_a_connection_error_that_is_not_retried_below_us(simulator, tmp_path):
    store = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    before = simulator.requests["POST /vectors/upsert"]
    simulator.fail_next([503])
    with pytest.raises(StoreConnectionError, match="cannot be reached"):
        store.upsert([Record(id="a", vector=[1, 0], text="t")])
    assert simulator.requests["POST /vectors/upsert"] == before + 1
    simulator.stop()
    with pytest.raises(StoreConnectionError, match="cannot be reached"):
        store.count()
    simulator.start()
    assert store.count() == 0


def test_an_index_that_was_deleted_meanwhile_is_told(simulator, tmp_path):
    store = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    simulator.clear()
    with pytest.raises(StoreNotFoundError, match="it is gone"):
        store.upsert([Record(id="a", vector=[1, 0], text="t")])


def test_a_line_that_was_half_written_when_a_run_died_is_the_one_before(simulator, tmp_path, monkeypatch):
    """A line of three records, of which the second request is never made: its text must not be forgotten."""
    store = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    before = {**{f"{n}": "short" for n in range(99)}, "long": "x" * 40_000}
    store.write_manifest(before)
    client = store._index  # type: ignore[attr-defined]
    upsert, made = client.upsert, []

    def killed_at_the_second(**arguments):
        made.append(arguments)
        if len(made) == 2:
            raise KeyboardInterrupt
        return upsert(**arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(client, "upsert", killed_at_the_second)
        store.write_manifest({name: line + "!" for name, line in before.items()})
    again = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    assert again.read_manifest()["long"] == before["long"]
    again.write_manifest(dict.fromkeys(before, "new") | {"long": None})
    assert again.read_manifest() == {name: "new" for name in before if name != "long"}
    assert len(simulator.vectors("docs", "--manifest")) == 99


@pytest.mark.parametrize("status", [429, 503])
def test_a_single_failure_of_what_no_task_repeats_ends_nothing(simulator, tmp_path, status):
    simulator.fail_next([status])
    store = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    for call in (
        lambda: store.write_manifest({"a": "line"}),
        store.read_manifest,
        lambda: store.delete(["never there"]),
        store.ids,
        store.count,
    ):
        simulator.fail_next([status])
        call()
    assert store.read_manifest() == {"a": "line"}


def test_keys_that_pinecone_keeps_for_itself_come_back(simulator, tmp_path):
    store = open_store("pinecone", "docs", dimensions=2, root=tmp_path)
    store.upsert([Record(id="a", vector=[1, 0], text="t", metadata={"$ref": "x", "plain": "y"})])
    assert dict(store.query([1, 0], 1)[0].metadata) == {"$ref": "x", "plain": "y"}
    assert "$ref" not in simulator.vectors("docs")["a"]["metadata"]

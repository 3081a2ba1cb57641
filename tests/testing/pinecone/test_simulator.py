"""The simulator as the official client meets it."""

from __future__ import annotations

import pytest

from latent.errors import SimulatorError
from latent.testing import PineconeSimulator


@pytest.fixture
def simulator(monkeypatch):
    with PineconeSimulator(api_key="right-key") as simulator:
        for name, value in simulator.environment.items():
            monkeypatch.setenv(name, value)
        yield simulator


@pytest.fixture
def client(simulator):
    from pinecone import Pinecone

    with Pinecone() as client:
        yield client


@pytest.fixture
def index(client):
    from pinecone import ServerlessSpec

    client.create_index(
        "docs", dimension=2, metric="cosine", spec=ServerlessSpec(cloud="aws", region="eu-west-1")
    )
    with client.Index("docs") as index:
        yield index


def test_indexes_are_made_described_listed_and_deleted(client, index, simulator):
    described = client.describe_index("docs")
    assert (described.name, described.dimension, described.metric) == ("docs", 2, "cosine")
    assert (described.deployment.cloud, described.deployment.region) == ("aws", "eu-west-1")
    assert described.status.ready
    assert described.host == simulator.host("docs")
    assert [each.name for each in client.list_indexes()] == ["docs"]
    client.delete_index("docs")
    assert not client.has_index("docs")


def test_vectors_are_written_fetched_asked_for_and_deleted(index, simulator):
    vectors = [
        {"id": f"v{n:03d}", "values": [1.0, n], "metadata": {"n": n, "even": n % 2 == 0}} for n in range(150)
    ]
    assert index.upsert(vectors=vectors, namespace="ns").upserted_count == 150
    assert dict(index.fetch(ids=["v003", "no"], namespace="ns").vectors)["v003"].metadata == {
        "n": 3,
        "even": False,
    }
    found = index.query(
        vector=[1.0, 0.0],
        top_k=2,
        namespace="ns",
        filter={"n": {"$gt": 4}, "even": True},
        include_metadata=True,
    )
    assert [match.id for match in found.matches] == ["v006", "v008"]
    assert found.matches[0].score == pytest.approx(1 / 37**0.5)  # the cosine of (1, 0) and (1, 6)
    ids = [item.id for page in index.list(namespace="ns", prefix="v0") for item in page]
    assert ids == [f"v{n:03d}" for n in range(100)]
    index.delete(ids=["v000"], namespace="ns")
    index.delete(filter={"n": {"$gte": 100}}, namespace="ns")
    assert index.describe_index_stats().namespaces["ns"].vector_count == 99
    index.delete(delete_all=True, namespace="ns")
    assert simulator.vectors("docs", "ns") == {}


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ({"id": "a", "values": [1.0, 2.0, 3.0]}, "dimension 3 does not match the dimension of the index 2"),
        ({"id": "a", "values": [0.0, 0.0]}, "at least one non-zero"),
        ({"id": "a", "values": [1.0, 0.0], "metadata": {"text": "x" * 41_000}}, "exceeds the limit of 40960"),
    ],
)
def test_what_pinecone_refuses_is_refused_as_a_whole(index, simulator, vector, message):
    from pinecone.errors.exceptions import ApiError

    with pytest.raises(ApiError, match=message) as caught:
        index.upsert(vectors=[{"id": "good", "values": [1.0, 0.0]}, vector])
    assert caught.value.status_code == 400
    assert simulator.vectors("docs") == {}


def test_names_that_exist_or_cannot_be_are_refused(client, index):
    from pinecone import ConflictError, NotFoundError, ServerlessSpec

    with pytest.raises(ConflictError):
        client.create_index("docs", dimension=2, spec=ServerlessSpec(cloud="aws", region="eu-west-1"))
    with pytest.raises(NotFoundError):
        client.describe_index("other")


def test_only_the_right_key_is_taken(simulator):
    from pinecone import Pinecone, UnauthorizedError

    with Pinecone(api_key="wrong-key") as client, pytest.raises(UnauthorizedError) as caught:
        client.list_indexes()
    assert caught.value.status_code == 401


def test_a_wrong_key_does_not_reach_an_index_either(index, simulator):
    from pinecone import Pinecone, UnauthorizedError

    with (
        Pinecone(api_key="wrong-key") as client,
        client.Index(host=simulator.host("docs")) as foreign,
        pytest.raises(UnauthorizedError),
    ):
        foreign.upsert(vectors=[("a", [1.0, 0.0])])
    assert simulator.vectors("docs") == {}


def test_any_key_is_taken_where_none_is_asked_for():
    from pinecone import Pinecone

    with PineconeSimulator() as simulator, Pinecone(api_key="whatever", host=simulator.address) as client:
        assert list(client.indexes.list()) == []


def test_it_fails_as_told_and_comes_back_with_what_it_held(index, simulator):
    index.upsert(vectors=[("a", [1.0, 0.0])])
    simulator.fail_next([503, 429])
    assert index.describe_index_stats().total_vector_count == 1  # the client asks again by itself
    assert simulator.requests["POST /describe_index_stats"] == 3
    simulator.stop()
    simulator.start()
    assert set(simulator.vectors("docs")) == {"a"}
    simulator.clear()
    assert simulator.vectors("docs") == {}


def test_it_has_no_address_before_it_is_started():
    with pytest.raises(SimulatorError, match="with PineconeSimulator"):
        PineconeSimulator().address  # noqa: B018
    with pytest.raises(SimulatorError, match="latency_seconds"):
        PineconeSimulator(latency_seconds=-1)

"""
A Pinecone of one's own: indexes live in memory, and the official client cannot tell the difference.

    with PineconeSimulator() as pinecone:
        os.environ |= pinecone.environment
        Pinecone().create_index("docs", dimension=256, spec=ServerlessSpec(cloud="aws", region="us-east-1"))
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, Self, TypeVar
from urllib.request import getproxies_environment

from latent.errors import SimulatorError
from latent.testing.loopback import HOST, LoopbackServer
from latent.testing.pinecone.indexes import DEFAULT_NAMESPACE
from latent.testing.pinecone.service import SERVED, Service

ANY_KEY = "simulated-key"
T = TypeVar("T")


class PineconeSimulator:
    """
    Answers on loopback as Pinecone does; written vectors are seen at once.

    Args:
        api_key: The only key that is taken; None takes any.
        latency_seconds: How long each answer takes.
        port: 0 for any free one.

    Raises:
        SimulatorError: The port is taken, or it is asked for its address before it is started.
    """

    def __init__(self, *, api_key: str | None = None, latency_seconds: float = 0.0, port: int = 0) -> None:
        if latency_seconds < 0:
            raise SimulatorError("latency_seconds", latency_seconds, "no answer comes before its request")
        self._api_key, self._port = api_key, port
        self._service = Service(api_key, latency_seconds)
        self._server: LoopbackServer | None = None

    def start(self) -> Self:
        """Listen; what indexes hold stays from one start to the next."""
        if self._server is None:
            self._server = LoopbackServer(self._service, port=self._port)
            self._port = self._server.port
            self._service.address = self.address
        return self

    def stop(self) -> None:
        """Break all connections and free the port, as an outage does; `start` takes the same port again."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """The control plane, as `http://127.0.0.1:PORT`."""
        if self._server is None:
            reason = "it has none before it is started: use `with PineconeSimulator() as pinecone:`"
            raise SimulatorError("address", None, reason)
        return f"http://{HOST}:{self._server.port}"

    def host(self, index_name: str) -> str:
        """Where an index is served, for `Pinecone().Index(host=...)`."""
        return f"{self.address}{SERVED}{index_name}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that lead the official client here."""
        variables = {
            "PINECONE_API_KEY": self._api_key or ANY_KEY,
            "PINECONE_CONTROLLER_HOST": self.address,
        }
        if getproxies_environment():  # a proxy cannot reach this machine's loopback
            direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
            variables["NO_PROXY"] = variables["no_proxy"] = ",".join(filter(None, (direct, HOST)))
        return variables

    @property
    def requests(self) -> Counter[str]:
        """How often each path was asked for, as `POST /vectors/upsert`."""
        return self._asked(lambda: self._service.requests.copy())

    def vectors(self, index_name: str, namespace: str = "") -> dict[str, dict[str, Any]]:
        """A copy of what a namespace of an index holds, by id: `id`, `values` and `metadata`."""

        def copied() -> dict[str, dict[str, Any]]:
            index = self._service.indexes.get(index_name)
            space = {} if index is None else index.namespaces.get(namespace or DEFAULT_NAMESPACE, {})
            return deepcopy(space)

        return self._asked(copied)

    def fail_next(self, statuses: Iterable[int]) -> None:
        """Answer the next requests to indexes with these statuses, one each."""
        listed = list(statuses)
        self._asked(lambda: self._service.failing.extend(listed))

    def clear(self) -> None:
        """Forget all indexes and counts."""

        def forget() -> None:
            self._service.indexes.clear()
            self._service.requests.clear()
            self._service.failing.clear()

        self._asked(forget)

    def _asked(self, question: Callable[[], T]) -> T:
        """On the server's thread while there is one: it alone changes what is looked at."""
        return question() if self._server is None else self._server.call(question)

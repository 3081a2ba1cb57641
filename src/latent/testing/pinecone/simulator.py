"""
A Pinecone of one's own: indexes live in memory, and the official client cannot tell the difference.

    with PineconeSimulator() as pinecone:
        os.environ |= pinecone.environment
        Pinecone().create_index("docs", dimension=256, spec=ServerlessSpec(cloud="aws", region="us-east-1"))
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, unquote
from urllib.request import getproxies_environment

import orjson

from latent.errors import SimulatorError
from latent.testing.loopback import HOST, Exchange, HttpRequest, HttpResponse, LoopbackServer
from latent.testing.pinecone.indexes import DEFAULT_NAMESPACE, Index, Refusal, refuse

LARGEST_BODY = 2 * 1024 * 1024
SERVED = "/served/"
"""What stands before an index's name in the path of its own address."""


class Service:
    """Answers exchanges, and counts them; all on the server's thread."""

    def __init__(self, api_key: str | None, latency_seconds: float) -> None:
        self.indexes: dict[str, Index] = {}
        self.requests: Counter[str] = Counter()
        self.failing: list[int] = []
        """Statuses that the next requests to indexes get, in order."""
        self.address = ""
        self._api_key, self._latency = api_key, latency_seconds

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        try:
            status, body = self._answer(request)
        except Refusal as refusal:
            status = refusal.status
            body = {"error": {"code": refusal.code, "message": refusal.message}, "status": status}
        headers = [("content-type", "application/json")]
        response = HttpResponse(status, headers, b"" if status == 202 else orjson.dumps(body))
        exchange.after(self._latency, lambda: exchange.send(response))

    def _answer(self, request: HttpRequest) -> tuple[int, Any]:
        name, path = _parted(request.path)
        self.requests[f"{request.method} {path}"] += 1
        if self._api_key is not None and request.header("api-key") != self._api_key:
            raise Refusal(401, "UNAUTHENTICATED", "Invalid API Key")
        if len(request.body) > LARGEST_BODY:
            raise Refusal(413, "PAYLOAD_TOO_LARGE", "Request size exceeds the limit of 2 MB")
        if name is None:
            return self._manage(request, path)
        if self.failing:
            raise Refusal(self.failing.pop(0), "UNAVAILABLE", "The simulator was told to fail")
        return 200, self._serve(self._named(name), request, path)

    def _manage(self, request: HttpRequest, path: str) -> tuple[int, Any]:
        name = unquote(path.removeprefix("/indexes").strip("/"))
        if not path.startswith("/indexes"):
            raise Refusal(404, "NOT_FOUND", f"There is no {path} here")
        match request.method, name:
            case "GET", "":
                return 200, {"indexes": [self._described(each) for each in self.indexes.values()]}
            case "POST", "":
                return 201, self._described(self._created(_json(request)))
            case "GET", _:
                return 200, self._described(self._named(name))
            case "DELETE", _:
                del self.indexes[self._named(name).name]
                return 202, None
        raise Refusal(405, "METHOD_NOT_ALLOWED", f"{request.method} {path}")

    def _serve(self, index: Index, request: HttpRequest, path: str) -> dict[str, Any]:
        asked = parse_qs(request.query)
        match path:
            case "/vectors/upsert":
                return index.upsert(_json(request))
            case "/query":
                return index.query(_json(request))
            case "/vectors/delete":
                return index.delete(_json(request))
            case "/describe_index_stats":
                return index.stats()
            case "/vectors/fetch":
                return index.fetch(asked.get("ids", []), _first(asked, "namespace"))
            case "/vectors/list":
                limit = int(_first(asked, "limit") or 100)
                token = _first(asked, "paginationToken")
                return index.page(_first(asked, "namespace"), _first(asked, "prefix"), limit, token)
        raise Refusal(404, "NOT_FOUND", f"There is no {path} here")

    def _created(self, body: Mapping[str, Any]) -> Index:
        """An index from a request of version 2026-07 (`schema`, `deployment`) or of those before (`spec`)."""
        name = body.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?", name):
            raise refuse("Name must consist of lower case alphanumeric characters or '-', at most 45")
        if name in self.indexes:
            raise Refusal(409, "ALREADY_EXISTS", "Resource already exists")
        fields = (body.get("schema") or {}).get("fields", {})
        values = next((each for each in fields.values() if each.get("type") == "dense_vector"), body)
        if not isinstance(values.get("dimension"), int) or not 1 <= values["dimension"] <= 20_000:
            raise refuse("The dimension of a dense index lies between 1 and 20000")
        place = body.get("deployment") or (body.get("spec") or {}).get("serverless") or {}
        self.indexes[name] = Index(
            name,
            values["dimension"],
            values.get("metric") or "cosine",
            place.get("cloud", "aws"),
            place.get("region", "us-east-1"),
        )
        return self.indexes[name]

    def _named(self, name: str) -> Index:
        if name not in self.indexes:
            raise Refusal(404, "NOT_FOUND", f"Resource {name} not found")
        return self.indexes[name]

    def _described(self, index: Index) -> dict[str, Any]:
        return index.describe(f"{self.address}{SERVED}{index.name}")


def _parted(path: str) -> tuple[str | None, str]:
    """The index whose own address a path belongs to, and the rest of it; None for the control plane."""
    if not path.startswith(SERVED):
        return None, path
    name, _, rest = path.removeprefix(SERVED).partition("/")
    return name, f"/{rest}"


def _json(request: HttpRequest) -> dict[str, Any]:
    try:
        body = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError as error:
        raise refuse(f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise refuse("The body is not an object")
    return body


def _first(asked: Mapping[str, list[str]], name: str) -> str:
    return asked.get(name, [""])[0]


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

"""What goes over the wire: requests, answers and refusals, as plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request whose sender is already known to be this process or its children."""

    method: str
    path: str
    """Without the `/api` prefix and without slashes at either end."""
    query: str = ""
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
    """What stood in the place of `{...}` in the route's pattern."""

    def json(self) -> Any:
        """Return the parsed body; an empty body is an empty mapping."""
        if not self.body:
            return {}
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise RefusalError(422, f"The body is not JSON: {error}") from error

    def mapping(self) -> dict[str, Any]:
        """Return the parsed body, which must be a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise RefusalError(422, f"The body must be a JSON object, not {type(body).__name__}.")
        return body


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with its JSON content; `None` is sent as an empty body."""

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


HOW_TO_START_ONE = "start one with `latent up`, or set PREFECT_API_URL to the address of one."


class RefusalError(Exception):
    """A request that gets an HTTP error; raised by handlers, never seen outside this package."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.answer = Answer(status, {"detail": detail}, headers or {})


def needs_server(what: str) -> RefusalError:
    """
    Return the refusal of something that only a real Prefect server can do.

    Status 501: Prefect's client neither retries it nor takes it for "not found", so that its text
    reaches the user in the `PrefectHTTPStatusError`.
    """
    return RefusalError(501, f"{what} needs a Prefect server: {HOW_TO_START_ONE}")


Handler = Callable[[Request], Answer | Awaitable[Answer]]
Route = tuple[str, str, Handler]
"""Method, pattern such as `flow_runs/{id}/set_state`, and the function that answers."""

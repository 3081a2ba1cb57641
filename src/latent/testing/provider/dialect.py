"""What differs between providers on every endpoint: how they say no, name their limits and take a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from latent.testing.loopback import HttpRequest
from latent.testing.provider.calls import ApiError, ModelCall, Provider
from latent.testing.provider.headers import Headers
from latent.testing.provider.limits import Level, Refusal


class Dialect(Protocol):
    """One provider's way to speak."""

    name: Provider

    def error(self, error: ApiError, number: int) -> dict[str, Any]:
        """The JSON body of an error; `number` is that of the request."""

    def check_key(self, request: HttpRequest, api_key: str) -> None:
        """Raise ApiError 401 when the request does not carry this key."""

    def not_found(self, request: HttpRequest) -> ApiError:
        """The error for a path that does not exist."""

    def wrong_method(self, request: HttpRequest) -> ApiError:
        """The error for a path that exists, asked with another method."""

    def no_json(self) -> ApiError:
        """The error for a body that is not a JSON object."""

    def unknown_model(self, model: str) -> ApiError:
        """The error for a model that does not exist."""

    def too_long(self, call: ModelCall, context_window: int) -> ApiError:
        """The error for a prompt that the model's context window cannot hold."""

    def refused(self, refusal: Refusal, call: ModelCall) -> ApiError:
        """The 429 of a limit."""

    def quota(self) -> ApiError:
        """The error of an account without credit."""

    def failure(self, status: int) -> ApiError:
        """The error that comes with `status` when nothing is wrong with the request."""

    def identity(self, number: int) -> Headers:
        """The headers of every answer; `number` is that of the request."""

    def limit_headers(self, levels: Sequence[Level]) -> Headers:
        """Where the limits stand."""

    def retry_hint(self, wait_seconds: float | None) -> Headers:
        """When to ask again; nothing when that is not known."""


def request_id(number: int) -> str:
    """The id of a request, as both providers write it."""
    return f"req_{number:024d}"

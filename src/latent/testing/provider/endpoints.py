"""Which paths there are, and what is read and written on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from latent.testing.loopback import HttpRequest
from latent.testing.provider import (
    anthropic_answers,
    anthropic_requests,
    openai_answers,
    openai_requests,
    streams,
)
from latent.testing.provider.answers import Answer
from latent.testing.provider.anthropic_dialect import ANTHROPIC
from latent.testing.provider.calls import Endpoint, ModelCall
from latent.testing.provider.dialect import Dialect
from latent.testing.provider.openai_dialect import OPENAI

READERS: dict[str, tuple[Dialect, Callable[[Mapping[str, Any]], ModelCall]]] = {
    "/v1/chat/completions": (OPENAI, openai_requests.read_chat),
    "/v1/responses": (OPENAI, openai_requests.read_responses),
    "/v1/embeddings": (OPENAI, openai_requests.read_embeddings),
    "/v1/messages": (ANTHROPIC, anthropic_requests.read_messages),
}
COUNT_TOKENS = "/v1/messages/count_tokens"
MODELS = "/v1/models"
DEFAULT_MODELS = ("simulated-model",)
"""What /v1/models lists while any model is answered for."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How answers of one endpoint are written."""

    whole: Callable[[ModelCall, Answer, int], dict[str, Any]]
    events: Callable[[ModelCall, Answer, int], Iterator[bytes]] | None
    """None where the endpoint does not stream."""


WRITERS: dict[Endpoint, Writer] = {
    "chat": Writer(openai_answers.chat_completion, streams.chat_events),
    "responses": Writer(openai_answers.response, streams.response_events),
    "embeddings": Writer(
        lambda call, answer, number: openai_answers.embedding_list(call, answer.input_tokens), None
    ),
    "messages": Writer(anthropic_answers.message, streams.message_events),
}


def dialect_of(request: HttpRequest) -> Dialect:
    """Whose API a request means: by its path, and where both have it or none, by the client's headers."""
    if request.path in READERS:
        return READERS[request.path][0]
    by_anthropic = request.path.startswith("/v1/messages") or request.header("anthropic-version") is not None
    return ANTHROPIC if by_anthropic else OPENAI


def model_list(dialect: Dialect, models: tuple[str, ...]) -> dict[str, Any]:
    """The body of an answer to /v1/models."""
    entries = [model_entry(dialect, model) for model in models]
    if dialect is OPENAI:
        return {"object": "list", "data": entries}
    return {"data": entries, "has_more": False, "first_id": models[0], "last_id": models[-1]}


def model_entry(dialect: Dialect, model: str) -> dict[str, Any]:
    """One model in the provider's words."""
    created = datetime(2026, 1, 1, tzinfo=UTC)
    if dialect is OPENAI:
        return {"id": model, "object": "model", "created": int(created.timestamp()), "owned_by": "simulator"}
    return {"type": "model", "id": model, "display_name": model, "created_at": created.isoformat()}

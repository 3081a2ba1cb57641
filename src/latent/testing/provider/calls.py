"""What a client asks of a simulated provider, in terms that all endpoints share, and its refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import orjson

Provider = Literal["openai", "anthropic"]
Endpoint = Literal["chat", "responses", "embeddings", "messages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request to a model."""

    provider: Provider
    endpoint: Endpoint
    model: str
    prompts: tuple[str, ...]
    """The texts that are counted: that of the last user message, or each text that is to be embedded."""
    body: Mapping[str, Any]
    """The request's whole JSON document."""
    input_tokens: int
    max_tokens: int | None = None
    """Where the answer is cut; None where the request names no such limit."""
    schema: Mapping[str, Any] | None = None
    """The JSON schema that the answer must fit; `{}` fits any JSON. None: any text."""
    tool: str | None = None
    """The tool that the request forces the model to call; `schema` is that of its arguments."""
    stream: bool = False

    @property
    def prompt(self) -> str:
        """The text of the last user message, or the first text that is to be embedded."""
        return self.prompts[0]


class ApiError(Exception):
    """A request that the provider refuses or fails; each provider has its own body for it."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", code: str | None = None, param: str | None = None
    ) -> None:
        """
        Args:
            kind: The body's `type`. Empty: the usual one of this provider for `status`.
            code: OpenAI's `code`, which Anthropic does not have.
            param: OpenAI's `param`: the part of the request that is wrong.
        """
        super().__init__(status, message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param


def count_tokens(text: str) -> int:
    """
    Tokens of a text, four characters each, rounded up.

    A rule of thumb (https://help.openai.com, "What are tokens and how to count them"), not a tokenizer: it is
    always the same, needs no data, and can be worked out by hand in a test.
    """
    return ceil(len(text) / 4)


def cut_to_tokens(text: str, tokens: int) -> str:
    """The beginning of `text` that counts as `tokens` tokens."""
    return text[: tokens * 4]


def text_of(content: Any) -> str:
    """The text of a message's content; a part without text stands as its type, say `[image_url]`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if isinstance(content, Sequence):
        return "\n".join(map(_text_of_part, content))
    return str(content)


def _text_of_part(part: Any) -> str:
    if not isinstance(part, Mapping):
        return str(part)
    if isinstance(text := part.get("text"), str):
        return text
    if "content" in part:  # a tool's result
        return text_of(part["content"])
    return f"[{part.get('type', 'part')}]"


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last message from the user; of the last message when none is."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return text_of(messages[-1].get("content"))


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in `body`; None when there is something else."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None

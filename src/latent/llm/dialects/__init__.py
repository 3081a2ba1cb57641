"""How providers are spoken to: for each API, the request it takes and the answer it gives."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latent.llm.answer import Usage
    from latent.llm.messages import Message, Part, Turns
    from latent.llm.request import Reading, Request


class Speaker(Protocol):
    """One API: pure functions on JSON."""

    PATH: str
    """Below the endpoint's `base_url`."""

    def payload(self, request: Request, turns: Turns) -> dict[str, Any]:
        """The body of a request."""

    def max_tokens(self, sampling: Mapping[str, Any]) -> int | None:
        """Where an answer is cut, thoughts included; None: where the provider does."""

    def reading(self, document: dict[str, Any]) -> Reading:
        """
        What an answer's body says.

        Raises:
            ValueError: It has another shape.
        """

    def usage(self, document: dict[str, Any]) -> Usage | None:
        """What an answer's body says that it took, whatever else it says; None where it does not say."""

    def check(self, spec: str, sampling: dict[str, Any]) -> None:
        """Raise `ModelSpecError` for a sampling parameter of ours that the API does not have."""


def told(document: object, *names: str) -> int | None:
    """A number of tokens in what a provider says, below these names; None where there is none."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    if isinstance(document, float) and document.is_integer():
        return int(document) if document >= 0 else None
    return document if isinstance(document, int) and type(document) is not bool and document >= 0 else None


def count(document: object, *names: str) -> int:
    """As `told`, for what is a part of other counts: 0 where nothing is said of it."""
    return told(document, *names) or 0


def spoken(message: Message, part: Callable[[Part], dict[str, Any]]) -> dict[str, Any]:
    """
    A message as all APIs take it: one text, or its parts.

    Args:
        part: A part as the API at hand takes it.
    """
    if all(isinstance(each, str) for each in message.parts):
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [part(each) for each in message.parts]}


_MODULES = {"anthropic": "anthropic", "openai": "openai_chat", "openai-responses": "openai_responses"}


@lru_cache
def speaker_of(dialect: str) -> Speaker:
    """The module that speaks a dialect."""
    return cast("Speaker", import_module(f"{__name__}.{_MODULES[dialect]}"))

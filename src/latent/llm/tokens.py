"""How many tokens a text, or a call, is likely to have, before anybody says how many it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent.llm.messages import messages_of

if TYPE_CHECKING:
    from latent.llm.messages import Turns
    from latent.llm.request import Request

BYTES_PER_TOKEN = 4
"""
A rule of thumb: four characters of English (https://help.openai.com, "What are tokens and how to count
them"). In bytes of UTF-8 it holds for other scripts too: a Chinese character has three, and is about a token.
"""
FEWEST_BYTES_PER_TOKEN = 3
"""Fewer than in most texts, so that a batch stays below what a request may hold."""
TOKENS_PER_ATTACHMENT = 1_500
"""
What a picture of common size, or a page, takes: Anthropic counts width x height / 750 of a picture after it
was scaled to at most 1.15 megapixels (its guide "Vision"), and 1,500 to 3,000 for a page of a PDF.
"""


def rough_tokens(*texts: str) -> int:
    """How many tokens texts have together, as far as their length tells."""
    return -(-sum(map(_size_bytes, texts)) // BYTES_PER_TOKEN)


def token_bound(text: str) -> int:
    """How many tokens a text has at most, as far as its length tells."""
    return _size_bytes(text) // FEWEST_BYTES_PER_TOKEN + 1


def booked_tokens(request: Request, turns: Turns) -> int:
    """The tokens of a prompt, roughly: text and schemas by their length, attachments by their number."""
    messages = messages_of(turns)
    texts = [request.system or "", *(message.text for message in messages)]
    if request.output is not None:
        texts.append(request.output.schema_text)
    attached = sum(not isinstance(part, str) for message in messages for part in message.parts)
    return rough_tokens(*texts) + attached * TOKENS_PER_ATTACHMENT


def _size_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))

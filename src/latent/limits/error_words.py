"""
What an error says in words, wherever a provider puts them.

`error.message` (OpenAI, Anthropic), `message` (Cohere), `error` as a text (Ollama, Hugging Face), `detail` as
a text or as FastAPI's list of what is wrong with which field (vLLM, NVIDIA), `message.detail` (Mistral),
`errors[]` (Cloudflare), and what another provider said inside of an error (OpenRouter's `metadata.raw`).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = ("message", "msg", "error", "detail", "details", "errors", "error_description", "reason", "title")
"""Names under which words stand, the most telling first."""
_TITLE = re.compile(r"<title[^>]*>([^<]+)</title>", re.IGNORECASE)
_MOST_NESTED = 6
_MOST_LISTED = 5
"""Of a list of errors, so many are told."""


def message_of(body: Any) -> str:
    """What the provider says in words; empty when it says nothing readable."""
    if isinstance(body, str):
        # A proxy's page: its title says what its markup hides.
        page = _TITLE.search(body) if body.lstrip().startswith("<") else None
        return body if page is None else page[1].strip()
    for part in error_parts(body):
        if words := _words(part, 0):
            return words + _from_elsewhere(part, words)
    return ""


def error_parts(body: Any) -> Iterator[dict[str, Any]]:
    """The error inside of a body, then the body: SDKs keep one or the other. Gemini wraps it in a list."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        if isinstance(inner := body.get("error"), dict):
            yield inner
        yield body


def _words(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value.strip()
    if depth > _MOST_NESTED:
        return ""
    if isinstance(value, list):
        found = [words for each in value if (words := _words(each, depth + 1))]
        more = f"; and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
        return "; ".join(dict.fromkeys(found[:_MOST_LISTED])) + more
    if not isinstance(value, dict):
        return ""
    for name in _NAMES:
        if words := _words(value.get(name), depth + 1):
            return _field(value) + words
    return ""


def _field(problem: dict[str, Any]) -> str:
    """Where in the request it is wrong, as pydantic says it: `body.messages: `."""
    place = problem.get("loc")
    return f"{'.'.join(map(str, place))}: " if isinstance(place, list) and place else ""


def _from_elsewhere(error: dict[str, Any], words: str) -> str:
    """What the provider behind a gateway said: the gateway's own words are \"Provider returned error\"."""
    about = error.get("metadata")
    raw = about.get("raw") if isinstance(about, dict) else None
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            return f" ({raw.strip()})" if raw.strip() else ""
    said = message_of(raw)
    return f" ({said})" if said and said != words else ""

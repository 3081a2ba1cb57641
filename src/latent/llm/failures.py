"""Errors that providers answer with, as errors of ours that say what to do next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from latent.config.secrets import Masker
from latent.errors import (
    ContextWindowError,
    MissingKeyError,
    ModelRefusedError,
    UnknownModelError,
    WrongAddressError,
    WrongKeyError,
)
from latent.errors.text import nearest
from latent.llm.addresses import address_hint, is_no_route
from latent.llm.json_body import document_in
from latent.provider_errors.body import QUOTA_CODES, is_too_large, message_of, status_of_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latent.llm.endpoints import Endpoint
    from latent.llm.transport import Reply

_STATUS_OF_CODE = {"context_length_exceeded": 400, "model_not_found": 404, "request_timeout": 504}
_WRONG_INPUT = ("invalid_", "image_", "unsupported_", "empty_image", "failed_to_download")
"""Beginnings of codes that say that what was sent is wrong (`ResponseError` of openai 3.54)."""
_UNFINISHED = ("queued", "in_progress")
_TOO_LONG_WORDS = (
    "context length",  # OpenAI, vLLM
    "context window",
    "context size",  # llama.cpp
    "prompt is too long",  # Anthropic
    "maximum number of tokens",
    "too many tokens",
    "exceed_context_size",
    "too large to process",  # llama.cpp, of a text to embed
)
_TOO_LONG_PATTERN = re.compile(
    r"must have less than \d+ tokens"  # text-embeddings-inference
    r"|max(?:imum)? \d+ tokens per request"  # OpenAI, of all texts of a request
    r"|(?:input|sequence|token)\w* (?:length|count)?.{0,40}(?:exceeds|is (?:too long|longer than)).{0,40}"
    r"(?:max\w*|limit|length|context|tokens)",  # Ollama, Jina, Voyage
    re.IGNORECASE,
)
_LONGEST_TEXT = 500
"""Characters of an answer that is not JSON (a proxy's page, say) that a message repeats."""


def refusal(
    endpoint: Endpoint, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> ModelRefusedError:
    """
    The error for an answer with a status of 400 or more; a key that is repeated there is masked.

    Args:
        path: Below the `base_url`, that was asked.
    """
    known = _masked(endpoint, _decoded(body))
    said = _words(known)
    if is_no_route(status, known) and not _is_unknown_model(endpoint, status, known, said):
        said = said or "there is no such address"
        place, hint = endpoint.place + path, address_hint(endpoint, path)
        return WrongAddressError(
            endpoint.spec, place, said, status, _masked(endpoint, dict(headers)), known, hint
        )
    return _refusal(endpoint, status, headers, known)


def failure_in(endpoint: Endpoint, reply: Reply) -> ModelRefusedError | None:
    """
    The error that an answer with status 200 says instead of an answer; None where it does not.

    It gets the status that a provider sends with such an error elsewhere, so that what can succeed later is
    tried again, and a used-up quota ends the work. Unknown ones are taken for trouble that passes (500).
    """
    error = _error_in(reply.document)
    if error is None:
        return None
    return _refusal(endpoint, _status_of({"error": error}), reply.headers, {"error": error})


def fatal(error: BaseException) -> str | None:
    """
    Why no other call of the same model can succeed, as long as none has; None when others can.

    Not a status of 403: some gateways say so of single prompts that their moderation refuses.
    """
    is_key = isinstance(error, WrongKeyError) and error.status != 403
    if not (is_key or isinstance(error, MissingKeyError | UnknownModelError | WrongAddressError)):
        return None
    return f"No other row can succeed either: {error}"


def _error_in(document: Mapping[str, Any]) -> Any:
    """What an answer names as its error: gateways and OpenAI's responses do so in these three places."""
    if error := document.get("error"):
        return error
    status, choices = document.get("status"), document.get("choices")
    if status in _UNFINISHED:
        said = f"the answer is {status!r}, and latent does not come back for it: leave out `background`"
        return {"type": "invalid_request_error", "message": said}
    if status in ("failed", "cancelled"):
        return {"message": f"the answer has {status!r} as its status, and says no more"}
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return None
    if first.get("error") or first.get("finish_reason") == "error":
        return first.get("error") or {"message": "the answer ended with an error, and says no more"}
    return None


def _status_of(body: Any) -> int:
    code = _code(body).lower()
    if code.isdecimal() and 400 <= int(code) <= 599:
        return int(code)
    if code in QUOTA_CODES:
        return 429
    if (known := status_of_type(body) or _STATUS_OF_CODE.get(code)) is not None:
        return known
    return 400 if code.startswith(_WRONG_INPUT) else 500


def _refusal(endpoint: Endpoint, status: int, headers: Mapping[str, str], body: Any) -> ModelRefusedError:
    known = _masked(endpoint, body)
    said = _words(known) or _code(known) or "it does not say why"
    kind, hint = _explained(endpoint, status, known, said)
    return kind(endpoint.spec, endpoint.place, said, status, _masked(endpoint, dict(headers)), known, hint)


def _words(body: Any) -> str:
    return message_of(body).strip()[:_LONGEST_TEXT]


def _explained(endpoint: Endpoint, status: int, body: Any, said: str) -> tuple[type[ModelRefusedError], str]:
    """The class of the error, and what the user can do."""
    if status in (401, 403) or _code(body) == "invalid_api_key":
        return WrongKeyError, f"Check the key in {endpoint.key_source}, and what it may use."
    if _is_too_long(status, body, said):
        return ContextWindowError, "Shorten the prompt, or take a model that reads more."
    if _is_unknown_model(endpoint, status, body, said):
        return UnknownModelError, _nearest_model(endpoint)
    if is_too_large(status, body):
        return ModelRefusedError, (
            "This one request is larger than what the account may send in that time, so waiting does not "
            "help: shorten the prompt, lower max_tokens, or have the limit raised there."
        )
    return ModelRefusedError, ""


def _is_too_long(status: int, body: Any, said: str) -> bool:
    if status not in (400, 413, 422, 500):
        return False
    words = said.lower()
    if _code(body) in ("context_length_exceeded", "exceed_context_size_error"):
        return True
    return any(phrase in words for phrase in _TOO_LONG_WORDS) or bool(_TOO_LONG_PATTERN.search(said))


def _is_unknown_model(endpoint: Endpoint, status: int, body: Any, said: str) -> bool:
    if _code(body) in ("model_not_found", "invalid_model"):
        return True
    # As a word of its own: a model `m` stands in "some model" only by its letter.
    named = re.search(rf"(?<!\w){re.escape(endpoint.model)}(?!\w)", said)
    return status == 404 and (named is not None or "model" in said.lower())


def _nearest_model(endpoint: Endpoint) -> str:
    from latent.llm.prices import known_models

    near = nearest(endpoint.model, known_models(endpoint.provider))
    if near is None or near == endpoint.model:
        return "The provider's own list of models says what there is."
    return f"Did you mean {endpoint.provider + ':' + near!r}?"


def _code(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ""
    return str(error.get("code") or error.get("type") or "")


def _decoded(body: bytes) -> Any:
    try:
        return document_in(body)
    except ValueError:
        return body.decode(errors="replace")


def _masked(endpoint: Endpoint, value: Any) -> Any:
    # By value and by shape: a provider may repeat the key, whole or in part.
    return Masker(endpoint.secrets).data(value)

"""
OpenAI's API: answers and embeddings as it gives them, and how it refuses, fails and names its limits.

Sources: https://platform.openai.com/docs/api-reference and
https://platform.openai.com/docs/guides/error-codes.
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from xxhash import xxh64_intdigest

from latent.testing.loopback import HttpRequest
from latent.testing.provider.answers import Answer
from latent.testing.provider.calls import ApiError, ModelCall, Provider
from latent.testing.provider.dialect import Dialect, request_id
from latent.testing.provider.headers import Headers, duration, openai_limits, retry_after
from latent.testing.provider.limits import Level, Refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def chat_completion(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer to /v1/chat/completions; `n` choices are all the same."""
    choices = call.body.get("n") or 1
    return {
        "id": f"chatcmpl-{number:024d}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "choices": [
            {
                "index": index,
                "message": chat_message(call, answer, number),
                "logprobs": None,
                "finish_reason": chat_finish_reason(call, answer),
            }
            for index in range(choices)
        ],
        "usage": chat_usage(answer, choices),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def chat_message(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The message of one choice: a text, a refusal, or the tool call that was asked for."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": [],
    }
    if answer.finish_reason == "refusal":
        message |= {"content": None, "refusal": answer.text}
    elif call.tool is not None:
        function = {"name": call.tool, "arguments": answer.text}
        calls = [{"id": f"call_{number:024d}", "type": "function", "function": function}]
        message |= {"content": None, "tool_calls": calls}
    return message


def chat_finish_reason(call: ModelCall, answer: Answer) -> str:
    """Refusals and tools that were forced by name end with `stop`, as in OpenAI's own API."""
    if answer.finish_reason == "length":
        return "length"
    forced_any = call.tool is not None and call.body.get("tool_choice") == "required"
    return "tool_calls" if forced_any else "stop"


def chat_usage(answer: Answer, choices: int = 1) -> dict[str, Any]:
    """Tokens in the words of the chat API."""
    output = answer.output_tokens * choices
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": output,
        "total_tokens": answer.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def response(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer to /v1/responses."""
    is_cut = answer.finish_reason == "length"
    body = call.body
    return {
        "id": f"resp_{number:048d}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if is_cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": call.max_tokens,
        "model": call.model,
        "output": [output_item(call, answer, number)],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None} | (body.get("reasoning") or {}),
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def output_item(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The one item of a response's output: a message, or the tool call that was asked for."""
    status = "incomplete" if answer.finish_reason == "length" else "completed"
    if call.tool is not None:
        return {
            "id": f"fc_{number:048d}",
            "type": "function_call",
            "status": status,
            "name": call.tool,
            "call_id": f"call_{number:024d}",
            "arguments": answer.text,
        }
    content = (
        {"type": "refusal", "refusal": answer.text}
        if answer.finish_reason == "refusal"
        else {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    )
    return {
        "id": f"msg_{number:048d}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [content],
    }


def embedding_list(call: ModelCall, input_tokens: int) -> dict[str, Any]:
    """The body of an answer to /v1/embeddings."""
    dimensions = call.body.get("dimensions") or dimensions_of(call.model)
    encoding = call.body.get("encoding_format", "float")
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": encoded(embed(text, dimensions), encoding)}
            for index, text in enumerate(call.prompts)
        ],
        "model": call.model,
        "usage": {"prompt_tokens": input_tokens, "total_tokens": input_tokens},
    }


NO_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
    "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you "
    "have trouble figuring out how to fix this, please contact us through our help center at "
    "help.openai.com.)"
)
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    "auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
    "https://platform.openai.com/account/api-keys."
)
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on "
    "this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
FAILURES = {
    429: "Rate limit reached for requests",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later",
}
UNITS = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}


class _OpenAI:
    name: Provider = "openai"

    def error(self, error: ApiError, number: int) -> dict[str, Any]:
        kind = error.kind or ("server_error" if error.status >= 500 else "invalid_request_error")
        body = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
        return {"error": body}

    def check_key(self, request: HttpRequest, api_key: str) -> None:
        scheme, _, key = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise ApiError(401, NO_KEY)
        if key != api_key:
            shown = f"{key[:4]}{'*' * 8}{key[-4:]}" if len(key) > 12 else "*" * len(key)
            where = "You can find your API key at https://platform.openai.com/account/api-keys."
            raise ApiError(401, f"Incorrect API key provided: {shown}. {where}", code="invalid_api_key")

    def not_found(self, request: HttpRequest) -> ApiError:
        return ApiError(404, f"Invalid URL ({request.method} {request.path})")

    def wrong_method(self, request: HttpRequest) -> ApiError:
        text = f"Not allowed to {request.method} on {request.path}."
        return ApiError(405, text, code="method_not_supported")

    def no_json(self) -> ApiError:
        return ApiError(400, NO_JSON)

    def unknown_model(self, model: str) -> ApiError:
        text = f"The model `{model}` does not exist or you do not have access to it."
        return ApiError(404, text, code="model_not_found")

    def too_long(self, call: ModelCall, context_window: int) -> ApiError:
        text = (
            f"This model's maximum context length is {context_window} tokens. However, your messages "
            f"resulted in {call.input_tokens} tokens. Please reduce the length of the messages."
        )
        param = "messages" if call.endpoint == "chat" else "input"
        return ApiError(400, text, code="context_length_exceeded", param=param)

    def refused(self, refusal: Refusal, call: ModelCall) -> ApiError:
        if refusal.kind == "concurrency":
            text = f"Rate limit reached for {call.model}: too many concurrent requests."
            return ApiError(429, text, kind="requests", code="rate_limit_exceeded")
        limit = round(refusal.per_minute or 0)
        where = f"{call.model} in organization org-simulated on {UNITS[refusal.kind]}: Limit {limit}"
        if refusal.wait_seconds is None:
            text = (
                f"Request too large for {where}, Requested {refusal.asked}. The input or output tokens must "
                "be reduced in order to run successfully."
            )
        else:
            text = (
                f"Rate limit reached for {where}, Used {max(0, limit - refusal.remaining)}, Requested "
                f"{refusal.asked}. Please try again in {duration(refusal.wait_seconds)}."
            )
        text += " Visit https://platform.openai.com/account/rate-limits to learn more."
        return ApiError(429, text, kind=refusal.kind, code="rate_limit_exceeded")

    def quota(self) -> ApiError:
        return ApiError(429, QUOTA, kind="insufficient_quota", code="insufficient_quota")

    def failure(self, status: int) -> ApiError:
        text = FAILURES.get(status, f"The simulator was told to answer {status}.")
        if status == 429:
            return ApiError(429, text, kind="requests", code="rate_limit_exceeded")
        return ApiError(status, text)

    def identity(self, number: int) -> Headers:
        return [("x-request-id", request_id(number)), ("openai-version", "2020-10-01")]

    def limit_headers(self, levels: Sequence[Level]) -> Headers:
        return openai_limits(levels)

    def retry_hint(self, wait_seconds: float | None) -> Headers:
        return retry_after(wait_seconds, milliseconds=True)


OPENAI: Dialect = _OpenAI()


DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536
PLACES = 4
"""How many components each word changes."""
_WORD = re.compile(r"\w+")


def dimensions_of(model: str) -> int:
    """The length of the vectors of `model` when the request does not ask for another."""
    return DIMENSIONS.get(model, DEFAULT_DIMENSIONS)


@lru_cache(maxsize=2048)
def embed(text: str, dimensions: int) -> NDArray[np.float32]:
    """
    float32, shape (dimensions,), of length 1, always the same for the same text.

    Each word adds to a few components, chosen by its hash with a sign each; so does the whole text, which
    keeps texts of the same words in another order apart. Source: Weinberger et al. 2009, "Feature Hashing for
    Large Scale Multitask Learning", arXiv:0902.2206.
    """
    import numpy as np

    vector = np.zeros(dimensions, dtype=np.float32)
    for word in [*_WORD.findall(text.lower()), f"whole text: {text}"]:
        encoded = word.encode("utf-8", "surrogatepass")
        for place in range(PLACES):
            digest = xxh64_intdigest(encoded, place)
            vector[(digest >> 1) % dimensions] += 1.0 if digest & 1 else -1.0
    length = float(np.linalg.norm(vector))
    if length == 0.0:  # all signs cancelled out
        vector[0] = length = 1.0
    vector /= np.float32(length)
    vector.flags.writeable = False
    return vector


def encoded(vector: NDArray[np.float32], encoding: str) -> Any:
    """The vector as JSON holds it: an array of numbers, or `base64` of its little-endian float32 values."""
    if encoding == "base64":
        return b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    return vector

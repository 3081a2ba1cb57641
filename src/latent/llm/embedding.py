"""Embeddings from any server with OpenAI's API: what is sent, what comes back, how texts are put together."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors import EmptyTextError, ModelAnswerError, ModelRefusedError, ModelSpecError
from latent.llm.answer import Usage
from latent.llm.dialects import told
from latent.llm.endpoints import Endpoint
from latent.llm.sending import send
from latent.llm.surrogates import check_whole
from latent.llm.tokens import token_bound

if TYPE_CHECKING:
    import numpy as np

    from latent.llm.io import IO

PATH = "/embeddings"
_REFUSES_BASE64 = (400, 422)
_only_numbers: set[tuple[str, str]] = set()
"""Addresses and models that are known to send no base64: each batch would be asked for twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """Everything about a request but its texts."""

    endpoint: Endpoint
    dimensions: int | None
    limit: str | None
    timeout_seconds: float


def checked_texts(spec: str, texts: Sequence[str]) -> list[str]:
    """
    The texts as a list.

    Raises:
        ModelSpecError: It is a single text, or holds something else.
        BrokenTextError: One holds a lone surrogate.
        EmptyTextError: One holds only blanks: it has no place among the others.
    """
    if isinstance(texts, str):
        raise ModelSpecError(spec, "embed takes a list of texts: put the one text into a list.")
    listed = list(texts)
    for index, text in enumerate(listed):
        if not isinstance(text, str):
            raise ModelSpecError(spec, f"texts[{index}] is not a string, but of type {type(text).__name__}.")
        check_whole(spec, f"texts[{index}]", text)
    empty = [index for index, text in enumerate(listed) if not text or text.isspace()]
    if empty:
        raise EmptyTextError(spec, tuple(empty), len(listed))
    return listed


def batches(sizes: Sequence[int], most: int, most_tokens: int) -> list[range]:
    """Consecutive texts that go together: at most so many, and together of at most so many tokens."""
    found, first, tokens = [], 0, 0
    for index, size in enumerate(sizes):
        if index > first and (index - first >= most or tokens + size > most_tokens):
            found.append(range(first, index))
            first, tokens = index, 0
        tokens += size
    return [*found, range(first, len(sizes))] if len(sizes) else found


async def ask(request: EmbeddingRequest, texts: Sequence[str], io: IO) -> np.ndarray:
    """
    The vectors of one batch: float32, shape (texts, dimensions), in the order of the texts.

    Raises:
        ModelCallError: There is no answer, or not one vector for each text.
    """
    endpoint, tokens = request.endpoint, sum(map(token_bound, texts))
    whose = (endpoint.identity, endpoint.model)
    form = "float" if whose in _only_numbers else "base64"
    payload: dict[str, Any] = {"model": endpoint.model, "input": list(texts), "encoding_format": form}
    if request.dimensions is not None:
        payload["dimensions"] = request.dimensions
    try:
        sent = await send(request, PATH, payload, io, tokens=tokens, usage_in=_usage)
    except ModelRefusedError as error:
        knows_none = error.status in _REFUSES_BASE64 and "encoding_format" in str(error)
        if form == "float" or not knows_none:
            raise
        # Some servers know only lists of numbers: ten times as long to read, and the same.
        payload["encoding_format"] = "float"
        sent = await send(request, PATH, payload, io, tokens=tokens, usage_in=_usage)
        _only_numbers.add(whose)
    return _vectors(request, sent.document, len(texts))


def _usage(document: dict[str, Any]) -> Usage | None:
    """What the batch took; None where the server does not say."""
    used = told(document, "usage", "prompt_tokens") or told(document, "usage", "total_tokens")
    return None if used is None else Usage(input_tokens=used)


def _vectors(request: EmbeddingRequest, document: dict[str, Any], count: int) -> np.ndarray:
    import numpy as np

    endpoint = request.endpoint
    try:
        rows = [_vector(item) for item in _in_order(document.get("data"), count)]
    except (TypeError, ValueError) as error:
        reason = f"what it sent are not embeddings: {error}."
        raise ModelAnswerError(endpoint.spec, endpoint.place, reason) from error
    if reason := _flaw(rows, count):
        raise ModelAnswerError(endpoint.spec, endpoint.place, reason)
    vectors = np.stack(rows).astype(np.float32, copy=False)
    if not np.isfinite(vectors).all():
        raise ModelAnswerError(endpoint.spec, endpoint.place, "a vector holds what is not a number.")
    if request.dimensions is not None and vectors.shape[1] != request.dimensions:
        raise ModelSpecError(
            endpoint.spec,
            f"its vectors have {vectors.shape[1]} dimensions and cannot be cut to "
            f"dimensions={request.dimensions}: leave that out.",
        )
    return vectors


def _in_order(items: Any, count: int) -> list[dict[str, Any]]:
    """What an answer says of each text, in the order of the texts."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("`data` is not a list of vectors")
    places = [item.get("index") for item in items]
    if len(items) != count or all(place is None for place in places):
        return items
    # The API does not promise the order of the texts; each answer says whose it is.
    if None in places:
        raise ValueError(f"`index` is missing in item {places.index(None)} of `data`, and others have it")
    if set(places) != set(range(count)):
        raise ValueError(f"it sent {count:,} vectors for {count:,} texts, and not one for each by `index`")
    return sorted(items, key=lambda item: int(item["index"]))


def _flaw(rows: Sequence[np.ndarray], count: int) -> str:
    """Why vectors cannot be those of so many texts; empty where they can."""
    lengths = sorted({len(row) for row in rows})
    if len(rows) != count:
        return f"it sent {len(rows):,} vectors for {count:,} texts."
    if 0 in lengths:
        return "it sent an empty vector, without a single number."
    if len(lengths) > 1:
        return f"its vectors have different lengths: {' and '.join(map(str, lengths))} numbers."
    return ""


def _vector(item: dict[str, Any]) -> np.ndarray:
    import numpy as np

    value = item.get("embedding")
    if value is None:
        raise ValueError("`embedding` is missing in an item of `data`")
    if isinstance(value, str):
        return np.frombuffer(b64decode(value, validate=True), dtype="<f4")
    vector = np.asarray(value, dtype=np.float32)
    if vector.ndim != 1:
        raise ValueError(f"a vector of the shape {vector.shape}")
    return vector

"""Answers and vectors by way of the recorded ones, where a workspace keeps such; else from the model."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from latent.cache.keys import argument_hashes, key_of_parts
from latent.cache.memory import open_lasting_memory
from latent.llm.answer import Answer, Usage
from latent.llm.conversation import converse
from latent.llm.embedding import ask as ask_for_vectors
from latent.llm.messages import MarkedText
from latent.llm.recordings import Call, recording_of
from latent.prefect.run import current_run, surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from latent.cache import Memory
    from latent.llm.embedding import EmbeddingRequest
    from latent.llm.io import IO
    from latent.llm.messages import Turns
    from latent.llm.request import Request
    from latent.prefect.run import Run

_HASH_CHARS = 16
_PLACES = 3
"""Of a latency in seconds."""


async def answered(
    request: Request, turns: Turns, repeat: int, io: IO, *, failed_before: int = 0
) -> tuple[Answer, bool]:
    """
    One answer as `converse` gives it: recorded, remembered in the workspace, or asked for.

    Raises:
        RecordingMissError: Answers are replayed, and this one was not recorded.
        ModelCallError: There is no answer.
    """
    run = _run()
    if (recording := recording_of(run.workspace)) is None:
        return await converse(request, turns, io, failed_before=failed_before)
    call = _call_of(request, turns, repeat)
    if (known := recording.find(call)) is not None:
        return _restored(known, request), True
    if recording.is_replay:
        raise recording.missing(call)
    key = key_of_parts(
        request.endpoint.spec, argument_hashes({"model": request, "prompt": turns, "repeat": repeat})
    )
    remembered = _remembered(run, [key]).get(key)
    if remembered is not None:
        answer, is_final = remembered, True
    else:
        answer, is_final = await converse(request, turns, io, failed_before=failed_before)
    if is_final:
        recording.keep(call, _kept(answer))
    return answer, is_final


async def vectors_of(
    request: EmbeddingRequest, texts: Sequence[str], keys: Sequence[str], io: IO
) -> np.ndarray:
    """
    The vectors of one batch, float32, shape (texts, dimensions): recorded, remembered, or asked for.

    Args:
        keys: Under which the texts are remembered; empty where they are not.

    Raises:
        RecordingMissError: Vectors are replayed, and that of a text was not recorded.
        ModelCallError: There is no answer, or not one vector for each text.
    """
    run = _run()
    if (recording := recording_of(run.workspace)) is None:
        return await ask_for_vectors(request, texts, io)
    import numpy as np

    calls = [_text_call(request, text) for text in texts]
    found = {place: _vector(known) for place, call in enumerate(calls) if (known := recording.find(call))}
    missing = [place for place in range(len(texts)) if place not in found]
    if missing and recording.is_replay:
        raise recording.missing(calls[missing[0]])
    remembered = _remembered(run, [keys[place] for place in missing] if keys else [])
    new = {place: remembered[keys[place]] for place in missing if keys and keys[place] in remembered}
    asked = [place for place in missing if place not in new]
    if asked:
        new |= zip(asked, await ask_for_vectors(request, [texts[place] for place in asked], io), strict=True)
    for place, vector in new.items():
        recording.keep(calls[place], _written(vector))
    found |= new
    return np.stack([found[place] for place in range(len(texts))])


def is_replayed() -> bool:
    """Whether models are not asked here, so that calls need neither a key nor a limit."""
    recording = recording_of(_run().workspace)
    return recording is not None and recording.is_replay


def _run() -> Run:
    return current_run() or surroundings(None)


def _remembered(run: Run, keys: Sequence[str]) -> dict[str, Any]:
    """What the workspace remembers was paid for already: recording it costs nothing."""
    if not keys:
        return {}
    memory: Memory = open_lasting_memory(run.workspace)
    hits = memory.recall_many(keys, code=None, parameter=run.parameter_fingerprint)
    return {key: hit.value for key, hit in hits.items()}


def _call_of(request: Request, turns: Turns, repeat: int) -> Call:
    output = request.output
    asked = {
        "prompt": _told(turns),
        "system": request.system,
        "parameters": dict(request.sampling),
        "output": None if output is None else output.name,
        "schema": None if output is None else _digest(output.schema_text.encode()),
        "mode": None if output is None else request.mode,
        "repeat": repeat,
    }
    return Call(request.endpoint.spec, {name: value for name, value in asked.items() if value})


def _told(turns: Turns) -> Any:
    """A prompt in JSON values; what is attached to it by its hash."""
    if isinstance(turns, str):
        return str(turns)
    return [{"role": each.role, "content": [_part(part) for part in each.parts]} for each in turns]


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return str(part) if isinstance(part, MarkedText) else part
    content = part.url or _digest(part.data or b"")
    return {"attached": part.media_type, "content": content} | ({"name": part.name} if part.name else {})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_HASH_CHARS]


def _kept(answer: Answer) -> dict[str, Any]:
    """An answer in JSON values, without what is of no use later: the provider's id of the request."""
    usage = {} if answer.usage is None else answer.usage.amounts()
    fields = {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "tool_calls": [dict(each) for each in answer.tool_calls],
        "finish_reason": None if answer.finish_reason == "stop" else answer.finish_reason,
        "problem": answer.first_problem,
        "model": answer.model,
        "usage": {name: count for name, count in usage.items() if count},
        "cost_usd": answer.cost_usd,
        "latency_seconds": round(answer.latency_seconds, _PLACES),
    }
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _restored(known: Mapping[str, Any], request: Request) -> Answer:
    usage = known.get("usage")
    made = Answer.__new__(Answer)  # without its constructor, as what is remembered is restored
    made.__setstate__(
        {
            "text": known.get("text", ""),
            "output_type": None if request.output is None else request.output.reference,
            "usage": None if usage is None else Usage(**usage),
            "cost_usd": known.get("cost_usd"),
            "finish_reason": known.get("finish_reason", "stop"),
            "first_problem": known.get("problem"),
            "model": known.get("model", ""),
            "latency_seconds": known.get("latency_seconds", 0.0),
            "attempts": 1,
            "request_id": None,
            "tool_calls": tuple(known.get("tool_calls", ())),
            "reasoning": known.get("reasoning"),
        }
    )
    return made


def _text_call(request: EmbeddingRequest, text: str) -> Call:
    asked: dict[str, Any] = {"text": text}
    if request.dimensions is not None:
        asked["dimensions"] = request.dimensions
    return Call(request.endpoint.spec, asked)


def _written(vector: np.ndarray) -> str:
    """A vector as text: base64 of its numbers, float32, little-endian."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _vector(known: str) -> np.ndarray:
    import numpy as np

    return np.frombuffer(base64.b64decode(known), dtype="<f4").astype(np.float32)

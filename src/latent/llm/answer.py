"""What a model answered, and what that took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length", "refusal", "tool", "other"]
"""Why an answer ended: it was complete, the limit on tokens cut it, the model would not, it called a tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of a call, or of several."""

    input_tokens: int = 0
    """All tokens of the prompt; those that the provider read from its cache are included."""
    output_tokens: int = 0
    """All tokens that the model made; those of its reasoning are included."""
    cached_tokens: int = 0
    """Of the input: read from the provider's cache, at a lower price."""
    cache_write_tokens: int = 0
    """Of the input: written to the provider's cache, at a higher price (Anthropic)."""
    reasoning_tokens: int = 0
    """Of the output: thought, and not said."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    One answer of a model.

    Answers that cannot be used as they are (cut, refused, not of the schema that was asked for) are kept and
    remembered like others, since they were paid for: see `problem`.
    """

    text: str
    """What the model said; for structured output, its JSON."""
    output: Any = None
    """The validated instance of `output=`; None without one, and where the text does not validate."""
    usage: Usage = Usage()
    """Repairs of structured output included."""
    cost_usd: float | None = None
    """What it cost when it was made; None: the price is unknown, which is not free."""
    finish_reason: FinishReason = "stop"
    problem: str | None = None
    """Why the answer cannot be used, in a sentence; None for one that can."""
    model: str = ""
    """The model as the provider reports it: often more exact than what was asked for."""
    latency_seconds: float = 0.0
    """From the request to the whole answer, of the attempt that succeeded; waiting for a limit is not in it."""
    attempts: int = 1
    """Requests that were made, failed ones and repairs included."""
    request_id: str | None = None
    """The provider's, for its support."""
    from_memory: bool = False
    """Whether it was remembered: nothing was sent and nothing paid."""

    @property
    def abstained(self) -> bool:
        """Whether there is no usable answer: the row's outcome is `abstained` then, not `ok`."""
        return self.problem is not None

    def __str__(self) -> str:
        return self.text

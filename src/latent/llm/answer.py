"""What a model answered, and what that took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from latent.cache.later import LATER
from latent.llm.schemas import instance_of, judged, type_of
from latent.llm.thoughts import is_only_thought

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

    def amounts(self) -> dict[str, int]:
        """Its counts by name, as accounts hold them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


class _Made:
    """What an answer holds beside its fields: neither remembered nor compared."""

    __slots__ = ("_instance", "_is_new", "_problem")
    __latent_caches__ = __slots__
    _instance: Any
    _problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_Made):
    """
    One answer of a model.

    Answers that are cut, refused, or not of the type that was asked for are kept and remembered like others,
    since they were paid for: see `finish_reason` and `problem`.
    """

    text: str
    """What the model said; for structured output, its JSON."""
    output_type: str | None = None
    """Names the type of `output`; None where none was asked for."""
    usage: Usage | None = None
    """Repairs of structured output included; None: the provider does not say, which is not nothing."""
    cost_usd: float | None = None
    """What it cost when it was made; None: the price is unknown, which is not free."""
    finish_reason: FinishReason = "stop"
    first_problem: str | None = None
    """What was wrong with it when it was made: see `problem`."""
    model: str = ""
    """The model as the provider reports it: often more exact than what was asked for."""
    latency_seconds: float = 0.0
    """From the last request to its whole answer, without failed attempts and waiting for a limit."""
    attempts: int = 1
    """Requests that were made, failed ones and repairs included."""
    request_id: str | None = None
    """The provider's, for its support."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """`id`, `name` and `arguments` (JSON as text) of tools that the model wants called."""
    reasoning: str | None = field(default=None, metadata=LATER)
    """What the model thought before it answered, where the provider shows it; no part of the text."""

    def __post_init__(self) -> None:
        # A remembered answer is restored without its constructor, and so is known by what it lacks.
        object.__setattr__(self, "_is_new", True)

    @property
    def problem(self) -> str | None:
        """
        Why there is no `output`, in a sentence; None where there is one, or none was asked for.

        A remembered answer is judged again: its type's validators may be others by now, and so the outcome of
        its row never says something else than `output`.
        """
        if not self.from_memory:
            return self.first_problem
        if not hasattr(self, "_problem"):
            object.__setattr__(self, "_problem", _judged_again(self))
        return self._problem

    @property
    def output(self) -> Any:
        """
        The instance of `output=`; None without one, and where the text is not valid (see `problem`).

        Made from the text when it is first asked for.

        Raises:
            ModelSpecError: The answer is remembered, and its type cannot be found any more.
            Exception: A validator of the type raises something else, which no model can mend. The answer is
                kept: once the validator is mended, the output of the same answer is there.
        """
        if self.output_type is None or self.problem is not None:
            return None
        if not hasattr(self, "_instance"):
            object.__setattr__(self, "_instance", instance_of(self.output_type, self.text))
        return self._instance

    @property
    def from_memory(self) -> bool:
        """Whether it was remembered: nothing was sent and nothing paid."""
        return not hasattr(self, "_is_new")

    @property
    def is_complete(self) -> bool:
        """Whether it is neither cut nor refused nor invalid, and more than thoughts."""
        if self.problem is not None or self.finish_reason not in ("stop", "tool"):
            return False
        return bool(self.tool_calls) or not is_only_thought(self.text)

    @property
    def latent_abstained(self) -> bool:
        """Whether there is no usable answer: the row's outcome is `abstained` then, not `ok`."""
        return self.problem is not None

    def __str__(self) -> str:
        return self.text

    def __getstate__(self) -> dict[str, Any]:
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        return known | {"_is_new": True} if hasattr(self, "_is_new") else known

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


def _judged_again(answer: Answer) -> str | None:
    first = answer.first_problem
    if answer.output_type is None or answer.finish_reason in ("refusal", "length"):
        return first
    try:
        found = type_of(answer.output_type)
    except Exception:  # the module of the type breaks when it is imported: `output` raises the same
        return first
    if found is None:
        return first
    verdict = judged(found, answer.text)
    if verdict.instance is not None:
        object.__setattr__(answer, "_instance", verdict.instance)
    # Where the same is still wrong, what was said beside that, say of a repair, stays.
    is_same = verdict.problem is not None and (first or "").startswith(verdict.problem)
    return first if is_same else verdict.problem

"""How a simulated provider behaves: every setting, its meaning, and which values make sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal, get_args

from latent.errors import SimulatorError
from latent.errors.text import did_you_mean
from latent.testing.provider.answers import Answers, Reply
from latent.testing.provider.faults import Fault
from latent.testing.provider.latency import Latency, LogNormal

HeaderStyle = Literal["provider", "retry-after", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The settings of a `ProviderSimulator`, checked."""

    answer: Answers = None
    latency: Latency = 0.0
    requests_per_minute: float | None = None
    burst: int | None = None
    tokens_per_minute: float | None = None
    burst_tokens: int | None = None
    concurrency: int | None = None
    headers: HeaderStyle = "provider"
    faults: tuple[Fault, ...] = ()
    api_key: str | None = None
    models: tuple[str, ...] | None = None
    context_window: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_answer(self.answer)
        _check_latency(self.latency)
        for name in ("requests_per_minute", "tokens_per_minute"):
            _check_positive(name, getattr(self, name), float)
        for name in ("burst", "burst_tokens", "concurrency", "context_window"):
            _check_positive(name, getattr(self, name), int)
        if self.headers not in get_args(HeaderStyle):
            known = ", ".join(map(repr, get_args(HeaderStyle)))
            raise SimulatorError("headers", self.headers, f"it must be one of {known}")
        if self.burst is not None and self.requests_per_minute is None:
            raise SimulatorError("burst", self.burst, "it needs requests_per_second or requests_per_minute")
        if self.burst_tokens is not None and self.tokens_per_minute is None:
            raise SimulatorError("burst_tokens", self.burst_tokens, "it needs tokens_per_minute")
        for fault in self.faults:
            if not isinstance(fault, Fault):
                raise SimulatorError("faults", fault, "each must be a Fault, say Fault(500, first=2)")
        if self.models is not None and not self.models:
            raise SimulatorError("models", self.models, "name at least one, or None for any")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**64:
            raise SimulatorError("seed", self.seed, "it must be a whole number, 0 or more")


def behaviour_from(given: Mapping[str, Any]) -> Behaviour:
    """
    The behaviour that keyword arguments of `ProviderSimulator` ask for.

    Raises:
        SimulatorError: One is unknown or cannot be used, or two contradict each other.
    """
    settings = dict(given)
    known = [field.name for field in fields(Behaviour)]
    for name, value in settings.items():
        if name not in (*known, "requests_per_second"):
            hint = did_you_mean(name, [*known, "requests_per_second"], f"there are {', '.join(known)}.")
            raise SimulatorError(name, value, f"there is no such setting: {hint.rstrip('.?')}")
    per_second = settings.pop("requests_per_second", None)
    if per_second is not None:
        _check_positive("requests_per_second", per_second, float)
        if settings.get("requests_per_minute") is not None:
            raise SimulatorError("requests_per_second", per_second, "requests_per_minute is given as well")
        settings["requests_per_minute"] = per_second * 60.0
    for name in ("faults", "models"):
        if (several := settings.get(name)) is not None:
            settings[name] = _tuple_of(name, several)
    return Behaviour(**settings)


def _tuple_of(name: str, several: Any) -> tuple[Any, ...]:
    if isinstance(several, str | Fault):
        return (several,)
    if isinstance(several, Iterable):
        return tuple(several)
    raise SimulatorError(name, several, "it must be a list")


def _check_answer(answer: Any) -> None:
    usable = answer is None or isinstance(answer, str | Reply | Mapping) or callable(answer)
    if not usable and not callable(getattr(answer, "respond", None)):
        wanted = "it must be a text, a Reply, a mapping from prompts to these, a function or a Responder"
        raise SimulatorError("answer", answer, wanted)


def _check_latency(latency: Any) -> None:
    if isinstance(latency, LogNormal) or callable(latency):
        return
    if isinstance(latency, bool) or not isinstance(latency, int | float) or not 0.0 <= latency < inf:
        wanted = (
            "it must be seconds (0 or more), a LogNormal(median_seconds, sigma) or a function of the call"
        )
        raise SimulatorError("latency", latency, wanted)


def _check_positive(name: str, value: Any, kind: type) -> None:
    if value is None:
        return
    accepted = int if kind is int else int | float
    if isinstance(value, bool) or not isinstance(value, accepted) or not 0 < value < inf:
        number = "a whole number" if kind is int else "a number"
        raise SimulatorError(name, value, f"it must be {number} above 0; None stands for no limit")

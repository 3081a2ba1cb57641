"""How long a simulated provider takes to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf
from statistics import NormalDist

from latent.errors import SimulatorError
from latent.testing.provider.calls import ApiError, ModelCall
from latent.testing.provider.draws import draw

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class LogNormal:
    """
    Latencies as providers show them: most near the median, a few far above it.

    The logarithm of the latency is normally distributed around log(`median_seconds`) with the standard
    deviation `sigma`: at 0.3 one request in twenty takes more than 1.64 times the median, at 1.0 more than
    5.2 times.
    """

    median_seconds: float
    sigma: float

    def __post_init__(self) -> None:
        if not 0.0 < self.median_seconds < inf:
            raise SimulatorError("LogNormal(median_seconds)", self.median_seconds, "it must be above 0")
        if not 0.0 <= self.sigma < inf:
            raise SimulatorError("LogNormal(sigma)", self.sigma, "it must not be negative")

    def seconds(self, share: float) -> float:
        """The latency that a `share` (between 0 and 1) of all requests stays below."""
        return self.median_seconds * exp(self.sigma * _NORMAL.inv_cdf(min(max(share, 1e-12), 1.0 - 1e-12)))


Latency = float | LogNormal | Callable[[ModelCall], float]
"""Seconds for every request, a distribution, or a function of the call that gives seconds."""


def seconds_of(latency: Latency, call: ModelCall, attempt: int, seed: int) -> float:
    """
    How long this call takes.

    Args:
        attempt: 1 for the first request of this prompt.

    Raises:
        ApiError: The user's function raised, or gave no number.
    """
    if isinstance(latency, LogNormal):
        return latency.seconds(draw(seed, call.prompt, attempt, "latency"))
    if not callable(latency):
        return latency
    try:
        return float(latency(call))
    except Exception as error:
        text = f"The simulator's latency function failed: {type(error).__name__}: {error}"
        raise ApiError(500, text) from error

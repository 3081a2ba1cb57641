"""What goes wrong on purpose, when, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from latent.errors import SimulatorError
from latent.testing.provider.draws import draw

Breakage = Literal["quota", "reset", "hang", "malformed", "truncated"]
FaultKind = int | Breakage

AT_ONCE = frozenset({429, 503, 529})
"""Statuses by which a provider turns requests away before it works on them; others come after the latency."""


@dataclass(frozen=True, slots=True)
class Fault:
    """
    A fault that requests meet, unless an earlier one in the list met them.

    Fault(500, first=2)                     the first two requests of each prompt get a server error
    Fault(529, probability=0.05)            one request in twenty is turned away as overloaded
    Fault("reset", only="chapter 7")        requests whose prompt contains this lose their connection
    """

    kind: FaultKind
    """
    An HTTP status from 400 to 599, with the provider's own body for it, or

    - "quota": the account is used up (429 `insufficient_quota`; Anthropic answers 400),
    - "reset": the connection breaks instead of an answer,
    - "hang": no answer comes until the client gives up,
    - "malformed": status 200 with half a JSON document,
    - "truncated": the connection ends in the middle of the body.
    """
    probability: float = 1.0
    """For each request, by itself; the same seed strikes the same attempts of the same prompts."""
    first: int | None = None
    """Only the first so many requests of each prompt; what a limit turned away does not count. None: all."""
    only: str | None = None
    """Only requests with this text in their prompt. None: all."""
    retry_after_seconds: float | None = None
    """Sent with the status as `retry-after` and `retry-after-ms`. None: the client gets no hint."""

    def __post_init__(self) -> None:
        is_status = isinstance(self.kind, int) and not isinstance(self.kind, bool) and 400 <= self.kind <= 599
        if not is_status and self.kind not in get_args(Breakage):
            known = ", ".join(map(repr, get_args(Breakage)))
            raise SimulatorError("Fault(kind)", self.kind, f"it must be a status from 400 to 599, or {known}")
        if not 0.0 <= self.probability <= 1.0:
            raise SimulatorError("Fault(probability)", self.probability, "it must lie between 0 and 1")
        if self.first is not None and self.first < 1:
            raise SimulatorError("Fault(first)", self.first, "it must be 1 or more; None stands for all")
        if self.retry_after_seconds is not None and self.retry_after_seconds < 0:
            raise SimulatorError("Fault(retry_after_seconds)", self.retry_after_seconds, "it is negative")

    def strikes(self, prompt: str, attempt: int, chance: float) -> bool:
        """
        Whether a request meets this fault.

        Args:
            attempt: 1 for the first request of this prompt.
            chance: The request's random number for this fault, from 0 up to 1.
        """
        return (
            (self.first is None or attempt <= self.first)
            and (self.only is None or self.only in prompt)
            and chance < self.probability
        )


def parse_fault(text: str) -> Fault:
    """
    A fault as a command line writes it: `500`, `reset:0.05` (one request in twenty), `529:first=2`.

    Raises:
        SimulatorError: It is written otherwise, or says what a `Fault` cannot be.
    """
    kind, _, rest = text.partition(":")
    known: FaultKind = int(kind) if kind.isdecimal() else kind  # type: ignore[assignment]  # checked by Fault
    try:
        if rest.startswith("first="):
            return Fault(known, first=int(rest.removeprefix("first=")))
        return Fault(known, probability=float(rest)) if rest else Fault(known)
    except SimulatorError:
        raise
    except ValueError as error:
        wanted = "write KIND, KIND:SHARE or KIND:first=N, say 500:0.05 or reset:first=2"
        raise SimulatorError("fault", text, wanted) from error


def fault_for(faults: Sequence[Fault], prompt: str, attempt: int, seed: int) -> Fault | None:
    """The first of `faults` that strikes this attempt of this prompt."""
    for number, fault in enumerate(faults):
        if fault.strikes(prompt, attempt, draw(seed, prompt, attempt, f"fault {number}")):
            return fault
    return None

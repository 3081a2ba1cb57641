"""What a simulated provider has seen and done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from latent.testing.provider.calls import ModelCall


class Served(NamedTuple):
    """One request, after its end."""

    arrived_at: float
    """Seconds on the clock of `time.monotonic`, which all processes of a machine share on Linux and macOS."""
    ended_at: float
    path: str
    prompt: str | None
    """The text it is counted under, the first of those to embed; None for a request that cannot be read."""
    status: int | None
    """None when no status was sent: the connection was reset, or the client hung up."""
    fault: str | None
    """What went wrong on purpose, say `500` or `hang`; None when nothing did."""
    answered: bool
    """Whether a whole, valid answer was sent."""


@dataclass(slots=True)
class Record:
    """Counts since the start, or since `clear`; what a simulator hands out is a copy."""

    requests: int = 0
    """All HTTP requests that arrived, those that are not answered yet included."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Answers sent, by HTTP status."""
    faults: Counter[str] = field(default_factory=Counter)
    """Requests that met a fault, by its kind."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each prompt arrived, whatever became of it."""
    answered: Counter[str] = field(default_factory=Counter)
    """How often each prompt got a whole, valid answer. Above 1, it was paid for more than once."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """How often each prompt arrived when it had been answered already. Empty: nothing was paid in vain."""
    in_flight: int = 0
    """Requests past the limits that are being answered now."""
    peak_in_flight: int = 0
    abandoned: int = 0
    """Clients that hung up before their answer."""
    input_tokens: int = 0
    output_tokens: int = 0
    """Tokens of whole, valid answers."""
    log: list[Served] = field(default_factory=list)
    """Each request that has ended, in the order of the ends."""

    @property
    def arrivals(self) -> list[float]:
        """When the requests of the log arrived, in order; seconds on the clock of `time.monotonic`."""
        return sorted(served.arrived_at for served in self.log)

    def copy(self) -> Record:
        """This record as it is now."""
        return Record(
            requests=self.requests,
            statuses=self.statuses.copy(),
            faults=self.faults.copy(),
            asked=self.asked.copy(),
            answered=self.answered.copy(),
            duplicates=self.duplicates.copy(),
            in_flight=self.in_flight,
            peak_in_flight=self.peak_in_flight,
            abandoned=self.abandoned,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            log=self.log.copy(),
        )

    def note_asked(self, call: ModelCall) -> None:
        """A readable request arrived."""
        for prompt in call.prompts:
            self.asked[prompt] += 1
            if prompt in self.answered:
                self.duplicates[prompt] += 1

    def note_begun(self) -> None:
        """A request passed the limits and is being answered."""
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def note_answered(self, call: ModelCall, input_tokens: int, output_tokens: int) -> None:
        """A whole, valid answer is on its way."""
        self.answered.update(call.prompts)
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

"""What gates ask for: `">= 0.80"`, `"not worse than main by 0.02"`, `"better than main"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from latent.errors import GateError

_LINE = re.compile(
    r"(?P<sign>>=|<=)\s*(?P<value>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<percent>%)?"
)
_OTHER = re.compile(
    r"(?P<what>not worse|better) than (?P<name>\S+)(?: by (?P<margin>(?:\d+\.?\d*|\.\d+)))?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One gate."""

    metric: str
    """A metric's name, or `cost_usd` or `coverage`."""
    text: str
    """As it was written."""
    asks: Literal["at least", "at most", "not worse", "better"]
    value: float
    """The line; for comparisons, how much worse is allowed, or how much better is asked."""
    other: str | None = None
    """The run, or its tag, that it is compared with."""


def parse_condition(metric: str, text: object) -> Condition:
    """
    A gate from its text.

    Raises:
        GateError: It is none.
    """
    written = str(text).strip()
    if (line := _LINE.fullmatch(written)) is not None:
        value = float(line["value"]) / (100.0 if line["percent"] else 1.0)
        return Condition(metric, written, "at least" if line["sign"] == ">=" else "at most", value)
    if (other := _OTHER.fullmatch(written)) is not None:
        asks: Literal["not worse", "better"] = "better" if other["what"].lower() == "better" else "not worse"
        return Condition(metric, written, asks, float(other["margin"] or 0.0), other["name"])
    raise GateError(
        metric,
        f'{text!r} is not a gate: say ">= 0.80", "<= 1.5", "not worse than main by 0.02", "better than main"',
    )

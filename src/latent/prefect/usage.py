"""The account of what a run used of paid services: of each model, its calls, tokens and money."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class ServiceAccount:
    """What was used of one service."""

    calls: int = 0
    """Requests that were answered, and so paid for."""
    unpriced: int = 0
    """Of those, how many have no known price: their cost is missing in `cost_usd`."""
    amounts: Counter[str] = field(default_factory=Counter)
    """What the service counts, by name: `input_tokens`, `output_tokens`, ..."""
    cost_usd: float | None = None
    """None while no call has told what it cost: unknown is not free."""

    def as_dict(self) -> dict[str, Any]:
        """The account as a run's records keep it."""
        return {
            "calls": self.calls,
            "unpriced": self.unpriced,
            "amounts": dict(self.amounts),
            "cost_usd": self.cost_usd,
        }

    def add(self, other: ServiceAccount) -> None:
        """Take in another account of the same service."""
        self.calls += other.calls
        self.unpriced += other.unpriced
        self.amounts.update(other.amounts)
        if other.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + other.cost_usd


def merged(accounts: dict[str, ServiceAccount], more: Mapping[str, ServiceAccount]) -> None:
    """Add to `accounts` what `more` has of each service."""
    for name, account in more.items():
        accounts.setdefault(name, ServiceAccount()).add(account)

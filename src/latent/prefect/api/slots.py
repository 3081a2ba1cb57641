"""Slots of a global concurrency limit: how many are taken, and how they decay. Pure book-keeping."""

from __future__ import annotations

import math
from dataclasses import dataclass

MIN_OCCUPANCY_SECONDS = 0.1


@dataclass(slots=True)
class Slots:
    """
    One limit's slots, as Prefect's server counts them.

    A limit with a decay is a rate limit: its slots free themselves, `decay_per_second` of them each
    second. Times are seconds of a clock that never goes back.
    """

    limit: int
    decay_per_second: float = 0.0
    active: bool = True
    """Whether the limit is enforced at all."""
    taken: int = 0
    counted_at: float = 0.0
    """When `taken` was true; whole slots that decayed since then are free."""
    occupancy_seconds: float = 2.0
    """How long one slot is held on average: Prefect's start value, moved by each release."""

    def settle(self, now: float) -> None:
        """Free the slots that have decayed by now."""
        if self.taken == 0 or self.decay_per_second == 0.0:
            self.counted_at = now
            return
        decayed = math.floor((now - self.counted_at) * self.decay_per_second)
        if decayed >= self.taken:
            self.taken, self.counted_at = 0, now
        elif decayed > 0:
            self.taken -= decayed
            # Only whole slots are booked, and the rest of the time still counts for the next one.
            self.counted_at += decayed / self.decay_per_second

    def fits(self, slots: int) -> bool:
        """Return whether that many more slots can be taken."""
        return not self.active or self.taken + slots <= self.limit

    def seconds_until(self, slots: int, now: float) -> float:
        """Return when decay alone will have made room for that many slots; infinity if never."""
        if self.fits(slots):
            return 0.0
        if self.decay_per_second == 0.0:
            return math.inf
        missing = self.taken + slots - self.limit
        return max(missing / self.decay_per_second - (now - self.counted_at), 0.0)

    def take(self, slots: int) -> None:
        """Take slots that fit."""
        if self.active:
            self.taken += slots

    def give_back(self, slots: int, held_seconds: float | None) -> None:
        """Free slots, and learn from how long they were held."""
        if not self.active:
            return
        self.taken = max(self.taken - slots, 0)
        if held_seconds is not None and slots > 0 and self.limit > 0:
            per_slot = max(held_seconds / slots, MIN_OCCUPANCY_SECONDS)
            # A weighted average over the last `2 * limit` holds, as on the server.
            self.occupancy_seconds += (per_slot - self.occupancy_seconds) / (self.limit * 2)

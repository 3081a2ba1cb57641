"""Fair shares of the slots of a limit between the processes that want them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """What one process wants of a limit."""

    member: int
    wanted: int
    """Calls under way and waiting."""
    rank: float
    """The lowest first gets a slot that cannot be shared evenly."""


def fair_shares(slots: int, claims: Iterable[Claim]) -> Mapping[int, int]:
    """
    Slots by member: nobody gets more than he wants, and what is left goes evenly to those who want more.

    Max-min fairness (Bertsekas and Gallager, Data Networks, section 6.5.2). What cannot be divided goes one
    each by rank.
    """
    shares: dict[int, int] = {}
    left = slots
    hungry = sorted(claims, key=lambda claim: claim.wanted)
    while hungry and hungry[0].wanted * len(hungry) <= left:
        modest = hungry.pop(0)
        shares[modest.member] = modest.wanted
        left -= modest.wanted
    if hungry:
        # Each of them wants at least the even part; some of them no more than that.
        even, extra = divmod(max(left, 0), len(hungry))
        in_turn = sorted(hungry, key=lambda claim: (claim.wanted <= even, claim.rank, claim.member))
        for place, claim in enumerate(in_turn):
            shares[claim.member] = even + (place < extra)
    return shares

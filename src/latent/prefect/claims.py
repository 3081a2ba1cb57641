"""
Claiming a key before it is worked on, so that nobody pays for the same work at the same time.

Whoever holds a place under a limit waits for others with measure: they may be waiting for that very place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent.limits.permit import held_permit

if TYPE_CHECKING:
    from latent.cache import Lease, Memory

PATIENCE_SECONDS = 10.0
"""So long does a call with a place under a limit wait for another one; then it works beside it."""


def claim(memory: Memory, key: str) -> Lease:
    """The right to work on `key`, once nobody else does; blocks. Recall again then."""
    return memory.claim(key, _patience())


async def claim_async(memory: Memory, key: str) -> Lease:
    """As `claim`, without blocking the event loop."""
    return await memory.claim_async(key, _patience())


def _patience() -> float | None:
    return None if held_permit() is None else PATIENCE_SECONDS

"""
Acquiring the lease of a key before work on it begins, so that no work is paid for twice at a time.

A call that holds a place under a limit waits only so long: others may be waiting for that very place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent.limits.permit import held_permit

if TYPE_CHECKING:
    from latent.cache import Lease, Memory

PATIENCE_SECONDS = 10.0
"""So long does a call with a place under a limit wait for another one; then it works beside it."""


def acquire_lease(memory: Memory, key: str) -> Lease:
    """The right to work on `key`, once nobody else does; blocks. Recall again then."""
    return memory.claim(key, _patience())


async def acquire_lease_async(memory: Memory, key: str) -> Lease:
    """As `claim`, without blocking the event loop."""
    return await memory.claim_async(key, _patience())


def _patience() -> float | None:
    return None if held_permit() is None else PATIENCE_SECONDS

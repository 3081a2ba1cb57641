"""
Random numbers that belong to a request, not to the moment of its arrival.

With one generator for all, a request would draw another number whenever threads change places. Here the same
seed gives the same prompt the same latency and the same faults in every run.
"""

from __future__ import annotations

from xxhash import xxh64_intdigest


def draw(seed: int, prompt: str, attempt: int, purpose: str) -> float:
    """
    A number from 0 up to 1, evenly distributed and always the same for the same arguments.

    Args:
        attempt: 1 for the first request of this prompt that is served.
        purpose: Keeps the numbers for latency and for each fault independent of one another.
    """
    digest: int = xxh64_intdigest(f"{purpose}|{attempt}|{prompt}".encode("utf-8", "surrogatepass"), seed)
    return (digest >> 11) / (1 << 53)

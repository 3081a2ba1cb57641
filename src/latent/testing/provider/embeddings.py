"""Vectors for texts, without a model: texts that share words lie close to one another."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from xxhash import xxh64_intdigest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536
PLACES = 4
"""How many components each word changes."""
_WORD = re.compile(r"\w+")


def dimensions_of(model: str) -> int:
    """The length of the vectors of `model` when the request does not ask for another."""
    return DIMENSIONS.get(model, DEFAULT_DIMENSIONS)


@lru_cache(maxsize=2048)
def embed(text: str, dimensions: int) -> NDArray[np.float32]:
    """
    float32, shape (dimensions,), of length 1, always the same for the same text.

    Each word adds to a few components, chosen by its hash with a sign each; so does the whole text, which
    keeps texts of the same words in another order apart. Source: Weinberger et al. 2009, "Feature Hashing for
    Large Scale Multitask Learning", arXiv:0902.2206.
    """
    import numpy as np

    vector = np.zeros(dimensions, dtype=np.float32)
    for word in [*_WORD.findall(text.lower()), f"whole text: {text}"]:
        encoded = word.encode("utf-8", "surrogatepass")
        for place in range(PLACES):
            digest = xxh64_intdigest(encoded, place)
            vector[(digest >> 1) % dimensions] += 1.0 if digest & 1 else -1.0
    length = float(np.linalg.norm(vector))
    if length == 0.0:  # all signs cancelled out
        vector[0] = length = 1.0
    vector /= np.float32(length)
    vector.flags.writeable = False
    return vector


def encoded(vector: NDArray[np.float32], encoding: str) -> Any:
    """The vector as JSON holds it: an array of numbers, or `base64` of its little-endian float32 values."""
    if encoding == "base64":
        return b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    return vector

"""Sentence embeddings that ship inside a package: no key, no download, 10,000 sentences a second."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


def embed(texts: Sequence[str], dimensions: int) -> np.ndarray:
    """
    One vector a text: float32, shape (texts, dimensions), each row of length 1.

    Args:
        dimensions: 64, 128 or 256; the first ones carry most of the meaning.
    """
    with _loading:
        model = _model(dimensions)
    vectors: np.ndarray = model.embed(list(texts), norm=True)
    return vectors


_loading = Lock()  # rows run in threads: the first loads the model, the others wait for it


@cache
def _model(dimensions: int) -> Any:
    import wordllama

    # The wheel carries the weights and the tokenizer, but the tokenizer is only looked for under `cache_dir`.
    package = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=package, trunc_dim=dimensions, disable_download=True)

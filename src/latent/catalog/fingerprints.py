"""Content hashes of files, and the memory that spares reading an unchanged file twice."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from latent.errors import LatentError

if TYPE_CHECKING:
    from latent.config import Workspace

_CHUNK_BYTES = 1 << 20
# A file changed within one tick of the file system's clock before it was hashed may change again unseen.
# The change time cannot be set back by hand, except on Windows, where it is the time of creation.
_RACY_NS = 2_000_000_000 if os.name == "nt" else 50_000_000


class _Identity(NamedTuple):
    """What changes whenever a file's content does."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


def hash_stream(file: Any) -> str:
    """The hash of what is left to read in a binary file, 32 hex characters, in constant memory."""
    import xxhash

    digest = xxhash.xxh3_128()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def combined(parts: Iterable[tuple[str, str]]) -> str:
    """One fingerprint of named ones; each name and hash is told apart from its neighbours."""
    import xxhash

    digest = xxhash.xxh3_128()
    for name, fingerprint in parts:
        for text in (name, fingerprint):
            data = text.encode("utf-8", "surrogateescape")
            digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


class FileHashes:
    """
    Hashes of local files, remembered by path, size, times and inode; safe between threads and processes.

    The memory is a help and never a condition: where it cannot be read or written, files are hashed again.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, tuple[_Identity, str]] = {}
        self._lock = Lock()

    def of(self, path: Path) -> str:
        """
        The hash of one file's content.

        Raises:
            OSError: It cannot be read, or is not a regular file.
        """
        known = self._remembered(str(path), _identity(path))
        return known or self.of_all({"": path})[""]

    def of_all(self, paths: Mapping[str, Path]) -> dict[str, str]:
        """The hashes of many files by the names given to them; the store is asked and told once."""
        identities = {name: _identity(path) for name, path in paths.items()}
        found = {name: self._remembered(str(paths[name]), at) for name, at in identities.items()}
        if missing := [str(paths[name]) for name, digest in found.items() if digest is None]:
            self._recall(missing)
        fresh: dict[str, tuple[_Identity, str]] = {}
        for name, identity in identities.items():
            path = paths[name]
            digest = self._remembered(str(path), identity)
            if digest is None:
                digest, lasting = _hash_file(path)
                if lasting is not None:
                    fresh[str(path)] = (lasting, digest)
            found[name] = digest
        self._remember(fresh)
        return {name: digest for name, digest in found.items() if digest is not None}

    def _remembered(self, path: str, identity: _Identity) -> str | None:
        known = self._known.get(path)
        return known[1] if known and known[0] == identity else None

    def _recall(self, paths: list[str]) -> None:
        if not self._file.exists():
            return
        with suppress(sqlite3.Error, OSError), closing(self._connect()) as connection:
            for path in paths:
                row = connection.execute(_SELECT, (os.fsencode(path),)).fetchone()
                if row is not None:
                    with self._lock:
                        self._known[path] = (_Identity(*row[:4]), row[4])

    def _remember(self, fresh: dict[str, tuple[_Identity, str]]) -> None:
        if not fresh:
            return
        with self._lock:
            self._known.update(fresh)
        rows = [(os.fsencode(path), *identity, digest) for path, (identity, digest) in fresh.items()]
        from latent.config import ensure_private_dir

        with suppress(sqlite3.Error, OSError, LatentError):
            ensure_private_dir(self._workspace.cache_dir)
            with closing(self._connect()) as connection, connection:
                connection.executemany(_INSERT, rows)

    @property
    def _file(self) -> Path:
        return self._workspace.cache_dir / "fingerprints.db"

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=1.0)
        try:
            # What is lost in a crash is computed again: no wait for the disk.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_CREATE)
        except sqlite3.DatabaseError as error:
            connection.close()
            if not isinstance(error, sqlite3.OperationalError):  # damaged, not merely busy
                self._file.unlink(missing_ok=True)
            raise
        return connection


_CREATE = (
    "CREATE TABLE IF NOT EXISTS fingerprints"
    " (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, ctime_ns INTEGER, digest TEXT)"
    " WITHOUT ROWID"
)
_SELECT = "SELECT size, mtime_ns, inode, ctime_ns, digest FROM fingerprints WHERE path = ?"
_INSERT = "INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?, ?, ?, ?)"

_hashes: dict[Path, FileHashes] = {}


def hashes_for(workspace: Workspace) -> FileHashes:
    """The memory of a workspace's files, one per process."""
    return _hashes.setdefault(workspace.root, FileHashes(workspace))


def _hash_file(path: Path) -> tuple[str, _Identity | None]:
    """A file's hash, and the identity to remember it under; None when it may be changing."""
    with path.open("rb") as file:
        before, started_ns = _identity_of(os.fstat(file.fileno())), time.time_ns()
        digest = hash_stream(file)
        after = _identity_of(os.fstat(file.fileno()))
    settled = started_ns - max(before.mtime_ns, before.ctime_ns) > _RACY_NS
    return digest, before if settled and before == after else None


def _identity(path: Path) -> _Identity:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is not a regular file")
    return _identity_of(status)


def _identity_of(status: os.stat_result) -> _Identity:
    # SQLite keeps 64 signed bits; some file systems number their files beyond that.
    inode = status.st_ino & 0x7FFF_FFFF_FFFF_FFFF
    return _Identity(status.st_size, status.st_mtime_ns, inode, status.st_ctime_ns)

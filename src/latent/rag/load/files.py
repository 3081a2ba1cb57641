"""The bytes of a source, wherever it lies, and what kind of file they are."""

from __future__ import annotations

import re
from pathlib import Path

from latent.errors import UnreadableDocumentError
from latent.rag.load.finding import file_system, reaching, remote_url, shown, trouble, without_protocol

_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet table"),
    (b"\x7fELF", "a program"),
)

_RTF = b"{\\rtf1"
"""It is clean text, and nothing that begins like that is meant to be read."""
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def read_source(path: str, root: Path) -> bytes:
    """
    What lies at a path or URL.

    Raises:
        UnreadableDocumentError: Nothing does, it is a folder, or it may not be read.
        SourceConnectionError: A file system elsewhere does not answer: another attempt may help.
    """
    if url := remote_url(path):
        filesystem, inner = file_system(url)
        with reaching(url):
            data: bytes = filesystem.cat_file(inner)
        return data
    file = root / Path(without_protocol(path)).expanduser()
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise UnreadableDocumentError(shown(path), trouble(error)) from error


def signature(data: bytes) -> str | None:
    """What bytes that are not text are, by how they begin; None when that tells nothing, or they are text."""
    if data.startswith(_RTF):
        return "RTF"
    kind = next((kind for mark, kind in _SIGNATURES if data.startswith(mark)), None)
    return None if kind is None or _is_clean_text(data) else kind


def _is_clean_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 without any control characters: a text about pictures may begin as one does."""
    if _CONTROL.search(data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

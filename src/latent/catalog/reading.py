"""The text of a data file, or an error that says on which line it stops being one and why."""

from __future__ import annotations

import codecs
import io
from typing import Any

from kedro.io.core import DatasetError, get_filepath_str

from latent.errors import CatalogError

# What a file that is not text begins with, and what to call it.
_SIGNATURES = (
    (b"\x1f\x8b", "a gzip archive", "give its name the suffix .gz"),
    (b"PK\x03\x04", "a ZIP archive (or an Office file)", "unpack it"),
    (b"BZh", "a bzip2 archive", "give its name the suffix .bz2"),
    (b"\xfd7zXZ\x00", "an xz archive", "give its name the suffix .xz"),
    (b"%PDF-", "a PDF document", "extract its text"),
    (b"\x89PNG", "a PNG picture", "choose another type"),
    (b"\xff\xd8\xff", "a JPEG picture", "choose another type"),
    (b"GIF8", "a GIF picture", "choose another type"),
    (b"PAR1", "a Parquet file", "give its name the suffix .parquet"),
    (b"SQLite format 3", "an SQLite database", "read it with `pandas.SQLTableDataset`"),
)
# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SET_ENCODING = "fs_args: {{open_args_load: {{encoding: {0}}}}}"
"""How a catalog names the encoding of a text, JSON, YAML or JSON Lines file."""


class UnreadableFileError(DatasetError, CatalogError):
    """A file's content is not what its type promises; Kedro's error too, so that Kedro passes it on."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason, line)
        self.reason, self.line = reason, line

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


def read_bytes(dataset: Any) -> bytes:
    """The whole file that a Kedro file dataset would load, unpacked when its suffix says it is packed."""
    path = get_filepath_str(dataset._get_load_path(), dataset._protocol)
    compression = dataset._fs_open_args_load.get("compression", "infer")
    with dataset._fs.open(path, mode="rb", compression=compression) as file:
        data: bytes = file.read()
    return data


def read_text(dataset: Any) -> str:
    """
    The text of the file that a Kedro file dataset would load, line ends as they stand.

    Raises:
        UnreadableFileError: It is not text in the given encoding, which is UTF-8 where none is given.
    """
    options = dataset._fs_open_args_load
    return decoded(
        read_bytes(dataset), options.get("encoding"), options.get("errors"), options.get("newline", "")
    )


def decoded(
    data: bytes,
    encoding: str | None,
    errors: str | None = None,
    newline: str | None = "",
    how: str = SET_ENCODING,
) -> str:
    """
    `data` as text.

    Args:
        data: The content of a file.
        encoding: None is UTF-8, with or without a byte order mark, and refuses NUL bytes, which stand in
            UTF-16 and binary files. A named encoding is taken at its word.
        errors: Python's error handler, as `open` takes it.
        newline: How line ends are translated, as `open` takes it; "" leaves them alone.
        how: How a catalog sets the encoding for this type, with a place for its name.

    Raises:
        UnreadableFileError: It is no such text; with the line.
    """
    try:
        text = io.TextIOWrapper(io.BytesIO(data), encoding or "utf-8-sig", errors, newline=newline).read()
    except UnicodeDecodeError as error:
        raise not_text(data, error.start, encoding, how) from error
    except LookupError as error:
        raise UnreadableFileError(f"{encoding!r} is not an encoding that Python knows.") from error
    if encoding is None and "\0" in text:
        raise not_text(data, data.index(b"\0"), None, how)
    return text


def not_text(data: bytes, at: int, encoding: str | None, how: str = SET_ENCODING) -> UnreadableFileError:
    """The error for bytes that are not text from `at` on: what the file is, or how to name its encoding."""
    for signature, what, remedy in _SIGNATURES:
        if data.startswith(signature):
            return UnreadableFileError(f"the file is {what}, not text: {remedy}.")
    for mark, name in _MARKS:
        if data.startswith(mark):
            return UnreadableFileError(f"the file is {name.upper()}, not UTF-8: set `{how.format(name)}`.")
    line = data.count(b"\n", 0, at) + 1
    if encoding is not None:
        return UnreadableFileError(f"the byte 0x{data[at]:02x} is not {encoding}.", line)
    if data[at] == 0:
        reason = f"a NUL byte: no text, or UTF-16 without a mark (then set `{how.format('utf-16-le')}`)."
        return UnreadableFileError(reason, line)
    reason = (
        f"the byte 0x{data[at]:02x} is not UTF-8: save the file as UTF-8, or set its encoding, "
        f"say `{how.format('cp1252')}`."
    )
    return UnreadableFileError(reason, line)

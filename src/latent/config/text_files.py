"""Text of a configuration file, or an error that says where its bytes stop being text."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from latent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, label: str | None = None) -> str:
    """
    The text of `path`; UTF-8, or what its byte order mark says.

    Args:
        label: How messages name the file; the path when not given.

    Raises:
        ConfigError: The file cannot be read or is not text; with line and column.
        FileNotFoundError: There is no such file.
    """
    label = label or str(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        what = "is a folder" if path.is_dir() else (error.strerror or str(error))
        raise ConfigError(f"{label} cannot be read: {what}.") from error
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{label}:{_position(data, error.start)}: {_not_text(data, error, encoding)}"
        ) from error
    if "\0" in text:
        line_column = _position(data, data.index(b"\0"))
        raise ConfigError(
            f"{label}:{line_column}: not text (a NUL byte; UTF-16 perhaps): save the file as UTF-8."
        )
    return text


def _position(data: bytes, offset: int) -> str:
    before = data[:offset].split(b"\n")
    return f"{len(before)}:{len(before[-1]) + 1}"


def _not_text(data: bytes, error: UnicodeDecodeError, encoding: str) -> str:
    if encoding in ("utf-8", "utf-8-sig"):
        return f"the byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8."
    return f"its byte order mark says {encoding.upper()}, but the bytes do not fit: save the file as UTF-8."

"""From bytes to text: the encoding that they say, else the one that they fit."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from typing import NamedTuple

from latent.config.extras import import_extra

# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = bytes({*range(32), 127} - {*b"\t\n\r\f\b\x1b"})
_MOST_CONTROL = 0.02
"""Share of control characters above which bytes that are not UTF-8 are not text in any encoding."""
_NUL_SHARE = 0.2
"""Share of NULs among the upper bytes from which on bytes without a mark are UTF-16."""

_WESTERN = re.compile(
    r"[\x00-\x7fÀ-ÖØ-öø-ÿŒœŠšŽžŸ€‚„…†‡‰‹‘’“”•–—™›\xa0¡¢£¥§©ª«®°±·º»¼½¾¿]*"  # noqa: RUF001
)
_MOST_ACCENTS = 0.45
"""Share of letters with accents up to which a text may be in a Western language."""
_STRANGE = re.compile("[\udc80-\udcff]")
"""What `surrogateescape` makes of bytes that are not UTF-8."""
_FITTING = re.compile("[^\x00-\x7f\udc80-\udcff]")
_LETTER = re.compile(rb"[A-Za-z\x80-\xff]")
_NAMED = {
    "BIG5": "big5", "EUC-JP": "euc_jp", "EUC-KR": "cp949", "GB18030": "gb18030", "IBM855": "cp855",
    "IBM866": "cp866",
    "ISO-8859-5": "iso8859_5", "ISO-8859-6": "iso8859_6", "ISO-8859-7": "cp1253", "ISO-8859-8": "cp1255",
    "KOI8-R": "koi8_r", "MACCYRILLIC": "mac_cyrillic", "SHIFT_JIS": "cp932", "TIS-620": "cp874",
    "UHC": "cp949",
    "WINDOWS-1251": "cp1251", "WINDOWS-1253": "cp1253", "WINDOWS-1255": "cp1255", "WINDOWS-1256": "cp1256",
}  # fmt: skip
"""Encodings in use, by the names that cchardet has for them: what else it names is hardly ever right."""
_NAMED_LATIN = {
    "ISO-8859-2": "iso8859_2", "ISO-8859-9": "cp1254", "ISO-8859-13": "cp1257", "ISO-8859-16": "iso8859_16",
    "WINDOWS-1250": "cp1250", "WINDOWS-1254": "cp1254", "WINDOWS-1257": "cp1257",
}  # fmt: skip
"""Those that share most letters with Western ones: a text in them may look Western."""
_LEAST_CONFIDENCE = 0.4
_LEAST_HIGH_BYTES = 2
"""So many bytes above ASCII it takes to guess: one may be anything."""
_ISO_2022_JP = re.compile(rb"\x1b\$[@B].*\x1b\([BJ]", re.DOTALL)


class Decoded(NamedTuple):
    """A text and how sure it is."""

    text: str
    encoding: str
    replaced: int = 0
    """Bytes that stand for nothing and became U+FFFD."""


class NotTextError(ValueError):
    """Bytes that are not text in any encoding."""


def decode(data: bytes, declared: str | None = None, encoding: str | None = None) -> Decoded:
    """
    The text of `data`, line ends as `\\n`: by its byte order mark, as UTF-8, else as it was most likely
    written.

    Args:
        declared: An encoding that the file names itself; used where UTF-8 does not fit.
        encoding: The encoding that the user says it has; only a byte order mark is believed before.

    Raises:
        NotTextError: No encoding makes text of it, or not the one that was said.
        MissingExtraError: Its encoding has to be guessed, and the extra `documents` is not installed.
    """
    found = _decoded(data, declared) if encoding is None else _as_said(data, encoding)
    text = found.text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise NotTextError(f"it is not text (a NUL at byte {data.index(0):,})")
    return found._replace(text=text)


def cleaned(text: str) -> str:
    """A text without lone surrogates and NULs, which JSON may hold, but neither UTF-8 nor a store does."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if _has_surrogates(text) else text


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _decoded(data: bytes, declared: str | None) -> Decoded:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _replacing(data[len(mark) :], encoding)
    if (wide := _utf16_without_mark(data)) is not None:
        return _replacing(data, wide)
    if _ISO_2022_JP.search(data):  # seven bits, which are UTF-8 as well
        with suppress(UnicodeDecodeError):
            return Decoded(data.decode("iso2022_jp"), "iso2022_jp")
    try:
        return Decoded(data.decode(), "utf-8")
    except UnicodeDecodeError as error:
        if len(data.translate(None, _CONTROL)) < len(data) * (1 - _MOST_CONTROL):
            raise NotTextError("it is not text in any known encoding") from error
        # An ASCII text that ends with one strange byte is not UTF-8 that was cut off, but a `caf\u00e9`.
        if error.reason == "unexpected end of data" and not data[: error.start].isascii():
            return _replacing(data, "utf-8")
    return _mostly_utf8(data, declared) or _legacy(data, declared)


def _as_said(data: bytes, encoding: str) -> Decoded:
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return _replacing(data[len(mark) :], marked)
    name = codecs.lookup(encoding).name
    try:
        return Decoded(data.decode(encoding), name)
    except UnicodeDecodeError as error:
        raise NotTextError(
            f"it is not {name}, which was said: {error.reason} at byte {error.start:,}"
        ) from error


def _replacing(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, "replace")
    return Decoded(text, encoding, text.count("\ufffd"))


def _utf16_without_mark(data: bytes) -> str | None:
    """Texts in most languages have a NUL in many of their two bytes, always in the same place."""
    even, odd = data[0:100_000:2], data[1:100_000:2]
    if len(data) < 4 or len(data) % 2 or 0 not in data[:100_000]:
        return None
    for upper, lower, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if upper.count(0) >= _NUL_SHARE * len(upper) and not lower.count(0):
            return encoding
    return None


def _mostly_utf8(data: bytes, declared: str | None) -> Decoded | None:
    """The text of UTF-8 with other bytes in it; None when it has too few characters of UTF-8 to be that."""
    escaped = data.decode("utf-8", "surrogateescape")
    strange = len(_STRANGE.findall(escaped))
    fitting = len(_FITTING.findall(escaped))
    lines = [line for line in escaped.split("\n") if not line.isascii()]
    fitting_lines = sum(not _STRANGE.search(line) for line in lines)
    # Pairs of bytes of other encodings may look like UTF-8, but hardly a third of the lines, or all but
    # a few of them.
    if fitting < strange * 4 and fitting_lines * 3 < len(lines):
        return None
    text = "\n".join(_line(line, declared) for line in data.split(b"\n"))
    return Decoded(text, "utf-8", text.count("\ufffd"))


def _line(line: bytes, declared: str | None) -> str:
    """A line of a file that was put together from several encodings."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        escaped = line.decode("utf-8", "surrogateescape")
        if _FITTING.search(escaped):
            return line.decode("utf-8", "replace")
        return line.decode(declared or "cp1252", "replace")


def _legacy(data: bytes, declared: str | None) -> Decoded:
    for encoding in (declared, _guessed(data), _western(data)):
        if encoding is not None:
            with suppress(UnicodeDecodeError, LookupError):
                return Decoded(data.decode(encoding), codecs.lookup(encoding).name)
    return _replacing(data, "cp1252")


def _guessed(data: bytes) -> str | None:
    """What cchardet takes it for; None when it is, or may as well be, a Western encoding."""
    high = sum(byte >= 0x80 for byte in data)
    if high < _LEAST_HIGH_BYTES:
        return None
    cchardet = import_extra("cchardet", extra="documents", purpose="Texts in an encoding that is not UTF-8")
    found = cchardet.detect(data)
    if (found["confidence"] or 0) < _LEAST_CONFIDENCE:
        return None
    name = (found["encoding"] or "").upper()
    if name == "ISO-8859-6" and data.count(b"\xc7\xe1") > data.count(b"\xc7\xe4"):
        return "cp1256"  # the Arabic article, as Windows writes it
    return _NAMED_LATIN.get(name) or (None if _seems_western(data) else _NAMED.get(name))


def _western(data: bytes) -> str:
    # Nobody writes a sign for any currency, and the euro stands in its place.
    has_euro = 0xA4 in data and not any(0x80 <= byte < 0xA0 for byte in data)
    return "iso8859_15" if has_euro else "cp1252"


def _seems_western(data: bytes) -> bool:
    letters = len(_LETTER.findall(data))
    accents = sum(byte >= 0x80 for byte in data)
    if accents > letters * _MOST_ACCENTS:
        return False
    try:
        return _WESTERN.fullmatch(data.decode("cp1252")) is not None
    except UnicodeDecodeError:
        return False

"""
The process that reads documents, and the only module that knows docling-rs.

It takes one document after the other from its input, as bytes, and ends with its parent: when its input does,
when it has another parent, or when a document takes longer than it may.
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import sys
import threading
import time
from typing import IO, Any

from latent.rag.load.office.markup import (
    Reading,
    damaged_part,
    names_of_old_sheets,
    plainer,
    reading_of,
    speaker_notes,
)
from latent.rag.load.office.process import HEADER

_MAIL = (".eml", ".msg")
_KINDS = {
    "Word document": (".docx", ".docm", ".dotx", ".dotm", ".doc"),
    "PowerPoint presentation": (".pptx", ".pptm", ".ppsx", ".ppt"),
    "Excel workbook": (".xlsx", ".xlsm", ".xls"),
    "OpenDocument file": (".odt", ".odp", ".ods"),
}
"""Types that Office saves also with nothing in them: documents without text. The others always have some."""
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
_PASSWORD = "it is protected by a password: save it without one."  # noqa: S105
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADERS = re.compile(rb"\s*(?:>?From .*\n)?[A-Za-z][A-Za-z0-9-]*[ \t]*:")
_SAVED_PAGE = re.compile(rb"\s*(?:[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*?MIME-Version:", re.IGNORECASE)
_ADDRESS = re.compile(r"^(From|Date): (.+)$", re.MULTILINE)


def main(parent: str, memory_bytes: str, seconds: str) -> None:
    """Read documents until the parent has no more."""
    _limit_memory(int(memory_bytes))
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    source, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library prints must not be taken for an answer.
    os.dup2(2, 1)
    import docling_rs._native as native  # type: ignore[import-untyped]

    converter = native.DocumentConverter(
        metadata="json",
        list_attachments=True,
        extract_diagrams="none",
        do_ocr=False,
        do_table_structure=False,
    )
    _send(answers, {"ready": True})
    while header := source.read(HEADER.size):
        length, size = HEADER.unpack(header)
        question = json.loads(source.read(length))
        _limit_time(float(seconds) + 5)
        answer = _answer(converter, native, question["suffix"], source.read(size))
        _limit_time(0)
        _send(answers, answer)
    # Threads of the library's own must not keep the process alive.
    os._exit(0)


def _answer(converter: Any, native: Any, suffix: str, data: bytes) -> dict[str, Any]:
    # What Confluence and others export as a Word document is a page saved with its pictures.
    written_as = ".mhtml" if suffix in (".doc", ".xls") and _SAVED_PAGE.match(data[:4096]) else suffix
    # docling-rs would look for another format that fits, down to plain text.
    if not _begins_right(suffix, data):
        return {"error": f"it is not a valid {_kind(suffix)}."}
    if data.startswith(_COMPOUND) and not _has_possible_sizes(data):
        return {
            "error": f"it is not a valid {_kind(suffix)}, or a damaged one (its sizes are beyond its end)."
        }
    try:
        if (part := damaged_part(data)) is not None:
            return {
                "error": f"it is not a valid {_kind(suffix)}, or a damaged one ({part} cannot be unpacked)."
            }
        result = converter.convert_bytes(f"document{written_as}", plainer(data))
    except (native.PasswordRequiredError, native.WrongPasswordError, native.EncryptionError):
        return {"error": _PASSWORD}
    except native.ConversionError as error:
        said = str(error).removeprefix("parse error: ").rstrip(".")
        return {"error": f"it is not a valid {_kind(suffix)}, or a damaged one ({said})."}
    except MemoryError:
        return {"error": "it takes more than the memory that a reader gets."}
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a panic in Rust, which only this name tells
            raise
        return {"error": f"it is damaged, or no {_kind(suffix)} ({error})."}
    try:
        reading = reading_of(json.loads(result.document_json), spaced=suffix not in (".odt", ".odp"))
    except RecursionError:
        return {"error": "it is nested too deeply to be read."}
    if not reading.text and reading.pictures and suffix not in _WORKBOOKS:
        return {"error": f"it holds {reading.pictures} pictures and no text: run it through OCR first."}
    # Of old formats, nothing tells one with nothing in it from one whose text is damaged.
    if not reading.text and not (data.startswith(b"PK") and any(suffix in each for each in _KINDS.values())):
        return {"error": f"it is not a valid {_kind(suffix)}, or holds no text."}
    told = json.loads(result.metadata_json) if result.metadata_json else {}
    notes = speaker_notes(data) if suffix in (".pptx", ".pptm", ".ppsx") else ""
    sheets = names_of_old_sheets(data) if suffix == ".xls" and data.startswith(_COMPOUND) else []
    text = f"Sheets: {', '.join(sheets)}\n\n{reading.text}" if sheets else reading.text
    return {
        "text": text + (f"\n{notes}\n" if notes else ""),
        "title": told.get("title") or reading.title,
        "metadata": _metadata(told, reading, suffix),
    }


def _begins_right(suffix: str, data: bytes) -> bool:
    """Whether a file begins as its type does, or another type that Office takes for it."""
    if suffix == ".ipynb":
        return data.lstrip().startswith(b"{")
    if suffix in (".eml", ".mhtml", ".mht"):
        return _HEADERS.match(data[:4096]) is not None
    return data.startswith((b"PK", _COMPOUND, b"{\\rtf")) or _SAVED_PAGE.match(data[:4096]) is not None


def _has_possible_sizes(data: bytes) -> bool:
    """
    Whether the header of an OLE file counts no more sectors than the file has.

    docling-rs 2.52 asks for the memory that an .xls counts, and ends with it.
    """
    if len(data) < 512:
        return False
    (shift,) = struct.unpack_from("<H", data, 0x1E)
    tables, _, _, _, _, small_tables, _, more_tables = struct.unpack_from("<8I", data, 0x2C)
    return shift in (9, 12) and max(tables, small_tables, more_tables) <= len(data) >> shift


def _kind(suffix: str) -> str:
    for kind, suffixes in _KINDS.items():
        if suffix in suffixes:
            return kind
    return f"{suffix[1:].upper()} file"


def _metadata(told: dict[str, Any], reading: Reading, suffix: str) -> dict[str, Any]:
    found = {
        "author": ", ".join(told.get("authors") or ()),
        **{name: told.get(name) for name in ("created", "modified", "language")},
    }
    if suffix in _MAIL:
        head = dict(_ADDRESS.findall(reading.text[:5000]))
        found |= {"author": head.get("From"), "created": head.get("Date")}
    return {name: value for name, value in found.items() if value}


def _send(pipe: IO[bytes], answer: dict[str, Any]) -> None:
    text = json.dumps(answer).encode()
    try:
        pipe.write(HEADER.pack(len(text), 0) + text)
        pipe.flush()
    except BrokenPipeError:
        os._exit(1)


def _limit_memory(size: int) -> None:
    """macOS and Windows have no such limit; there, only the time is."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: float) -> None:
    """The system ends the process then, whatever it does: also when its parent is gone and cannot."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _end_with(parent: int) -> None:
    """Its input ends with the parent, unless a process that the parent has forked holds on to it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)

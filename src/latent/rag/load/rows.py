"""Tables as documents, one for each row: CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from latent.errors import UnreadableDocumentError
from latent.rag.load.decoding import cleaned

TEXT_FIELDS = ("text", "content", "body")
"""Fields that hold a row's text, in this order, when none is named."""
TITLE_FIELDS = ("title",)

_SEPARATORS = ",;\t|"
_END = "\ue000end of the table\ue000"
"""A last line of our own, from the private part of Unicode."""
_limit_lock = threading.Lock()


def csv_rows(text: str, source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """
    Each row with its 1-based number; its values are texts, by the names in the first row.

    A field too many is `column_4`, one too few is left out, empty lines are skipped. Separated by what the
    first line has most of: comma, semicolon, tab or bar; see `tsv_rows` for what is separated by tabs.

    Raises:
        UnreadableDocumentError: A quote is opened and never closed.
    """
    first_line = text.lstrip("\n").partition("\n")[0]
    return _rows(text, source, max(_SEPARATORS, key=first_line.count))


def tsv_rows(text: str, source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """As `csv_rows`, separated by tabs however many commas there are; only without any tab as those are."""
    if "\t" not in text:
        return csv_rows(text, source)
    return _rows(text, source, "\t")


def _rows(text: str, source: str, separator: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    header, *rows = _csv_records(text, source, separator) or [[]]
    names = _unique_names(header)
    for number, row in enumerate((row for row in rows if any(row)), 1):
        named = [*names, *(f"column_{index + 1}" for index in range(len(names), len(row)))]
        yield number, dict(zip(named, row, strict=False))


def jsonl_rows(text: str, source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """
    Each row with its 1-based number; a value that is no object is the row's `text`.

    Raises:
        UnreadableDocumentError: A line is not JSON; it is named.
    """
    number = 0
    # Not `splitlines`, which also splits at characters that may stand inside a JSON string.
    for line_number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            number += 1
            value = _json_value(line, source, line_number)
            yield number, value if isinstance(value, dict) else {"text": value}


def row_text(row: Mapping[str, Any], field: str | None) -> tuple[str, str | None]:
    """
    A row's text, and the field that it stands in.

    Args:
        field: Where it stands; None for the first of `TEXT_FIELDS` that the row has. When it has none, the
            text is all of the row, a line for each field, and no field is named.
    """
    name = field if field is not None else _first_of(TEXT_FIELDS, row)
    if name is not None:
        return cleaned(as_text(row.get(name))), name
    lines = (f"{key}: {as_text(value)}" for key, value in row.items() if as_text(value).strip())
    return cleaned("\n".join(lines)), None


def row_title(row: Mapping[str, Any], field: str | None) -> tuple[str | None, str | None]:
    """A row's title, and the field that it stands in; None when it has none."""
    name = field if field is not None else _first_of(TITLE_FIELDS, row)
    title = cleaned(as_text(row.get(name))).strip() if name is not None else ""
    return (title, name) if title else (None, None)


def as_text(value: Any) -> str:
    """A value as text: nothing for null, JSON for lists and objects."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_metadata(value: Any) -> Any:
    """
    A value as every store keeps JSON: what is no number becomes null, numbers that are too long for 64 bits
    become texts, and texts are clean.
    """
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, dict):
        return {cleaned(key): as_metadata(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_metadata(item) for item in value]
    return value


def _first_of(names: tuple[str, ...], row: Mapping[str, Any]) -> str | None:
    """The first of these fields that says something; else the first that there is."""
    lower = {key.lower().strip(): key for key in reversed(list(row))}
    there = [lower[name] for name in names if name in lower]
    return next((name for name in there if row[name] not in (None, "")), next(iter(there), None))


def _csv_records(text: str, source: str, separator: str) -> list[list[str]]:
    # The limit on a field's length is one for all of Python, and 131,072 by default.
    with _limit_lock:
        before = csv.field_size_limit(max(len(text) + len(_END), csv.field_size_limit()))
        try:
            return [record for record in _closed_records(f"{text}\n{_END}", separator, source) if record]
        finally:
            csv.field_size_limit(before)


def _closed_records(text: str, separator: str, source: str) -> Iterator[list[str]]:
    """The records before the one that marks the end: in an open quote, it would be part of a field."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    line = 1
    try:
        for record in reader:
            if record and record[-1].endswith(_END):
                if record != [_END]:
                    raise UnreadableDocumentError(source, "a quote in this row is never closed.", line)
                return
            yield record
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableDocumentError(source, f"{error}.", reader.line_num) from error


def _unique_names(header: list[str]) -> list[str]:
    """The names of the columns, those that are missing or taken made up."""
    names: list[str] = []
    for number, written in enumerate(header, 1):
        name = written.strip() or f"column_{number}"
        names.append(name if name not in names else f"{name}_{number}")
    return names


def _json_value(line: str, source: str, number: int) -> Any:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise UnreadableDocumentError(source, "nested too deeply to be read.", number) from error
    except ValueError as error:
        if number == 1 and line.strip() in ("[", "{"):
            reason = "one JSON value spread over several lines: JSON Lines has one on each."
        else:
            reason = (
                f"no JSON ({error})."
                if not isinstance(error, json.JSONDecodeError)
                else (f"no JSON ({error.msg} at column {error.colno}).")
            )
        raise UnreadableDocumentError(source, reason, number) from error

"""Tables as documents, one for each row: CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from latent.errors import UnreadableDocumentError
from latent.rag.load.decoding import cleaned

TEXT_FIELDS = ("text", "content", "body")
"""Fields that hold a row's text, in this order, when none is named."""
TITLE_FIELDS = ("title",)

_SEPARATORS = ",;\t|"
_SAID_SEPARATOR = re.compile(r"\A\n*sep=([,;\t|])[ \t]*\n", re.IGNORECASE)
"""A first line by which Excel is told the separator."""
_HEADER = re.compile(r'\n*(?:"(?:[^"]|"")*"|[^"\n])*')
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.(?P<fraction>\d+))?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_END = "\ue000end of the table\ue000"
"""A last line of our own, from the private part of Unicode."""
_limit_lock = threading.Lock()


class Row(NamedTuple):
    """A row of a table."""

    number: int
    """1-based, among those that are not empty."""
    fields: Mapping[str, Any]
    """As they stand in the file: of CSV, texts."""
    values: Mapping[str, Any]
    """The same, with numbers where all of a CSV's column is numbers."""


def csv_rows(text: str, source: str) -> Iterator[Row]:
    """
    Each row, by the names in the first one.

    A field too many is `column_4`, one too few is left out, empty lines are skipped. Separated by what the
    header has most of outside of quotes (comma, semicolon, tab or bar), or by what a first line `sep=;`
    names; see `tsv_rows` for what is separated by tabs.

    Raises:
        UnreadableDocumentError: A quote is opened and never closed.
    """
    if said := _SAID_SEPARATOR.match(text):
        return _rows(text[said.end() :], source, said[1], lines_before=1)
    header = _HEADER.match(text)
    outside = _QUOTED.sub("", header[0]) if header else ""
    return _rows(text, source, max(_SEPARATORS, key=outside.count))


def tsv_rows(text: str, source: str) -> Iterator[Row]:
    """
    As `csv_rows`, separated by tabs however many commas there are; only without any tab as those are.

    Most programs that write TSV quote nothing: where quotes do not close, or close in the middle of a field,
    or hold a tab and a line's end, they are text.
    """
    if "\t" not in text:
        return csv_rows(text, source)
    return _rows(text, source, "\t", has_quotes=_are_quotes(text))


def _are_quotes(text: str) -> bool:
    """Whether what stands between `"` in a TSV is fields."""
    if '"' not in text:
        return False
    with _fields_of_any_length(text):
        try:
            records = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
            return not any("\n" in field and "\t" in field for record in records for field in record)
        except csv.Error:
            return False


def _rows(
    text: str, source: str, separator: str, *, has_quotes: bool = True, lines_before: int = 0
) -> Iterator[Row]:
    header, *records = _csv_records(text, source, separator, has_quotes, lines_before) or [[]]
    names = _unique_names(header)
    rows = []
    for record in filter(any, records):
        named = [*names, *(f"column_{index + 1}" for index in range(len(names), len(record)))]
        rows.append(dict(zip(named, record, strict=False)))
    numeric = {name for name in {name: None for row in rows for name in row} if _are_numbers(rows, name)}
    for number, row in enumerate(rows, 1):
        typed = {k: _number(v) if k in numeric else v for k, v in row.items()} if numeric else row
        yield Row(number, row, typed)


def _are_numbers(rows: Sequence[Mapping[str, str]], name: str) -> bool:
    """
    Whether all that a column says is numbers, written as numbers are.

    `007` is none, nor is what no 64-bit float holds; and where fractions have more or fewer digits, 1.10
    beside 1.9, they are versions or sections.
    """
    fractions = set()
    has_any = False
    for row in rows:
        value = row.get(name, "").strip()
        if not value:
            continue
        if not (written := _NUMBER.fullmatch(value)) or abs(float(value)) >= 2**53:
            return False
        has_any = True
        if written["fraction"] is not None:
            fractions.add((len(written["fraction"]), written["fraction"].endswith("0")))
    lengths = {length for length, _ in fractions}
    return has_any and (len(lengths) < 2 or not any(ends_with_zero for _, ends_with_zero in fractions))


def _number(text: str) -> int | float | None:
    """The number that a field says; None for an empty one."""
    text = text.strip()
    if not text:
        return None
    return float(text) if "." in text or "e" in text.lower() else int(text)


def jsonl_rows(text: str, source: str) -> Iterator[Row]:
    """
    Each row; a value that is not an object is the row's `text`.

    Raises:
        UnreadableDocumentError: A line is not JSON; it is named.
    """
    number = 0
    # Not `splitlines`, which also splits at characters that may stand inside a JSON string.
    for line_number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            number += 1
            value = _json_value(line, source, line_number)
            row = value if isinstance(value, dict) else {"text": value}
            yield Row(number, row, row)


def json_rows(text: str) -> list[Row] | None:
    """The rows of a JSON array of objects; None for any other JSON, and for what is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not values or not all(isinstance(value, dict) for value in values):
        return None
    return [Row(number, value, value) for number, value in enumerate(values, 1)]


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
    A value as every store keeps JSON: what is not a number becomes null, numbers too long for 64 bits
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


@contextmanager
def _fields_of_any_length(text: str) -> Iterator[None]:
    # The limit on a field's length is one for all of Python, and 131,072 by default.
    with _limit_lock:
        before = csv.field_size_limit(max(len(text) + len(_END), csv.field_size_limit()))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _csv_records(
    text: str, source: str, separator: str, has_quotes: bool, lines_before: int
) -> list[list[str]]:
    with _fields_of_any_length(text):
        records = _closed_records(f"{text}\n{_END}", separator, source, has_quotes, lines_before)
        return [record for record in records if record]


def _closed_records(
    text: str, separator: str, source: str, has_quotes: bool, lines_before: int
) -> Iterator[list[str]]:
    """The records before the one that marks the end: in an open quote, it would be part of a field."""
    quoting: Any = csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting)
    line = 1 + lines_before
    try:
        for record in reader:
            if record and record[-1].endswith(_END):
                if record != [_END]:
                    raise UnreadableDocumentError(source, "a quote in this row is never closed.", line)
                return
            yield record
            line = reader.line_num + 1 + lines_before
    except csv.Error as error:
        raise UnreadableDocumentError(source, f"{error}.", reader.line_num + lines_before) from error


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
            reason = "one JSON value spread over several lines: JSON Lines has one on each; call it .json."
        else:
            reason = (
                f"no JSON ({error})."
                if not isinstance(error, json.JSONDecodeError)
                else (f"no JSON ({error.msg} at column {error.colno}).")
            )
        raise UnreadableDocumentError(source, reason, number) from error

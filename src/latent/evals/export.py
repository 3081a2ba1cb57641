"""An evaluation for other programs: a long table in CSV or Parquet, JUnit's XML, Markdown, or the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from latent.errors import UsageError
from latent.evals.junit import junit_xml
from latent.evals.records import parquet_bytes
from latent.evals.report import markdown_report

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

    from latent.evals.evaluation import Evaluation

Kind = Literal["html", "md", "junit", "csv", "parquet"]

SUFFIXES: dict[str, Kind] = {
    ".html": "html",
    ".htm": "html",
    ".md": "md",
    ".xml": "junit",
    ".csv": "csv",
    ".parquet": "parquet",
}

_OF_SCORES = ("metric", "value", "label", "outcome", "reason", "answer", "scorer", "version")
_OF_ROWS = (
    "expected", "output", "error", "attempts", "model", "finish_reason", "input_tokens", "output_tokens",
    "latency_seconds", "answer_cost_usd", "input",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell of text that begins so is run as a formula by spreadsheets (OWASP, CSV injection)."""

_UNPRINTABLE = {code: f"\\x{code:02x}" for code in range(32) if chr(code) not in "\t\n\r"}


def long_table(evaluation: Evaluation) -> pa.Table:
    """
    One line for each row, repeat and metric, in the order of the answers; one for an answer without scores.

    Beside the score stand `answer_outcome` (what became of the answer; `outcome` is of the score), the
    answer and what it took, and `input`, the row's columns as JSON.
    """
    import pyarrow as pa

    rows, scores = evaluation.rows_table, evaluation.scores_table
    places = {key: place for place, key in enumerate(_keys(rows))}
    scored = list(_keys(scores))
    order: list[tuple[int, int | None]] = [(places[key], line) for line, key in enumerate(scored)]
    order += [(places[key], None) for key in places.keys() - set(scored)]
    order.sort(key=lambda each: each[0])
    of_row = pa.array([place for place, _ in order], pa.int64())
    of_score = pa.array([line for _, line in order], pa.int64())
    columns = {name: rows.column(name).take(of_row) for name in ("id", "repeat")}
    columns |= {name: scores.column(name).take(of_score) for name in _OF_SCORES}
    columns["answer_outcome"] = rows.column("outcome").take(of_row)
    columns |= {name: rows.column(name).take(of_row) for name in _OF_ROWS}
    return pa.table(columns)


def _keys(table: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(table.column("id").to_pylist(), table.column("repeat").to_pylist(), strict=True)


def csv_text(evaluation: Evaluation) -> str:
    """
    The long table as CSV.

    Text that a spreadsheet would take for a formula has an apostrophe before it, and control characters are
    spelled out; numbers are left as they are.
    """
    import pyarrow as pa

    table = long_table(evaluation)
    columns = [
        [None if value is None else _safe(value) for value in column.to_pylist()]
        if pa.types.is_string(column.type)
        else column.to_pylist()
        for column in table.columns
    ]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()


def _safe(text: str) -> str:
    plain = text.translate(_UNPRINTABLE)
    return f"'{plain}" if plain.lstrip(" ").startswith(_FORMULA) else plain


def exported(
    evaluation: Evaluation, kind: Kind, mask: Callable[[str], str] = str, *, whole: bool = False
) -> bytes:
    """
    The evaluation as a file's content.

    Args:
        mask: Takes secrets out of texts; those of Parquet are masked column by column.
        whole: Of the page: keep the details of all rows, however large it becomes.
    """
    from latent.evals.page.document import html_page

    if kind == "parquet":
        return parquet_bytes(_masked(long_table(evaluation), mask))
    if kind == "html":
        return html_page(evaluation, mask, whole=whole).encode("utf-8", "replace")
    made = {"md": markdown_report, "junit": junit_xml, "csv": csv_text}[kind]
    return mask(made(evaluation)).encode("utf-8", "backslashreplace")


def _masked(table: pa.Table, mask: Callable[[str], str]) -> pa.Table:
    import pyarrow as pa

    if mask is str:
        return table
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = [None if text is None else mask(text) for text in table.column(place).to_pylist()]
            table = table.set_column(place, field, pa.array(texts, pa.string()))
    return table


def kind_of_file(path: Path, kinds: Sequence[Kind] = tuple(dict.fromkeys(SUFFIXES.values()))) -> Kind:
    """
    What a file's suffix asks for.

    Raises:
        UsageError: It is none of `kinds`.
    """
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None or kind not in kinds:
        known = ", ".join(suffix for suffix, each in SUFFIXES.items() if each in kinds)
        raise UsageError(f"{path.name!r} does not say what to write: its suffix is one of {known}.")
    return kind

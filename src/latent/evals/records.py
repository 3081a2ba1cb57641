"""
What an evaluation leaves in its run's folder, and how it is read again.

    .latent/runs/<id>/evaluations/<name>/
        evaluation.json   what was evaluated, with what, and all metrics
        rows.parquet      a line for each answer
        scores.parquet    a line for each score
        report.md         the same for people

`FORMAT` counts the layout: readers refuse a newer one, and take older ones as they are.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from latent.errors import EvaluationNotFoundError
from latent.evals.answering import ANSWER, INPUT, OUTPUT, Answered, values_of
from latent.evals.items import Item
from latent.evals.measuring import Measured, ScoreRow
from latent.files import replace_file
from latent.llm import Answer, Usage

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

FORMAT = 1
AGAIN = "Run it again: what is remembered is not paid for twice."

_ANSWER_FIELDS = [each.name for each in dataclasses.fields(Answer)]

FOLDER, ABOUT, ROWS, SCORES = "evaluations", "evaluation.json", "rows.parquet", "scores.parquet"
NEEDED = (
    "name", "run_id", "flow", "created_at", "data", "target", "repeats", "cluster", "metrics", "slices",
    "slice_columns", "agreement", "scorers", "totals", "cost",
)  # fmt: skip
"""What readers look for in `evaluation.json`."""
ROW_COLUMNS = ("id", "repeat", "input", "expected", "output", "outcome")
SCORE_COLUMNS = ("id", "repeat", "metric", "value", "label", "outcome", "scorer")

REPORT = "report.md"
PAGE = "report.html"


def rows_table(answered: Sequence[Answered], expected: str) -> pa.Table:
    """
    A line for each answer.

    `input` (the columns beside the expected answer and the output) and `returned` (what scoring again needs
    beside them) are JSON; `exact` holds, encoded, what JSON cannot.
    """
    import pyarrow as pa

    lines = [_row(each, expected) for each in answered]
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("repeat", pa.int32()),
            ("input", pa.string()),
            ("expected", pa.string()),
            ("output", pa.string()),
            ("outcome", pa.string()),
            ("error_type", pa.string()),
            ("error", pa.string()),
            ("attempts", pa.int32()),
            ("model", pa.string()),
            ("finish_reason", pa.string()),
            ("input_tokens", pa.int64()),
            ("output_tokens", pa.int64()),
            ("latency_seconds", pa.float64()),
            ("answer_cost_usd", pa.float64()),
            ("paid_usd", pa.float64()),
            ("returned", pa.string()),
            ("exact", pa.binary()),
        ]
    )
    columns = {field.name: [line[field.name] for line in lines] for field in schema}
    arrays = [
        texts(columns[f.name]) if f.type == pa.string() else pa.array(columns[f.name], f.type) for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def texts(values: Sequence[str | None]) -> Any:
    """A column of texts; a lone surrogate, for which UTF-8 has no form, is written as its escape."""
    import pyarrow as pa

    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if value is None else utf8(value).decode() for value in values], pa.string())


def frame_column(values: Sequence[Any]) -> Any:
    """A column of a frame; a lone surrogate, which pandas refuses, is written as its escape."""
    import pandas as pd

    try:
        return pd.Series(values)
    except UnicodeEncodeError:
        return pd.Series([utf8(each).decode() if isinstance(each, str) else each for each in values])


def utf8(text: str) -> bytes:
    """A text as UTF-8; a lone surrogate as its escape."""
    return text.encode(errors="backslashreplace")


def _row(each: Answered, expected: str) -> dict[str, Any]:
    values = each.values
    whole = values.get(ANSWER)
    inputs = {name: value for name, value in each.item.values.items() if name not in (expected, OUTPUT)}
    own_output = each.item.values.get(OUTPUT)
    returned, exact = _returned(each, expected)
    return {
        "id": each.item.id,
        "repeat": each.repeat,
        "input": to_json(inputs),
        "expected": _text(each.item.values.get(expected)),
        "output": _text(values.get(OUTPUT, own_output if whole is None else None)),
        "outcome": each.outcome,
        "error_type": each.error_type,
        "error": each.error,
        "attempts": each.attempts,
        "model": whole.model if isinstance(whole, Answer) else None,
        "finish_reason": _of_kind(values.get("finish_reason"), str),
        "input_tokens": _of_kind(values.get("input_tokens"), int),
        "output_tokens": _of_kind(values.get("output_tokens"), int),
        "latency_seconds": _of_kind(values.get("latency_seconds"), float, int),
        "answer_cost_usd": _of_kind(values.get("cost_usd"), float, int),
        "paid_usd": each.cost_usd,
        "returned": returned,
        "exact": exact,
    }


def _of_kind(value: Any, *kinds: type) -> Any:
    """A value for a column of one type; a user's column of the same name may hold anything."""
    return value if isinstance(value, kinds) and not isinstance(value, bool) else None


def _returned(each: Answered, expected: str) -> tuple[str, bytes | None]:
    """What `input` does not hold, to score again: as JSON where that is all of it, else encoded as well."""
    item, values = each.item.values, each.values
    own = {name: item[name] for name in (expected, OUTPUT) if name in item}
    plain = _plain_answer(values)
    if is_json(item) and is_json(plain):
        return to_json({"own": own, "values": plain}), None
    from latent.cache import encode
    from latent.errors import CacheError

    text = to_json({"own": own, "values": plain})
    try:
        codec, data = encode({"item": dict(item), "values": dict(values)})
    except CacheError:
        return text, None  # what cannot be kept exactly is scored again as its JSON says
    return text, codec.encode() + b"\0" + data


def is_json(value: Any) -> bool:
    """Whether JSON holds all of a value: no types beside its own, no NaN, texts for keys."""
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return True
    if kind is int:
        return bool(-(2**63) <= value < 2**64)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(is_json, value))
    return kind is dict and all(type(key) is str and is_json(each) for key, each in value.items())


def _plain_answer(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of an answer; a model's own `Answer` as its fields, from which the rest follows."""
    whole = values.get(ANSWER)
    if not isinstance(whole, Answer):
        return {
            name: value for name, value in values.items() if name != ANSWER or value != values.get(OUTPUT)
        }
    fields = {name: getattr(whole, name) for name in _ANSWER_FIELDS}
    if whole.usage is not None:
        fields["usage"] = whole.usage.amounts()
    fields["tool_calls"] = [dict(call) for call in whole.tool_calls]
    known = values_of(whole)
    beside = {name: value for name, value in values.items() if name not in known}
    return {"model_answer": fields, INPUT: values.get(INPUT), **beside}


def read_answered(table: pa.Table, expected: str) -> list[Answered]:
    """The answers of an evaluation, as scorers read them, from its table."""
    found = []
    for line in table.to_pylist():
        if line["exact"] is None:
            content = json.loads(line["returned"])
            item = {**json.loads(line["input"]), **content["own"]}
        else:
            content = _exactly(line["exact"])
            item = content["item"]
        values = content["values"]
        if "model_answer" in values:
            values = {**values_of(_model_answer(values.pop("model_answer"))), **values}
        elif OUTPUT in values:
            values.setdefault(ANSWER, values[OUTPUT])
        found.append(
            Answered(
                Item(line["id"], item),
                line["repeat"],
                line["outcome"],
                values,
                line["error"],
                line["error_type"],
                attempts=line["attempts"],
                cost_usd=0.0,
                saved_usd=line["answer_cost_usd"],
            )
        )
    return found


def _exactly(content: bytes) -> Any:
    from latent.cache import decode

    codec, _, data = content.partition(b"\0")
    return decode(codec.decode(), data)


def _model_answer(fields: Mapping[str, Any]) -> Any:
    usage = fields.get("usage")
    given = {**fields, "usage": None if usage is None else Usage(**usage)}
    return Answer(**{**given, "tool_calls": tuple(fields.get("tool_calls", ()))})


def scores_table(measured: Sequence[Measured], answered: Sequence[Answered]) -> pa.Table:
    """A line for each score of each answer; numbers stand in `value`, labels in `label`."""
    import pyarrow as pa

    rows: list[ScoreRow] = [row for each in measured for row in each.rows]
    versions = [each.version for each in measured for _ in each.rows]
    scorers = [each.scorer.name for each in measured for _ in each.rows]
    numbers = [None if row.value is None or isinstance(row.value, str) else float(row.value) for row in rows]
    return pa.table(
        {
            "id": texts([answered[row.place].item.id for row in rows]),
            "repeat": pa.array([answered[row.place].repeat for row in rows], pa.int32()),
            "metric": texts([row.metric for row in rows]),
            "value": pa.array(numbers, pa.float64()),
            "label": texts([row.value if isinstance(row.value, str) else None for row in rows]),
            "outcome": pa.array([row.outcome for row in rows], pa.string()),
            "reason": texts([row.reason for row in rows]),
            "answer": texts([_text(row.answer) for row in rows]),
            "evidence": texts([None if row.evidence is None else to_json(row.evidence) for row in rows]),
            "scorer": pa.array(scorers, pa.string()),
            "version": pa.array(versions, pa.string()),
        }
    )


def to_json(value: Any) -> str:
    """Any value as JSON; what JSON has no form for as its text."""
    if is_json(value):
        try:
            return orjson.dumps(value).decode()
        except orjson.JSONEncodeError:  # a lone surrogate, which json escapes
            pass
    return json.dumps(value, default=_json_default)


def _json_default(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return list(value)
    return str(value)


def _text(value: Any) -> str | None:
    """What people read of a value: a text as it is, anything else as JSON."""
    return value if value is None or isinstance(value, str) else to_json(value)


def write(run_folder: Path, name: str, about: Mapping[str, Any], rows: pa.Table, scores: pa.Table) -> Path:
    """Write an evaluation into its run's folder; a second one of the same name gets a number."""
    from latent.config import ensure_private_dir

    parent = ensure_private_dir(run_folder / FOLDER)
    folder, number = parent / name, 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    folder.mkdir(mode=0o700)
    replace(folder, about, rows, scores)
    return folder


def replace(folder: Path, about: Mapping[str, Any], rows: pa.Table | None, scores: pa.Table) -> None:
    """Write the files of an evaluation, each whole or not at all; its JSON last: it names the others."""
    if rows is not None:
        replace_file(folder / ROWS, parquet_bytes(rows))
    replace_file(folder / SCORES, parquet_bytes(scores))
    write_about(folder, about)


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the JSON of an evaluation, whole or not at all."""
    replace_file(folder / ABOUT, utf8(json.dumps(about, ensure_ascii=False, indent=1)))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file holds it."""
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def read(folder: Path) -> tuple[dict[str, Any], pa.Table, pa.Table]:
    """
    The parts of a written evaluation.

    Raises:
        EvaluationNotFoundError: It is not there, is damaged, or was written by another version.
    """
    from pyarrow import ArrowException, parquet

    try:
        # Parquet's reader names no file that is missing, so each is looked for first.
        for name in (ABOUT, ROWS, SCORES):
            (folder / name).stat()
        about = json.loads((folder / ABOUT).read_bytes())
        if not isinstance(about, dict) or not isinstance(about.get("format"), int):
            raise ValueError(f"{ABOUT} is not a record of an evaluation")
        if about["format"] > FORMAT:
            raise EvaluationNotFoundError(str(folder), "a newer version of latent wrote it: upgrade latent.")
        rows, scores = parquet.read_table(folder / ROWS), parquet.read_table(folder / SCORES)
        _check_layout(folder, about, rows, scores)
        return about, rows, scores
    except FileNotFoundError as error:
        raise EvaluationNotFoundError(
            str(folder), f"{Path(error.filename).name} is missing. {AGAIN}"
        ) from error
    except (OSError, ValueError, ArrowException) as error:
        raise EvaluationNotFoundError(str(folder), f"{error}. {AGAIN}") from error


def _check_layout(folder: Path, about: Mapping[str, Any], rows: pa.Table, scores: pa.Table) -> None:
    """See that an older version has written all that is read now."""
    missing = [name for name in NEEDED if name not in about]
    missing += [
        name for name in ("id", "repeat", "input", "output", "outcome") if name not in rows.column_names
    ]
    missing += [name for name in ("id", "metric", "value", "label") if name not in scores.column_names]
    if missing:
        raise EvaluationNotFoundError(
            str(folder),
            f"an older version of latent wrote it, without {', '.join(missing)}. {AGAIN}",
        )


def evaluations_in(run_folder: Path) -> list[Path]:
    """The folders of a run's evaluations, in the order in which they were written."""
    found = [file.parent for file in (run_folder / FOLDER).glob(f"*/{ABOUT}")]
    return sorted(found, key=lambda folder: ((folder / ABOUT).stat().st_ctime_ns, folder.name))

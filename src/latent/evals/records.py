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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.errors import EvaluationNotFoundError
from latent.evals.answering import ANSWER, INPUT, OUTPUT, Answered, values_of
from latent.evals.items import Item
from latent.evals.measuring import Measured, ScoreRow
from latent.files import replace_file
from latent.llm import Answer, Usage

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

FORMAT = 1

_ANSWER_FIELDS = [each.name for each in dataclasses.fields(Answer)]

FOLDER, ABOUT, ROWS, SCORES = "evaluations", "evaluation.json", "rows.parquet", "scores.parquet"
REPORT = "report.md"


def rows_table(answered: Sequence[Answered], expected: str) -> pa.Table:
    """
    A line for each answer.

    `input`, `expected` and `returned` are JSON; `exact` holds, encoded, what JSON cannot.
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
    return pa.Table.from_pylist(lines, schema=schema)


def _row(each: Answered, expected: str) -> dict[str, Any]:
    values = each.values
    whole = values.get(ANSWER)
    inputs = {name: value for name, value in each.item.values.items() if name not in (expected, OUTPUT)}
    own_output = each.item.values.get(OUTPUT)
    returned, exact = _returned(each)
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


def _returned(each: Answered) -> tuple[str | None, bytes | None]:
    """The row and what was returned for it: as JSON where that is all of it, else encoded as well."""
    from latent.cache import encode
    from latent.errors import CacheError

    content = {"item": dict(each.item.values), "values": _plain_answer(each.values)}
    text = to_json(content)
    if json.loads(text) == content:
        return text, None
    try:
        codec, data = encode({"item": dict(each.item.values), "values": dict(each.values)})
        return text, codec.encode() + b"\0" + data
    except CacheError:
        return text, None  # what cannot be kept exactly is scored again as its JSON says


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
    return {"model_answer": fields, INPUT: values.get(INPUT)}


def read_answered(table: pa.Table, expected: str) -> list[Answered]:
    """The answers of an evaluation, as scorers read them, from its table."""
    found = []
    for line in table.to_pylist():
        content = json.loads(line["returned"]) if line["exact"] is None else _exactly(line["exact"])
        values = content["values"]
        if "model_answer" in values:
            values = {**values_of(_model_answer(values.pop("model_answer"))), **values}
        elif OUTPUT in values:
            values.setdefault(ANSWER, values[OUTPUT])
        found.append(
            Answered(
                Item(line["id"], content["item"]),
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
            "id": pa.array([answered[row.place].item.id for row in rows], pa.string()),
            "repeat": pa.array([answered[row.place].repeat for row in rows], pa.int32()),
            "metric": pa.array([row.metric for row in rows], pa.string()),
            "value": pa.array(numbers, pa.float64()),
            "label": pa.array(
                [row.value if isinstance(row.value, str) else None for row in rows], pa.string()
            ),
            "outcome": pa.array([row.outcome for row in rows], pa.string()),
            "reason": pa.array([row.reason for row in rows], pa.string()),
            "answer": pa.array([_text(row.answer) for row in rows], pa.string()),
            "evidence": pa.array(
                [None if row.evidence is None else to_json(row.evidence) for row in rows], pa.string()
            ),
            "scorer": pa.array(scorers, pa.string()),
            "version": pa.array(versions, pa.string()),
        }
    )


def to_json(value: Any) -> str:
    """Any value as JSON; what JSON has no form for as its text."""
    return json.dumps(value, ensure_ascii=False, default=_json_default)


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
        replace_file(folder / ROWS, _parquet(rows))
    replace_file(folder / SCORES, _parquet(scores))
    content = json.dumps(about, ensure_ascii=False, indent=1)
    replace_file(folder / ABOUT, content.encode())


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def read(folder: Path) -> tuple[dict[str, Any], pa.Table, pa.Table]:
    """
    The parts of a written evaluation.

    Raises:
        EvaluationNotFoundError: It is not there, is damaged, or was written by a newer version.
    """
    from pyarrow import ArrowException, parquet

    try:
        about = json.loads((folder / ABOUT).read_bytes())
        if about["format"] > FORMAT:
            raise EvaluationNotFoundError(str(folder), "a newer version of latent wrote it: upgrade latent.")
        return about, parquet.read_table(folder / ROWS), parquet.read_table(folder / SCORES)
    except FileNotFoundError as error:
        raise EvaluationNotFoundError(str(folder), f"{error.filename} is missing.") from error
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise EvaluationNotFoundError(str(folder), f"it cannot be read: {error}") from error


def evaluations_in(run_folder: Path) -> list[Path]:
    """The folders of a run's evaluations, in the order in which they were written."""
    found = [file.parent for file in (run_folder / FOLDER).glob(f"*/{ABOUT}")]
    return sorted(found, key=lambda folder: ((folder / ABOUT).stat().st_ctime_ns, folder.name))

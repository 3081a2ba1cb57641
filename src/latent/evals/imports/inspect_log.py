"""
Logs of Inspect: `.eval` (a zip of JSON documents) and `.json`.

Format: https://inspect.aisi.org.uk/eval-logs.html, and `inspect_ai/log/_log.py` of Inspect 0.3.285.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latent.errors import ImportedResultsError
from latent.evals.imports.rows import EXPECTED, ID, Imported, ImportedRow, ImportedScorer, number_or_text
from latent.evals.scoring import Score

TOOL = "inspect"
NEWEST = 2
"""The newest version of the log that this reads."""
_CORRECT = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""What Inspect's own accuracy makes of its letters (`value_to_float`): no answer counts as wrong."""
_STORED, _DEFLATED, _ZSTANDARD = 0, 8, 93
"""Compression methods of zip, by APPNOTE.TXT 4.4.5; Python knows the last one from 3.14 on."""
_LOCAL_HEADER = 30
_ATTACHMENT = "attachment://"


def read_inspect(path: Path, label: str) -> Imported:
    """
    The evaluation in a log.

    Epochs become repeats. A sample that the log does not hold, because the evaluation ended early, is a row
    without an answer.

    Raises:
        ImportedResultsError: It is not a log of Inspect's, a newer one, or only the beginning of one.
    """
    log, samples = (_of_zip if zipfile.is_zipfile(path) else _of_json)(path, label)
    version = log.get("version")
    if not isinstance(version, int) or not isinstance(log.get("eval"), dict):
        raise ImportedResultsError(TOOL, label, "it is not a log of Inspect: it lacks `version` and `eval`")
    if version > NEWEST:
        raise ImportedResultsError(
            TOOL, label, f"it has version {version} of the format, and {NEWEST} is the newest known here"
        )
    about = log["eval"]
    rows = [_row(sample) for sample in samples]
    missing = list(_missing(log, rows))
    status, warnings = log.get("status"), []
    if status != "success":
        warnings.append(f"Inspect ended with status {status!r}: {len(missing):,} samples are missing.")
    return Imported(
        tool=TOOL,
        file=label,
        name=str(about.get("task", TOOL)),
        target=str(about.get("model", "unknown")),
        about={
            "model": about.get("model"),
            "sampling": about.get("model_generate_config") or {},
            "task": about.get("task"),
            "task_version": about.get("task_version"),
            "created": about.get("created"),
            "solver": [step.get("solver") for step in (log.get("plan") or {}).get("steps", ())],
        },
        rows=[*rows, *missing],
        scorers=list(_scorers(about, rows)),
        warnings=warnings,
    )


def _of_json(path: Path, label: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        log = json.loads(path.read_bytes())
    except ValueError as error:
        raise ImportedResultsError(TOOL, label, f"it is not a whole JSON document: {error}") from error
    if not isinstance(log, dict):
        raise ImportedResultsError(TOOL, label, "it is not a log of Inspect, but a list")
    return log, log.get("samples") or []


def _of_zip(path: Path, label: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        names = {each.filename: each for each in archive.infolist()}
        # A run that was cut off has only what it wrote at its start.
        head = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
        if head is None:
            raise ImportedResultsError(TOOL, label, "it is a zip file, but not a log of Inspect")
        try:
            log = {"status": "started", **json.loads(_entry(file, names[head]))}
            samples = [
                json.loads(_entry(file, each)) for name, each in names.items() if name.startswith("samples/")
            ]
        except (ValueError, OSError, zlib.error, struct.error) as error:
            raise ImportedResultsError(TOOL, label, f"it is damaged: {error}") from error
    return log, samples


def _entry(file: Any, info: zipfile.ZipInfo) -> bytes:
    """One member of a zip file, also one that Python's own reader is too old for."""
    file.seek(info.header_offset)
    name_length, extra_length = struct.unpack("<HH", file.read(_LOCAL_HEADER)[26:30])
    file.seek(name_length + extra_length, 1)
    data = file.read(info.compress_size)
    if info.compress_type == _ZSTANDARD:
        import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

        return bytes(pa.input_stream(pa.py_buffer(data), compression="zstd").read())
    if info.compress_type == _DEFLATED:
        return zlib.decompress(data, -zlib.MAX_WBITS)
    if info.compress_type == _STORED:
        return bytes(data)
    raise ValueError(f"compression {info.compress_type} is not known here")


def _row(sample: Mapping[str, Any]) -> ImportedRow:
    sample = _with_attachments(sample, sample.get("attachments") or {})
    output, error = sample.get("output") or {}, sample.get("error")
    usage = output.get("usage") or {}
    has_output = bool(output.get("choices") or output.get("completion"))
    failed = (error or {}).get("message") or (None if has_output else "Inspect has no output of it")
    values: dict[str, Any] = {"question": _text(sample.get("input")), EXPECTED: _target(sample.get("target"))}
    if sample.get("choices"):
        values["choices"] = sample["choices"]
    own = {name: value for name, value in (sample.get("metadata") or {}).items() if name not in (*values, ID)}
    return ImportedRow(
        id=str(sample["id"]),
        repeat=int(sample.get("epoch", 1)) - 1,
        values={**values, **own},
        prompt=_text([m for m in sample.get("messages") or () if m.get("role") != "assistant"]) or None,
        output=output.get("completion") or "",
        error=None if failed is None else str(failed),
        known={
            "latency_seconds": output.get("time"),
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cost_usd": usage.get("total_cost"),
            "finish_reason": next(
                (choice.get("stop_reason") for choice in output.get("choices") or ()), None
            ),
        },
        scores=dict(_scores(sample.get("scores") or {})),
    )


def _with_attachments(value: Any, attachments: Mapping[str, str]) -> Any:
    """Long contents stand apart in a log, by their hash."""
    if isinstance(value, str):
        return attachments.get(value.removeprefix(_ATTACHMENT), value) if _ATTACHMENT in value[:13] else value
    if isinstance(value, dict):
        return {
            name: _with_attachments(each, attachments)
            for name, each in value.items()
            if name not in ("attachments", "events", "events_data")
        }
    return [_with_attachments(each, attachments) for each in value] if isinstance(value, list) else value


def _text(content: Any) -> str:
    """An input or a message's content as one text."""
    if isinstance(content, str):
        return content
    parts = []
    for each in content or ():
        text = each.get("text") if isinstance(each, dict) and "content" not in each else None
        if text is None and isinstance(each, dict) and "content" in each:
            text = f"{each.get('role', '')}: {_text(each['content'])}"
        parts.append(str(text if text is not None else f"[{each.get('type', 'content')}]"))
    return "\n".join(parts)


def _target(target: Any) -> Any:
    return target[0] if isinstance(target, list) and len(target) == 1 else target


def _scores(given: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Score]]:
    for name, score in given.items():
        value = score.get("value")
        parts: Mapping[str, Any] = {name: value}
        if isinstance(value, dict):
            parts = {f"{name}.{key}": each for key, each in value.items()}
        elif isinstance(value, list):
            parts = {f"{name}.{place}": each for place, each in enumerate(value)}
        for metric, each in parts.items():
            found = _CORRECT.get(each, each) if isinstance(each, str) else number_or_text(each)
            answer = score.get("answer")
            yield (
                metric,
                Score(
                    found,
                    reason=score.get("explanation"),
                    answer=None if answer is None else str(answer),
                    evidence=score.get("metadata") or None,
                    abstained=found is None,
                ),
            )


def _scorers(about: Mapping[str, Any], rows: Sequence[ImportedRow]) -> Iterator[ImportedScorer]:
    described = {str(each.get("name")): each for each in about.get("scorers") or ()}
    metrics: dict[str, dict[str, None]] = {}
    for metric in dict.fromkeys(metric for row in rows for metric in row.scores):
        # A scorer's own name may hold a dot, as `package.scorer` does.
        name = next((name for name in described if metric in (name, f"{name}{metric[len(name) :]}")), None)
        metrics.setdefault(name or metric.partition(".")[0], {})[metric] = None
    for name, own in metrics.items():
        options = described.get(name, {}).get("options") or {}
        yield ImportedScorer(
            name=name,
            metrics=[*own],
            identity={"task": about.get("task"), "options": options},
        )


def _missing(log: Mapping[str, Any], rows: Sequence[ImportedRow]) -> Iterator[ImportedRow]:
    """The samples of the data set that the log has no result of."""
    ids = (log["eval"].get("dataset") or {}).get("sample_ids") or ()
    epochs = (log["eval"].get("config") or {}).get("epochs") or 1
    there = {(row.id, row.repeat) for row in rows}
    values = {row.id: row.values for row in rows}
    for repeat in range(int(epochs)):
        for name in map(str, ids):
            if (name, repeat) not in there:
                yield ImportedRow(
                    id=name, repeat=repeat, values=values.get(name, {}), error="Inspect has no result of it"
                )

"""Where the rows of a stream come from: iterables, frames, tables, JSON lines, Parquet files, datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.prefect.run import Run

PARQUET_ROWS = 1_000
"""Rows of a Parquet file that are turned into Python objects at a time."""


def rows_of(run: Run, source: Any, owner: str) -> Iterator[Any]:
    """
    The rows of a source, read as they are asked for.

    Args:
        source: An iterable, a frame or Arrow table, the path of a `.parquet`, `.jsonl` or `.ndjson` file
            (relative to the workspace), or the name of such a dataset in the catalog.

    Raises:
        UsageError: It is none of these; the message names `owner`.
    """
    if isinstance(source, (str, Path)):
        return _of_file(_path(run, source, owner), owner)
    if hasattr(source, "iter_rows") and hasattr(source, "to_dicts"):  # polars
        rows: Iterator[Any] = source.iter_rows(named=True)
        return rows
    if hasattr(source, "to_batches"):  # Arrow tables, datasets and readers
        return _of_batches(source.to_batches())
    if hasattr(source, "to_dict") and hasattr(source, "iloc"):
        return _of_frame(source)
    if isinstance(source, Iterable):
        return iter(source)
    raise UsageError(
        f"{owner}: map_stream takes an iterable, a frame, a table, or the path or dataset name of a .parquet "
        f"or .jsonl file, not a {type(source).__name__}."
    )


def _path(run: Run, source: str | Path, owner: str) -> str:
    if isinstance(source, str) and source in run.catalog:
        path = run.catalog.dataset(source).path
        if path is None:
            raise UsageError(f"{owner}: dataset {source!r} is not a file: load it, and stream its rows.")
        return path
    text = str(source)
    return text if "://" in text else str(run.workspace.root / text)


def _of_file(path: str, owner: str) -> Iterator[Any]:
    kinds = {".parquet": _of_parquet, ".pq": _of_parquet, ".jsonl": _of_json_lines, ".ndjson": _of_json_lines}
    read = kinds.get(Path(path).suffix.lower())
    if read is None:
        raise UsageError(
            f"{owner}: {path} cannot be read row by row: map_stream reads .parquet, .jsonl and .ndjson files."
        )
    if "://" not in path and not Path(path).is_file():
        raise UsageError(f"{owner}: there is no file {path}, and no dataset of that name in the catalog.")
    return read(path, owner)


def _of_json_lines(path: str, owner: str) -> Iterator[Any]:
    import fsspec  # type: ignore[import-untyped]  # it ships no types

    with fsspec.open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _parsed(line, f"{owner}: {path}, line {number}")


def _parsed(line: bytes, place: str) -> Any:
    import orjson

    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        # What the catalog reads too: NaN and Infinity, which Python writes, and a byte order mark.
        with suppress(ValueError):
            return json.loads(line)
        raise ValueError(f"{place}: no valid JSON ({error}).") from error


def _of_parquet(path: str, owner: str) -> Iterator[Any]:
    import fsspec
    import pyarrow.parquet  # type: ignore[import-untyped]  # it ships no types

    with fsspec.open(path, "rb") as file:
        try:
            yield from _of_batches(pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=PARQUET_ROWS))
        except (pyarrow.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise  # the disk's or the network's word, not Arrow's on what it read
            raise ValueError(f"{owner}: {path}: no Parquet that can be read ({error}).") from error


def _of_batches(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        for start in range(0, batch.num_rows, PARQUET_ROWS):
            yield from batch.slice(start, PARQUET_ROWS).to_pylist()


def _of_frame(frame: Any) -> Iterator[Any]:
    for start in range(0, len(frame), PARQUET_ROWS):
        yield from frame.iloc[start : start + PARQUET_ROWS].to_dict("records")

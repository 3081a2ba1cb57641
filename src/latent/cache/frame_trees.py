"""Frames, series and indexes of pandas as trees: Arrow for columns, JSON for columns of objects."""

from __future__ import annotations

from typing import Any

from latent.cache.trees import (
    Attachments,
    Reader,
    Writer,
    attach,
    from_tree,
    inside,
    to_tree,
    zone_from_tree,
    zone_to_tree,
)
from latent.errors import UnstorableError


def _write_frame(value: Any, attachments: Attachments) -> tuple[str, Any]:
    # Columns go by their number: labels may repeat, and need not be strings.
    objects = [number for number, dtype in enumerate(value.dtypes) if str(dtype) == "object"]
    numbered = value.set_axis([str(number) for number in range(value.shape[1])], axis="columns")
    plain = numbered.reset_index(drop=True).drop(columns=[str(number) for number in objects])
    cells = {str(number): _cells(value.iloc[:, number], number, attachments) for number in objects}
    labels = [_index(value.columns, attachments), _index(value.index, attachments)]
    return "frame", [labels, _columns(plain, attachments), cells, to_tree(value.attrs, attachments)]


def _columns(frame: Any, attachments: Attachments) -> Any:
    """Columns without objects as an Arrow table; time zones beside it, since Arrow knows only their names."""
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

    zones = {name: dtype.tz for name, dtype in frame.dtypes.items() if getattr(dtype, "tz", None) is not None}
    naive = frame.assign(**{name: frame[name].dt.tz_convert("UTC").dt.tz_localize(None) for name in zones})
    naive.attrs = {}
    table = pa.Table.from_pandas(naive, preserve_index=False)
    zone_trees = {name: zone_to_tree(zone) for name, zone in zones.items()}
    return {"table": attach(to_ipc(table), attachments), "zones": zone_trees}


def _read_columns(tree: Any, attachments: Attachments) -> Any:
    frame = from_ipc(attachments[tree["table"]]).to_pandas()
    for name, zone in tree["zones"].items():
        frame[name] = frame[name].dt.tz_localize("UTC").dt.tz_convert(zone_from_tree(zone))
    return frame


def _cells(column: Any, number: int, attachments: Attachments) -> Any:
    try:
        return to_tree(column.tolist(), attachments)
    except UnstorableError as error:
        raise inside(error, f".iloc[:, {number}]") from error.__cause__


def _read_frame(tree: Any, attachments: Attachments) -> Any:
    import pandas as pd

    (columns, index), plain_columns, cells, attrs = tree
    labels, rows = _read_index(columns, attachments), _read_index(index, attachments)
    plain = _read_columns(plain_columns, attachments)
    parts = {int(name): plain[name] for name in plain.columns}
    for name, items in cells.items():
        parts[int(name)] = pd.Series(object_array(from_tree(items, attachments)), dtype=object)
    frame = pd.DataFrame({number: parts[number] for number in sorted(parts)}, index=range(len(rows)))
    frame.columns, frame.index = labels, rows
    frame.attrs = from_tree(attrs, attachments)
    return frame


def _write_series(value: Any, attachments: Attachments) -> tuple[str, Any]:
    attrs = to_tree(value.attrs, attachments)
    plain = value.rename(None)
    plain.attrs = {}
    name = to_tree(value.name, attachments)
    return "series", [_values(plain, attachments), _index(value.index, attachments), name, attrs]


def _read_series(tree: Any, attachments: Attachments) -> Any:
    values, index, name, attrs = tree
    series = _read_values(values, attachments)
    series.index = _read_index(index, attachments)
    series.name = from_tree(name, attachments)
    series.attrs = from_tree(attrs, attachments)
    return series


def _values(series: Any, attachments: Attachments) -> Any:
    """The values of a series, without its labels."""
    if str(series.dtype) == "object":
        return {"objects": to_tree(series.tolist(), attachments)}
    return _columns(series.reset_index(drop=True).to_frame("0"), attachments)


def _read_values(tree: Any, attachments: Attachments) -> Any:
    import pandas as pd

    if "objects" in tree:
        return pd.Series(object_array(from_tree(tree["objects"], attachments)), dtype=object)
    return _read_columns(tree, attachments)["0"]


def _index(value: Any, attachments: Attachments) -> Any:
    import pandas as pd

    names = to_tree(list(value.names), attachments)
    if isinstance(value, pd.RangeIndex):
        return {"range": [value.start, value.stop, value.step], "names": names}
    if isinstance(value, pd.MultiIndex):
        levels = [value.get_level_values(number).to_series() for number in range(value.nlevels)]
        return {"levels": [_values(level.rename(None), attachments) for level in levels], "names": names}
    frequency = getattr(value, "freqstr", None) if hasattr(value, "inferred_freq") else None
    return {"values": _values(pd.Series(value, name=None), attachments), "freq": frequency, "names": names}


def _read_index(tree: Any, attachments: Attachments) -> Any:
    import pandas as pd

    names = from_tree(tree["names"], attachments)
    if "range" in tree:
        return pd.RangeIndex(range(*tree["range"]), name=names[0])
    if "levels" in tree:
        levels = [pd.Index(_read_values(level, attachments).array) for level in tree["levels"]]
        return pd.MultiIndex.from_arrays(levels, names=names)
    values = _read_values(tree["values"], attachments)
    index: Any = pd.Index(values.array, dtype=values.dtype, name=names[0])
    if tree["freq"] is not None:
        index.freq = tree["freq"]
    return index


def _write_index(value: Any, attachments: Attachments) -> tuple[str, Any]:
    return "index", _index(value, attachments)


def object_array(items: list[Any]) -> Any:
    """An array of objects, also when these are sequences that NumPy would unfold."""
    import numpy as np

    array = np.empty(len(items), dtype=object)
    for number, item in enumerate(items):
        array[number] = item
    return array


def to_ipc(table: Any) -> bytes:
    """An Arrow table as bytes."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(data: bytes) -> Any:
    """The Arrow table in bytes."""
    import pyarrow as pa

    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


FRAME_WRITERS: dict[tuple[str, str], Writer] = {
    ("pandas", "DataFrame"): _write_frame,
    ("pandas", "Series"): _write_series,
    **{
        ("pandas", name): _write_index
        for name in (
            "Index",
            "RangeIndex",
            "MultiIndex",
            "DatetimeIndex",
            "TimedeltaIndex",
            "PeriodIndex",
            "CategoricalIndex",
            "IntervalIndex",
        )
    },
}

FRAME_READERS: dict[str, Reader] = {
    "frame": _read_frame,
    "series": _read_series,
    "index": _read_index,
}

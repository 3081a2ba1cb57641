"""Values of NumPy, pandas, Arrow and polars as trees, each checked to come back exactly."""

from __future__ import annotations

import ast
from importlib import import_module
from typing import Any

from latent.cache.hashing import stable_hash
from latent.cache.trees import (
    Attachments,
    Reader,
    Writer,
    attach,
    from_tree,
    inside,
    to_tree,
    unstorable,
    zone_from_tree,
    zone_to_tree,
)
from latent.errors import LatentError, UnstorableError


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


def write(value: Any, attachments: Attachments) -> tuple[str, Any]:
    """
    Tag and content for a value of NumPy, pandas, Arrow or polars, after a look at what would come back.

    Raises:
        UnstorableError: It would not come back exactly, as with some extension types.
    """
    library = type(value).__module__.partition(".")[0]
    writer = _WRITERS.get((library, type(value).__name__))
    if (
        writer is None
        and library == "numpy"
        and hasattr(value, "dtype")
        and not hasattr(value, "__setitem__")
    ):
        writer = _write_scalar
    if writer is None:
        raise unstorable(
            value, "this type of value has no exact form on disk; return a frame, an array or a list"
        )
    before = len(attachments)
    try:
        tag, content = writer(value, attachments)
        restored = READERS[tag](content, attachments)
        same = writer is _write_array or stable_hash(restored) == stable_hash(value)
    except UnstorableError:
        raise
    except (
        LatentError,
        ArithmeticError,
        AttributeError,
        LookupError,
        NotImplementedError,
        TypeError,
        ValueError,
    ) as error:
        # Arrow's own errors are ValueErrors, TypeErrors and NotImplementedErrors.
        raise unstorable(value, str(error)) from error
    if not same:
        del attachments[before:]
        raise unstorable(value, "what would be read back differs from it")
    return tag, content


def _write_array(value: Any, attachments: Attachments) -> tuple[str, Any]:
    import numpy as np

    shape = list(value.shape)
    if value.dtype.kind == "O":
        return "array", [None, shape, to_tree(value.ravel().tolist(), attachments)]
    if value.dtype.hasobject or value.dtype.kind == "T":
        raise unstorable(value, f"arrays of {value.dtype} have no raw form; use dtype object")
    descr = np.lib.format.dtype_to_descr(value.dtype)
    if np.lib.format.descr_to_dtype(descr) != value.dtype:
        raise unstorable(value, f"its dtype {value.dtype} cannot be written down")
    return "array", [repr(descr), shape, attach(value.tobytes(), attachments)]


def _read_array(tree: Any, attachments: Attachments) -> Any:
    import numpy as np

    descr, shape, content = tree
    if descr is None:
        return object_array(from_tree(content, attachments)).reshape(shape)
    dtype = np.lib.format.descr_to_dtype(ast.literal_eval(descr))
    # A copy: what is read from bytes could not be written to.
    return np.frombuffer(attachments[content], dtype=dtype).reshape(shape).copy()


def _write_scalar(value: Any, attachments: Attachments) -> tuple[str, Any]:
    import numpy as np

    return "scalar", _write_array(np.asarray(value), attachments)[1]


def _read_scalar(tree: Any, attachments: Attachments) -> Any:
    return _read_array(tree, attachments)[()]


def _write_timestamp(value: Any, attachments: Attachments) -> tuple[str, Any]:
    naive = value.replace(tzinfo=None, fold=0)
    return "timestamp", [int(naive.asm8.view("i8")), value.unit, value.fold, zone_to_tree(value.tzinfo)]


def _read_timestamp(tree: Any, attachments: Attachments) -> Any:
    import numpy as np
    import pandas as pd

    ticks, unit, fold, zone = tree
    return pd.Timestamp(np.datetime64(ticks, unit)).replace(fold=fold, tzinfo=zone_from_tree(zone))


def _write_timedelta(value: Any, attachments: Attachments) -> tuple[str, Any]:
    return "pdtimedelta", [int(value.asm8.view("i8")), value.unit]


def _read_timedelta(tree: Any, attachments: Attachments) -> Any:
    import numpy as np
    import pandas as pd

    return pd.Timedelta(np.timedelta64(tree[0], tree[1]))


def _read_missing(tree: Any, attachments: Attachments) -> Any:
    import pandas as pd

    return {"NaT": pd.NaT, "NA": pd.NA}[tree]


def _write_table(value: Any, attachments: Attachments) -> tuple[str, Any]:
    return "table", attach(to_ipc(value), attachments)


def _read_table(tree: Any, attachments: Attachments) -> Any:
    return from_ipc(attachments[tree])


def _write_batch(value: Any, attachments: Attachments) -> tuple[str, Any]:
    import pyarrow as pa

    return "batch", attach(to_ipc(pa.Table.from_batches([value])), attachments)


def _read_batch(tree: Any, attachments: Attachments) -> Any:
    import pyarrow as pa

    table = from_ipc(attachments[tree])
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _write_polars(value: Any, attachments: Attachments) -> tuple[str, Any]:
    from io import BytesIO

    file = BytesIO()
    value.write_ipc(file)
    return "polars", attach(file.getvalue(), attachments)


def _read_polars(tree: Any, attachments: Attachments) -> Any:
    from io import BytesIO

    polars = import_module("polars")  # optional: nothing of it is known to the type checker
    return polars.read_ipc(BytesIO(attachments[tree]))


def _write_polars_series(value: Any, attachments: Attachments) -> tuple[str, Any]:
    return "polarsseries", _write_polars(value.to_frame(), attachments)[1]


def _read_polars_series(tree: Any, attachments: Attachments) -> Any:
    return _read_polars(tree, attachments).to_series()


_WRITERS: dict[tuple[str, str], Writer] = {
    ("numpy", "ndarray"): _write_array,
    **FRAME_WRITERS,
    ("pandas", "Timestamp"): _write_timestamp,
    ("pandas", "Timedelta"): _write_timedelta,
    ("pandas", "NaTType"): lambda value, attachments: ("missing", "NaT"),
    ("pandas", "NAType"): lambda value, attachments: ("missing", "NA"),
    ("pyarrow", "Table"): _write_table,
    ("pyarrow", "RecordBatch"): _write_batch,
    ("polars", "DataFrame"): _write_polars,
    ("polars", "Series"): _write_polars_series,
}

READERS: dict[str, Reader] = {
    "array": _read_array,
    "scalar": _read_scalar,
    **FRAME_READERS,
    "timestamp": _read_timestamp,
    "pdtimedelta": _read_timedelta,
    "missing": _read_missing,
    "table": _read_table,
    "batch": _read_batch,
    "polars": _read_polars,
    "polarsseries": _read_polars_series,
}

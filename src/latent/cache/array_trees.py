"""Values of NumPy, pandas, Arrow and polars as trees, each checked to come back exactly."""

from __future__ import annotations

import ast
from importlib import import_module
from typing import Any

from latent.cache.frame_trees import FRAME_READERS, FRAME_WRITERS, from_ipc, object_array, to_ipc
from latent.cache.hashing import stable_hash
from latent.cache.trees import (
    Attachments,
    Reader,
    Writer,
    attach,
    from_tree,
    to_tree,
    unstorable,
    zone_from_tree,
    zone_to_tree,
)
from latent.errors import LatentError, UnstorableError


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
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

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

"""
Arrow columns from lists, by the layout that https://arrow.apache.org/docs/format/Columnar.html describes.

`pyarrow.array` asks for every list whether it is one of pandas' own, and imports pandas for that, which takes
half a second. These columns are plain enough to be laid out by hand, which is also several times as fast.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

_CODES = {"int32": "i", "int64": "q", "float64": "d"}
"""How the standard library's arrays call Arrow's types."""


def table_from(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, str]) -> pa.Table:
    """A table of equally long columns; `kinds` are their types by name."""
    import pyarrow as pa

    return pa.table({name: column_of(columns[name], kind) for name, kind in kinds.items()})


def column_of(values: Sequence[Any], kind: str) -> pa.Array:
    """
    A column of texts, numbers or truth values, with None where nothing is known.

    Args:
        kind: "string", "int32", "int64", "float64" or "bool". Of texts, what is not Unicode is kept readable.
    """
    import pyarrow as pa

    missing = values.count(None)
    validity = pa.py_buffer(_bits([value is not None for value in values])) if missing else None
    buffers = [validity, *map(pa.py_buffer, _laid_out(values, kind, missing))]
    return pa.Array.from_buffers(pa.type_for_alias(kind), len(values), buffers, missing)


def _laid_out(values: Sequence[Any], kind: str, missing: int) -> list[bytes | array[Any]]:
    """The values themselves, with something in each place where one is missing."""
    if kind == "bool":
        return [_bits(values)]
    if kind == "string":
        if missing == len(values):
            return [bytes(4 * (missing + 1)), b""]
        texts = [b"" if value is None else str(value).encode("utf-8", "backslashreplace") for value in values]
        return [array("i", accumulate(map(len, texts), initial=0)), b"".join(texts)]
    return [array(_CODES[kind], [value or 0 for value in values] if missing else values)]


def _bits(values: Sequence[Any]) -> bytes:
    """A bit for each value, the first one in the lowest place; None counts as false."""
    digits = "".join(["1" if value else "0" for value in reversed(values)])
    return int(digits or "0", 2).to_bytes((len(values) + 7) // 8, "little")

"""Hashes of arrays, frames and Arrow tables: by content, type and labels, not by how they lie in memory."""

from __future__ import annotations

from typing import Any

import xxhash

from latent.cache.classes import class_name
from latent.cache.hashing import (
    Encoder,
    Fallback,
    encode,
    encode_fields,
    encode_items,
    encode_mapping,
    tagged,
    text,
)


def _digest(data: Any) -> bytes:
    """The content of a buffer in 16 bytes: large arrays are hashed where they lie, without a copy."""
    return xxhash.xxh3_128_digest(data)


def _encode_array(value: Any, fallback: Fallback | None) -> bytes:
    import numpy as np

    head = tagged(b"array", f"{class_name(type(value))} {value.dtype.descr!r} {value.shape}".encode())
    if isinstance(value, np.ma.MaskedArray):
        mask = _encode_array(np.ma.getmaskarray(value), fallback)
        # What lies under the mask is not part of the value; what it is filled with may be.
        usual = np.ma.default_fill_value(value)
        filled = b"" if str(value.fill_value) == str(usual) else b"fill" + encode(value.fill_value, fallback)
        return head + mask + filled + encode(value.compressed(), fallback)
    if value.dtype.hasobject or value.dtype.kind == "T":
        return head + encode_items(b"l", value.ravel().tolist(), fallback)
    return head + _digest(np.ascontiguousarray(value).view(np.uint8) if value.size else b"")


def _encode_scalar(value: Any, fallback: Fallback | None) -> bytes:
    if value.dtype.hasobject:
        return b"scalar" + encode(value.item(), fallback)
    return tagged(b"scalar", value.dtype.str.encode()) + tagged(b"B", value.tobytes())


def _encode_dtype(value: Any, fallback: Fallback | None) -> bytes:
    return tagged(b"dtype", repr(value).encode())


def _encode_frame(value: Any, fallback: Fallback | None) -> bytes:
    # By position: two columns may share a name.
    columns = [_labelled(value.iloc[:, number], fallback) for number in range(value.shape[1])]
    parts = [_class(b"frame", value), encode(value.columns, fallback), encode(value.index, fallback)]
    flags = b"" if value.flags.allows_duplicate_labels else b"unique"
    return b"".join([*parts, encode_mapping(b"d", value.attrs, fallback), flags, *columns])


def _encode_series(value: Any, fallback: Fallback | None) -> bytes:
    parts = [_class(b"series", value), encode(value.name, fallback), encode(value.index, fallback)]
    return b"".join([*parts, encode_mapping(b"d", value.attrs, fallback), _labelled(value, fallback)])


def _encode_index(value: Any, fallback: Fallback | None) -> bytes:
    names = encode_items(b"l", value.names, fallback)
    if value.nlevels > 1:
        levels = [encode(value.get_level_values(number), fallback) for number in range(value.nlevels)]
        return _class(b"index", value) + names + b"".join(levels)
    frequency = text(str(getattr(value, "freqstr", None)))
    return _class(b"index", value) + names + frequency + _labelled(value, fallback)


def _labelled(value: Any, fallback: Fallback | None) -> bytes:
    """The values of a series or index behind their dtype."""
    return text(_dtype_name(value.dtype)) + _encode_values(value.array, fallback)


def _dtype_name(dtype: Any) -> str:
    # "str" alone does not tell how missing text is marked.
    return f"{dtype!r} {getattr(dtype, 'na_value', None)!r}"


def _encode_values(values: Any, fallback: Fallback | None) -> bytes:
    import numpy as np

    kind = type(values).__name__
    if kind == "Categorical":
        categories = encode(values.categories, fallback)
        return encode(bool(values.ordered), fallback) + categories + _encode_array(values.codes, fallback)
    if kind in ("DatetimeArray", "TimedeltaArray"):
        return _encode_array(values.asi8, fallback)
    # pandas' wrapper of a NumPy array has a dtype of its own; one by one, its values would take seconds.
    if isinstance(values.dtype, np.dtype) or kind == "NumpyExtensionArray":
        return _encode_array(np.asarray(values), fallback)
    if hasattr(values, "__arrow_array__"):
        import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

        return _encode_arrow_array(pa.array(values), fallback)
    return encode_items(b"l", list(values), fallback)


def _encode_timestamp(value: Any, fallback: Fallback | None) -> bytes:
    zone = "" if value.tzinfo is None else f"{class_name(type(value.tzinfo))} {value.tzinfo}"
    return tagged(b"timestamp", f"{value.isoformat()} {value.unit} {value.fold} {zone}".encode())


def _encode_by_repr(value: Any, fallback: Fallback | None) -> bytes:
    return _class(b"repr", value) + text(repr(value))


def _encode_table(value: Any, fallback: Fallback | None) -> bytes:
    columns = [_encode_arrow_array(column, fallback) for column in value.columns]
    return _class(b"table", value) + _encode_schema(value.schema, fallback) + b"".join(columns)


def _encode_schema(value: Any, fallback: Fallback | None) -> bytes:
    # pandas notes its own version there; the same data would hash differently after an upgrade.
    metadata = {name: data for name, data in (value.metadata or {}).items() if name != b"pandas"}
    fields = [(field.name, f"{field.type} {field.nullable}{_notes(field)}") for field in value]
    return encode_mapping(b"schema", metadata, fallback) + encode_fields(b"o", fields, fallback)


def _notes(field: Any) -> str:
    """What is written to a field; not the numbers that Parquet gives its columns."""
    notes = [pair for pair in sorted((field.metadata or {}).items()) if not pair[0].startswith(b"PARQUET:")]
    return f" {notes!r}" if notes else ""


def _encode_arrow_array(value: Any, fallback: Fallback | None) -> bytes:
    """Arrow data by its logical values: chunks, offsets, padding and what lies under a null do not count."""
    import numpy as np
    import pyarrow as pa

    array = value.combine_chunks() if isinstance(value, pa.ChunkedArray) else value
    if isinstance(array, pa.ChunkedArray):  # more than 2 GB of text stays in chunks
        return encode_items(b"chunks", array.to_pylist(), fallback)
    valid = np.packbits(np.asarray(array.is_valid())) if array.null_count else b""
    head = tagged(b"arrow", f"{array.type} {len(array)}".encode()) + _digest(valid)
    return head + _arrow_content(array.drop_null() if array.null_count else array, fallback)


def _arrow_content(array: Any, fallback: Fallback | None) -> bytes:
    """The content of an array without nulls."""
    import numpy as np
    import pyarrow as pa

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _encode_arrow_array(array.storage, fallback)
    if pa.types.is_dictionary(kind):
        return _encode_arrow_array(array.dictionary_decode(), fallback)
    if pa.types.is_boolean(kind):
        return _digest(np.packbits(array.to_numpy(zero_copy_only=False)))
    if pa.types.is_struct(kind):
        return b"".join(_encode_arrow_array(child, fallback) for child in array.flatten())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        return _digest(lengths.astype("<i8")) + _encode_arrow_array(array.flatten(), fallback)
    if _has_text_layout(kind):
        return _text_content(array)
    if pa.types.is_primitive(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_decimal(kind):
        width = kind.bit_width // 8
        content = memoryview(array.buffers()[1] or b"")
        return _digest(content[array.offset * width : (array.offset + len(array)) * width])
    return encode_items(b"l", array.to_pylist(), fallback)


def _has_text_layout(kind: Any) -> bool:
    from pyarrow import types

    return any(
        test(kind)
        for test in (types.is_string, types.is_binary, types.is_large_string, types.is_large_binary)
    )


def _text_content(array: Any) -> bytes:
    """Strings or bytes: their lengths, then all of them behind each other."""
    import numpy as np

    if not len(array):
        return _digest(b"")
    _, offsets, data = array.buffers()
    width = "<i8" if str(array.type).startswith("large_") else "<i4"
    bounds = np.frombuffer(offsets, dtype=width)[array.offset : array.offset + len(array) + 1]
    lengths = np.diff(bounds).astype("<i8")
    return _digest(lengths) + _digest(memoryview(data or b"")[bounds[0] : bounds[-1]])


def _encode_arrow_scalar(value: Any, fallback: Fallback | None) -> bytes:
    return tagged(b"arrowscalar", str(value.type).encode()) + encode(value.as_py(), fallback)


def _encode_polars_frame(value: Any, fallback: Fallback | None) -> bytes:
    return _class(b"polars", value) + text(repr(value.schema)) + _encode_table(value.to_arrow(), fallback)


def _encode_polars_series(value: Any, fallback: Fallback | None) -> bytes:
    head = _class(b"polars", value) + text(f"{value.name} {value.dtype!r}")
    return head + _encode_arrow_array(value.to_arrow(), fallback)


def _class(tag: bytes, value: object) -> bytes:
    return tagged(tag, type(value).__qualname__.encode())


ENCODERS: dict[tuple[str, str], Encoder] = {
    ("numpy", "ndarray"): _encode_array,
    ("numpy", "generic"): _encode_scalar,
    ("numpy", "dtype"): _encode_dtype,
    ("pandas", "DataFrame"): _encode_frame,
    ("pandas", "Series"): _encode_series,
    ("pandas", "Index"): _encode_index,
    ("pandas", "ExtensionArray"): lambda value, fallback: (
        _class(b"values", value) + text(_dtype_name(value.dtype)) + _encode_values(value, fallback)
    ),
    ("pandas", "ExtensionDtype"): _encode_by_repr,
    ("pandas", "Timestamp"): _encode_timestamp,
    ("pandas", "Timedelta"): lambda value, fallback: tagged(
        b"timedelta", f"{value.value} {value.unit}".encode()
    ),
    ("pandas", "NaTType"): lambda value, fallback: b"NaT;",
    ("pandas", "NAType"): lambda value, fallback: b"NA;",
    ("pandas", "Interval"): _encode_by_repr,
    ("pandas", "Period"): lambda value, fallback: text(f"{value.freqstr} {value.ordinal}"),
    ("pyarrow", "Table"): _encode_table,
    ("pyarrow", "RecordBatch"): _encode_table,
    ("pyarrow", "Schema"): lambda value, fallback: _class(b"schema", value) + _encode_schema(value, fallback),
    ("pyarrow", "DataType"): _encode_by_repr,
    ("pyarrow", "Array"): lambda value, fallback: (
        _class(b"values", value) + _encode_arrow_array(value, fallback)
    ),
    ("pyarrow", "ChunkedArray"): lambda value, fallback: (
        _class(b"values", value) + _encode_arrow_array(value, fallback)
    ),
    ("pyarrow", "Scalar"): _encode_arrow_scalar,
    ("polars", "DataFrame"): _encode_polars_frame,
    ("polars", "Series"): _encode_polars_series,
}

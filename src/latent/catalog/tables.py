"""CSV, Excel and Parquet files as DataFrames: Kedro's datasets that also save rows and refuse misreadings."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets.pandas.csv_dataset import (  # type: ignore[import-untyped]
    CSVDataset as KedroCSVDataset,
)
from kedro_datasets.pandas.excel_dataset import (  # type: ignore[import-untyped]
    ExcelDataset as KedroExcelDataset,
)
from kedro_datasets.pandas.parquet_dataset import (  # type: ignore[import-untyped]
    ParquetDataset as KedroParquetDataset,
)

from latent.catalog.files import WRITE_TEXT
from latent.catalog.reading import UnreadableFileError, not_text, read_bytes

_log = logging.getLogger("latent.catalog")

_SET_ENCODING = "load_args: {{encoding: {0}}}"
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
# What decides where a field ends.
_DIALECT = frozenset(
    {"sep", "delimiter", "encoding", "encoding_errors", "quotechar", "quoting", "doublequote", "escapechar"}
    | {
        "comment",
        "compression",
        "engine",
        "lineterminator",
        "skipinitialspace",
        "skip_blank_lines",
        "skiprows",
    }
)
_PARSER_LINE = re.compile(r"(?P<what>Expected \d+ fields) in line (?P<line>\d+), (?P<saw>saw \d+)")
_LEADING_ZERO = re.compile(rb"(?:^|[,;\t\"])[-+]?0\d", re.MULTILINE)
_OPEN_QUOTE = re.compile(r"EOF inside string starting at row (?P<row>\d+)")


class CSVDataset(KedroCSVDataset):  # type: ignore[misc]  # Kedro has no types
    """A CSV file as a DataFrame, by pandas' rules; `load_args` and `save_args` are those of pandas."""

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {}
    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {"open_args_save": WRITE_TEXT}

    def load(self) -> pd.DataFrame:
        try:
            frame: pd.DataFrame = super().load()
        except DatasetError as error:
            raise self._explained(error.__cause__) or error from error.__cause__
        if isinstance(frame, pd.DataFrame):
            self._refuse_misread(frame)
            self._warn_of_lost_zeros(frame)
        return frame

    def save(self, data: Any) -> None:
        # pandas ignores `encoding` when it is handed an open file, as Kedro does.
        if encoding := self._save_args.get("encoding"):
            self._fs_open_args_save["encoding"] = encoding
        frame = _for_columns_only(as_frame(data), self._save_args)
        KedroCSVDataset.save.__wrapped__(self, frame)  # Kedro wraps each

    def _explained(self, error: BaseException | None) -> UnreadableFileError | None:
        if isinstance(error, pd.errors.EmptyDataError):
            return UnreadableFileError("the file is empty: it has not even a header.")
        if isinstance(error, UnicodeError):
            return self._not_text(error)
        if not isinstance(error, pd.errors.ParserError):
            return None
        if match := _PARSER_LINE.search(str(error)):
            what = match["what"][0].lower() + match["what"][1:]
            hint = "put a text that holds the separator in quotes, and double the quotes inside it."
            return UnreadableFileError(f"{what}, {match['saw']}: {hint}", int(match["line"]))
        if match := _OPEN_QUOTE.search(str(error)):
            return UnreadableFileError('a quote (") is opened here and never closed.', int(match["row"]) + 1)
        return None

    def _not_text(self, error: UnicodeError) -> UnreadableFileError:
        data, encoding = read_bytes(self), self._load_args.get("encoding")
        try:
            data.decode(encoding or "utf-8")
        except UnicodeDecodeError as exact:  # pandas reads in pieces: its positions say nothing
            return not_text(data, exact.start, encoding, _SET_ENCODING)
        return UnreadableFileError(str(error))

    def _refuse_misread(self, frame: pd.DataFrame) -> None:
        """Stop what pandas reads without a word, and wrongly."""
        given = self._load_args
        if not given.keys() & {"sep", "delimiter", "names", "header"} and len(frame.columns) == 1:
            name = str(frame.columns[0])
            for separator, what in _SEPARATORS.items():
                if separator in name:
                    written = f'"{separator}"'.replace("\t", "\\t")  # as YAML has it
                    raise UnreadableFileError(
                        f"its columns seem to be separated by {what}: set `load_args: {{sep: {written}}}` "
                        "(or `sep: ','` if it is one column).",
                        1,
                    )
        if not given.keys() & {"index_col", "names", "header", "usecols"} and self._rows_exceed_header():
            raise UnreadableFileError(
                f"the header names {len(frame.columns)} columns and the rows have more, so that pandas "
                "takes the first for row names: complete the header, or set `load_args: {index_col: 0}`.",
                1,
            )

    def _rows_exceed_header(self) -> bool:
        if self._protocol != "file":  # not worth a second download
            return False
        # Read as rows like any other, a first one that is longer than the header is an error to pandas.
        given = {key: value for key, value in self._load_args.items() if key in _DIALECT}
        try:
            self._read(**given, header=None, nrows=2)
        except pd.errors.ParserError:
            return True
        return False

    def _read(self, **load_args: Any) -> pd.DataFrame:
        """All columns as text, read with other arguments."""
        other = self._copy(_load_args={**load_args, "dtype": str})
        frame: pd.DataFrame = KedroCSVDataset.load.__wrapped__(other)
        return frame

    def _warn_of_lost_zeros(self, frame: pd.DataFrame) -> None:
        """Say which columns look like ids: `01` is another id than `1` until pandas makes numbers of both."""
        numbers = [name for name in frame.columns if pd.api.types.is_integer_dtype(frame[name])]
        if not numbers or self._protocol != "file" or not _LEADING_ZERO.search(read_bytes(self)):
            return
        text = self._read(**self._load_args)
        for name in numbers:
            if name in text and text[name].str.match(r"[-+]?0\d", na=False).any():
                _log.warning(
                    "%s: leading zeros of the column %r are lost, since pandas reads it as numbers; "
                    "`load_args: {dtype: {%s: str}}` keeps them.",
                    self._filepath,
                    name,
                    name,
                )


class ExcelDataset(KedroExcelDataset):  # type: ignore[misc]
    """An Excel file as a DataFrame, or several sheets as a dict of them."""

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {}

    def save(self, data: Any) -> None:
        sheets = data if isinstance(data, dict) else {"": data}
        frames = {name: _for_columns_only(as_frame(sheet), self._save_args) for name, sheet in sheets.items()}
        KedroExcelDataset.save.__wrapped__(self, frames if isinstance(data, dict) else frames[""])


class ParquetDataset(KedroParquetDataset):  # type: ignore[misc]
    """A Parquet file (or, to read, a folder of them) as a DataFrame."""

    def save(self, data: Any) -> None:
        KedroParquetDataset.save.__wrapped__(self, as_frame(data))


def _for_columns_only(frame: pd.DataFrame, save_args: dict[str, Any]) -> pd.DataFrame:
    """
    The frame for a format that keeps only columns; what `save_args` say of the index comes first.

    Kedro leaves the index out, and the names of rows with it.
    """
    if "index" in save_args:
        return frame
    save_args["index"] = False
    return named_rows(frame)


def named_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """
    The frame with its row names as columns, where they are data: not where rows are only numbered.

    Raises:
        ValueError: A column has the name that the row names need, and other values.
    """
    index, columns = frame.index, frame.columns
    if not has_named_rows(index):
        return frame
    default = [f"level_{number}" for number in range(index.nlevels)] if index.nlevels > 1 else ["index"]
    names = [given if name is None else name for name, given in zip(index.names, default, strict=True)]
    for number, name in enumerate(names):
        label = name if columns.nlevels == 1 else (name, *[""] * (columns.nlevels - 1))
        if label in columns:
            if not index.get_level_values(number).equals(pd.Index(frame[label])):
                raise ValueError(
                    f"its rows are named by {name!r}, and a column of that name holds other values: give one "
                    "of them another name (`frame.rename_axis(...)`), or say `save_args: {index: false}`."
                )
            frame = frame.drop(columns=[label])
    if columns.nlevels == 1:  # columns that are categories or intervals take no other name
        frame = frame.set_axis(pd.Index(frame.columns, dtype=object), axis=1)
    return frame.reset_index(names=names)


def has_named_rows(index: pd.Index[Any]) -> bool:
    """
    Whether an index holds data rather than numbers of rows.

    It does when it has a name (from `groupby`, `value_counts`, `set_index`) or several levels, and when it
    holds strings, dates or anything else but whole numbers.
    """
    return index.nlevels > 1 or index.name is not None or not pd.api.types.is_integer_dtype(index.dtype)


def as_frame(value: Any) -> pd.DataFrame:
    """
    A DataFrame of what a flow may return as a table: a frame, a Series, or a list of rows.

    A row is a dict, a pydantic model or a dataclass; polars and Arrow tables are converted.

    Raises:
        TypeError: It is not a table.
    """
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, pd.Series):
        return value.to_frame()
    if hasattr(value, "to_pandas"):
        return value.to_pandas()  # type: ignore[no-any-return]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return pd.DataFrame([_row(row, number) for number, row in enumerate(value)])
    raise TypeError(f"a table takes a DataFrame or a list of rows (dicts), got {type(value).__name__}")


def _row(row: Any, number: int) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "model_dump"):
        return row.model_dump()  # type: ignore[no-any-return]
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return dataclasses.asdict(row)
    raise TypeError(
        f"a table takes a DataFrame or a list of rows (dicts); row {number} is a {type(row).__name__}"
    )

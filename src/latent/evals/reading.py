"""Rows from wherever they lie: files, datasets, frames, lists; with nothing changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from latent.errors import EvaluationDataError

if TYPE_CHECKING:
    import pandas as pd

    from latent.catalog import Catalog
    from latent.config import Workspace

_TABLES = frozenset({".csv", ".tsv"})
_AS_WRITTEN = {"dtype": "str", "keep_default_na": False, "na_values": [""]}
"""How such files are read: pandas' own rules lose `NA`, `None`, `007`, and make 4.0 of a 4 above a gap."""
_BOOLEANS = tuple(
    {word(text): text == "true" for text in ("true", "false")} for word in (str, str.title, str.upper)
)
_EXACT_INTEGERS = 2.0**53


def read_rows(data: Any, workspace: Workspace, catalog: Catalog | None) -> tuple[str, list[dict[str, Any]]]:
    """
    How messages name the data, and its rows.

    Raises:
        EvaluationDataError: There is no such file, or what it holds are not rows.
        DatasetNotFoundError: There is neither a file nor a dataset of this name.
        DatasetLoadError: The file cannot be read.
    """
    source, loaded = _loaded(data, workspace, catalog)
    return source, _mappings(source, loaded)


def _loaded(data: Any, workspace: Workspace, catalog: Catalog | None) -> tuple[str, Any]:
    """How messages name the data, and the data."""
    if not isinstance(data, str | Path):
        return f"The {type(data).__name__} of rows", data
    name = str(data)
    if catalog is not None and isinstance(data, str) and name in catalog:
        return f"Dataset {name!r}", catalog.load_data(name)
    if "://" in name:
        return repr(name), _read(name, name, workspace)
    path = Path(name) if is_file(Path(name)) else workspace.root / name
    if not is_file(path):
        if _answers(path, Path.is_dir):
            raise EvaluationDataError(repr(name), "it is a folder: name a file in it.")
        if catalog is not None and not Path(name).suffix:
            catalog.dataset(name)  # says which name comes near
        places = " or ".join(map(str, dict.fromkeys([Path.cwd(), workspace.root])))
        raise EvaluationDataError(repr(name), f"there is no such file in {places}.")
    return repr(name), _read(path.resolve(), name, workspace)


def is_file(path: Path) -> bool:
    """Whether there is such a file; a text that is too long to be a path names none."""
    return _answers(path, Path.is_file)


def _answers(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    except OSError:
        return False


def _read(place: str | Path, name: str, workspace: Workspace) -> Any:
    """The data of a file that the caller names: it may lie anywhere, unlike those that a catalog names."""
    from latent.catalog import Catalog
    from latent.config import Workspace as AnyFolder

    if isinstance(place, Path):
        if not {"*", "?"}.isdisjoint(str(place)):
            raise EvaluationDataError(
                repr(name), "* and ? in a path stand for many files: name it otherwise."
            )
        workspace, place = AnyFolder(place.parent, found=False), str(place)  # whole, for names such as `~a`
    is_table = not _TABLES.isdisjoint(suffix.lower() for suffix in PurePath(place).suffixes)
    entry = {"filepath": place, "load_args": _AS_WRITTEN} if is_table else place
    loaded = Catalog(workspace, "", None, {name: ("the call", entry)}, "the call").load_data(name)
    return _with_types(loaded) if is_table else loaded


def _with_types(frame: pd.DataFrame) -> pd.DataFrame:
    """The texts of a table, with numbers where a whole column of them is written as Python writes them."""
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series(_typed(frame[name].tolist()), dtype=object) for name in frame.columns}
    )


def _typed(column: Sequence[Any]) -> list[Any]:
    """`4`, `-0.5` and `true` as values where all of a column are; `007`, `1.50` and `NA` stay texts."""
    texts = [None if _is_gap(text) else text for text in column]
    for reading in (*(words.__getitem__ for words in _BOOLEANS), _number):
        try:
            return [None if text is None else reading(text) for text in texts]
        except (KeyError, ValueError):
            continue
    return texts


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            value: int | float = kind(text)
        except ValueError:
            continue
        if str(value) == text and text[-1].isdigit():  # neither `nan` nor `inf`
            return value
    raise ValueError(text)


def _mappings(source: str, loaded: Any) -> list[dict[str, Any]]:
    if isinstance(loaded, Mapping):  # rows by their id, as JSON and YAML files often have them
        loaded = [{"id": key, **row} if isinstance(row, Mapping) else row for key, row in loaded.items()]
    elif hasattr(loaded, "to_dicts"):  # polars
        loaded = loaded.to_dicts()
    elif hasattr(loaded, "to_dict") and hasattr(loaded, "columns"):
        loaded = _of_frame(loaded)
    elif hasattr(loaded, "to_pylist"):
        loaded = loaded.to_pylist()
    if isinstance(loaded, str | bytes) or not hasattr(loaded, "__iter__"):
        held = "nothing" if loaded is None else f"a {type(loaded).__name__}"
        raise EvaluationDataError(source, f"it holds {held}, and not rows: a list of mappings, or a table.")
    rows = list(loaded)
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise EvaluationDataError(source, f"row {place} is a {type(row).__name__}, and no mapping.")
    return [{str(name): None if _is_gap(value) else value for name, value in row.items()} for row in rows]


def _of_frame(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """A frame's rows; whole numbers that pandas made decimal only because a row has none are whole again."""
    whole = {name for place, name in enumerate(frame.columns) if _was_whole(frame.iloc[:, place])}
    rows: list[dict[Any, Any]] = frame.to_dict("records")
    if not whole:
        return rows
    return [
        {name: int(value) if name in whole and not _is_gap(value) else value for name, value in row.items()}
        for row in rows
    ]


def _was_whole(column: pd.Series[Any]) -> bool:
    if getattr(column.dtype, "kind", "") != "f" or not column.isna().any():
        return False
    known = column.dropna()
    return bool(len(known) and ((known % 1 == 0) & (known.abs() <= _EXACT_INTEGERS)).all())


def _is_gap(value: Any) -> bool:
    """Whether it is NaN, NaT or NA: how frames, and rows that come from one, write that there is no value."""
    if value is None or isinstance(value, str | int):
        return False
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # NA is neither, and an array is many
        return type(value).__name__ == "NAType"

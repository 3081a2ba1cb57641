"""
Text, JSON, JSON Lines and YAML files: Kedro's datasets, read strictly and written in UTF-8.

Kedro's own read in the encoding of the machine, translate line ends, keep a byte order mark as text and let
the last of two equal keys win; each of these changes data without a word. Used in place of Kedro's under
Kedro's type names; the full path of Kedro's module (`kedro_datasets.json.json_dataset.JSONDataset`) still
names Kedro's.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, ClassVar
from uuid import UUID

import yaml
from kedro_datasets.json.json_dataset import JSONDataset as KedroJSONDataset  # type: ignore[import-untyped]
from kedro_datasets.text.text_dataset import TextDataset as KedroTextDataset  # type: ignore[import-untyped]
from kedro_datasets.yaml.yaml_dataset import YAMLDataset as KedroYAMLDataset  # type: ignore[import-untyped]
from yaml.nodes import MappingNode, Node, ScalarNode

from latent.catalog.reading import UnreadableFileError, read_text

MOST_VALUES = 10_000_000
"""Values a file may stand for with its aliases written out; a few lines could stand for billions."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(text: str) -> Any:
    """
    The value of a YAML text; None when it is empty.

    Raises:
        UnreadableFileError: It is not YAML or not plain data, has a key twice, contains itself, or is made
            huge by aliases; with the line.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, set(), {})
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise UnreadableFileError(f"{error.problem or error.context}.", line) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableFileError(
            f"the character {chr(error.character)!r} is not allowed in YAML.", line
        ) from error
    except RecursionError as error:
        raise UnreadableFileError("nested too deeply to be read.") from error
    except ValueError as error:
        raise UnreadableFileError(
            f"a value cannot be read: {error}; put it in quotes if it is text."
        ) from error
    finally:
        if loader is not None:
            loader.dispose()


def _check(node: Node, opened: set[int], sizes: dict[int, int]) -> int:
    """How many values `node` stands for; refuses what PyYAML lets pass."""
    if isinstance(node, ScalarNode):
        return 1
    line = node.start_mark.line + 1
    if id(node) in opened:
        raise UnreadableFileError("this value contains itself.", line)
    if id(node) not in sizes:
        opened.add(id(node))
        if isinstance(node, MappingNode):
            _refuse_duplicates(node)
            children = [child for pair in node.value for child in pair]
        else:
            children = node.value
        sizes[id(node)] = 1 + sum(_check(child, opened, sizes) for child in children)
        opened.remove(id(node))
    if sizes[id(node)] > MOST_VALUES:
        raise UnreadableFileError(f"aliases make this stand for {sizes[id(node)]:,} values.", line)
    return sizes[id(node)]


def _refuse_duplicates(node: MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if (key.tag, key.value) in seen:
                raise UnreadableFileError(
                    f"the key {key.value!r} stands there twice.", key.start_mark.line + 1
                )
            seen.add((key.tag, key.value))


def plain(value: Any) -> Any:
    """
    What `json.dumps(default=plain)` writes for a value that JSON has no form for.

    Known are pydantic models, dataclasses, dates and times, UUIDs, paths, enums, decimals, NumPy values.

    Raises:
        TypeError: There is no one obvious form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID | PurePath | Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"a {type(value).__name__} has no form in JSON: turn it into text, numbers, lists or dicts"
    )


# Line ends are written as they are given: translated ones would be other data on Windows.
WRITE_TEXT: dict[str, Any] = {"mode": "w", "encoding": "utf-8", "newline": "", "compression": "infer"}


class TextDataset(KedroTextDataset):  # type: ignore[misc]  # Kedro has no types
    """A text file as one string, exactly as it stands, without its byte order mark."""

    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {"open_args_save": WRITE_TEXT}

    def load(self) -> str:
        return read_text(self)

    def save(self, data: str) -> None:
        if not isinstance(data, str):
            raise TypeError(f"a text file takes a str, got {type(data).__name__}")
        KedroTextDataset.save.__wrapped__(self, data)  # Kedro wraps each method


class JSONDataset(KedroJSONDataset):  # type: ignore[misc]  # Kedro has no types
    """A JSON document; also saves pydantic models, dataclasses, dates, UUIDs, paths and NumPy values."""

    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {"open_args_save": WRITE_TEXT}

    def load(self) -> Any:
        return parse_json(read_text(self))

    def save(self, data: Any) -> None:
        self._save_args.setdefault("default", plain)
        KedroJSONDataset.save.__wrapped__(self, data)


class JSONLinesDataset(KedroJSONDataset):  # type: ignore[misc]  # Kedro has no types
    """
    One JSON value a line, as a list; blank lines are skipped.

    Saves any iterable of what `JSONDataset` takes, and a DataFrame as one object per row.
    `pandas.JSONDataset` with `load_args: {lines: true}` reads the same file as a DataFrame.
    """

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {"ensure_ascii": False}
    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {"open_args_save": WRITE_TEXT}

    def load(self) -> list[Any]:
        # Not `splitlines`, which also splits at characters that may stand inside a JSON string.
        lines = read_text(self).split("\n")
        return [_line(text, number) for number, text in enumerate(lines, 1) if text and not text.isspace()]

    def save(self, data: Iterable[Any]) -> None:
        options = {"default": plain, **self._save_args}
        path = str(self._get_save_path())
        with self._fs.open(path, **self._fs_open_args_save) as file:
            for value in _rows(data):
                file.write(_dumped(value, options) + "\n")
        self._invalidate_cache()


class YAMLDataset(KedroYAMLDataset):  # type: ignore[misc]  # Kedro has no types
    """A YAML document of plain data, by the rules of PyYAML's safe loader."""

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {"default_flow_style": False, "sort_keys": False}
    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {"open_args_save": WRITE_TEXT}

    def load(self) -> Any:

        return parse_yaml(read_text(self))

    def save(self, data: Any) -> None:
        import yaml

        # Kedro's default dumper writes tags for tuples and the like that no safe loader reads again.
        self._save_args.setdefault("Dumper", yaml.SafeDumper)
        KedroYAMLDataset.save.__wrapped__(self, data)


def parse_json(text: str) -> Any:
    """
    The value of a JSON text; NaN and Infinity, which Python writes, are read.

    Raises:
        UnreadableFileError: It is not JSON, nests too deeply, or has a key twice in one object.
    """
    if not text.strip():
        raise UnreadableFileError("the file is empty: JSON needs a value, at least `null`.")
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        what = f"{error.msg[0].lower()}{error.msg[1:]}".removesuffix(" at")
        raise UnreadableFileError(f"{what} at column {error.colno}", error.lineno) from error
    except RecursionError as error:
        raise UnreadableFileError("nested too deeply to be read.") from error
    except ValueError as error:
        raise UnreadableFileError(str(error)) from error
    return value


def _line(text: str, number: int) -> Any:
    try:
        return parse_json(text)
    except UnreadableFileError as error:
        raise UnreadableFileError(f"{error.reason}{_line_hint(text, number, error)}", number) from error


def _line_hint(text: str, number: int, error: UnreadableFileError) -> str:
    if error.reason.startswith("extra data"):
        return ": each line holds one JSON value; a second one begins there."
    if number == 1 and text.strip() in ("[", "{"):
        return ": each line holds one whole JSON value; give an indented document the suffix .json."
    return f" in {text.strip()[:60]!r}" if isinstance(error.__cause__, json.JSONDecodeError) else ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object; one of the values would be lost.")
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_unique)


def _rows(data: Any) -> Iterable[Any]:
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        from latent.catalog.tables import named_rows

        return named_rows(data).to_dict(orient="records")
    if hasattr(data, "to_frame") and hasattr(data, "index"):
        from latent.catalog.tables import has_named_rows

        if has_named_rows(data.index):
            return _rows(data.to_frame())
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise TypeError(f"a JSON Lines file takes a list of rows or a DataFrame, got {type(data).__name__}")
    return data


def _dumped(value: Any, options: dict[str, Any]) -> str:
    text = json.dumps(value, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        # A lone surrogate is not a character; as an escape it survives.
        text = json.dumps(value, **{**options, "ensure_ascii": True})
    return text

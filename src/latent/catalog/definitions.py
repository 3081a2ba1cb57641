"""What a catalog file says, in Kedro's form: the short form spelled out, types inferred from suffixes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any

from latent.errors import DatasetConfigError
from latent.errors.text import did_you_mean

TYPES: dict[str, dict[str, Any]] = {
    ".csv": {"type": "pandas.CSVDataset"},
    ".tsv": {"type": "pandas.CSVDataset", "load_args": {"sep": "\t"}, "save_args": {"sep": "\t"}},
    ".parquet": {"type": "pandas.ParquetDataset"},
    ".json": {"type": "json.JSONDataset"},
    ".jsonl": {"type": "latent.catalog.JSONLinesDataset"},
    ".ndjson": {"type": "latent.catalog.JSONLinesDataset"},
    ".yaml": {"type": "yaml.YAMLDataset"},
    ".yml": {"type": "yaml.YAMLDataset"},
    ".txt": {"type": "text.TextDataset"},
    ".md": {"type": "text.TextDataset"},
}
"""What a suffix stands for in the short form."""

# Formats that a path alone does not select: pickle runs code when it is read, the others need an extra.
_TYPED_BY_HAND = {
    ".pkl": "pickle.PickleDataset",
    ".pickle": "pickle.PickleDataset",
    ".xlsx": "pandas.ExcelDataset",
    ".xls": "pandas.ExcelDataset",
    ".feather": "pandas.FeatherDataset",
    ".h5": "pandas.HDFDataset",
    ".xml": "pandas.XMLDataset",
}
COMPRESSIONS = frozenset({".gz", ".bz2", ".xz"})
PATH_KEYS = ("filepath", "path", "filename")
"""The arguments that hold a path; the same as in a Kedro project."""
_TEXT = "latent.catalog.TextDataset"


def entries(raw: Mapping[Any, Any], file: str) -> dict[str, Any]:
    """
    The datasets of a catalog file by name, as they are written; `_names` hold YAML anchors and are left out.

    Raises:
        DatasetConfigError: A name is not a string, or an entry neither a path nor a mapping.
    """
    found: dict[str, Any] = {}
    for name, entry in raw.items():
        if not isinstance(name, str):
            raise DatasetConfigError(
                str(name), file, f"a dataset's name must be a string; write {str(name)!r} in quotes."
            )
        if name.startswith("_"):
            continue
        if not isinstance(entry, str | Mapping) or not entry:
            raise DatasetConfigError(
                name,
                file,
                f"expected a path or a mapping with a `type`, got {_what(entry)}. "
                "(An entry that only serves as a YAML anchor begins with an underscore.)",
            )
        found[name] = entry
    return found


def is_pattern(name: str) -> bool:
    """Whether `name` is a dataset factory, say `{region}_sales`."""
    return "{" in name


def spelled_out(name: str, entry: str | Mapping[str, Any], file: str) -> dict[str, Any]:
    """
    The entry in Kedro's form, with a `type`; paths stay as they are written.

    Raises:
        DatasetConfigError: The type is missing and does not follow from the suffix.
    """
    if isinstance(entry, str):
        return _from_path(name, entry, {}, file)
    config = deepcopy(dict(entry))
    if not all(isinstance(key, str) for key in config):
        raise DatasetConfigError(name, file, "its keys must be text.")
    if "type" in config:
        if not isinstance(config["type"], str) or not config["type"].strip("."):
            raise DatasetConfigError(name, file, f"its type must be text, got {_what(config['type'])}.")
        return config
    path = next((config.pop(key) for key in PATH_KEYS if isinstance(config.get(key), str)), None)
    if path is None:
        near = did_you_mean(next(iter(config)), ("type", *PATH_KEYS), "add `type:`, or write the path alone.")
        raise DatasetConfigError(name, file, f"it has neither a type nor a path: {near}")
    return _from_path(name, path, config, file)


def _from_path(name: str, path: str, config: dict[str, Any], file: str) -> dict[str, Any]:
    # A file's own name may hold brackets; a question mark also begins the query of a URL.
    if path.endswith("/") or "*" in path or ("?" in path and "://" not in path):
        return {**_folder(path), **config}
    return {"filepath": path, **_merged(_type_of(name, path, file), config)}


def _folder(path: str) -> dict[str, Any]:
    """A folder of text files, or of the files that a glob selects, each of the type of its suffix."""
    parts = path.split("/")
    fixed = next((at for at, part in enumerate(parts) if "*" in part or "?" in part), len(parts))
    folder = "/".join(parts[:fixed]) or "."
    pattern = "/".join(parts[fixed:])
    inner = TYPES.get(_suffix(pattern), {"type": _TEXT}) if pattern else {"type": _TEXT}
    config = {
        "type": "latent.catalog.FolderDataset",
        "path": folder.rstrip("/") or "/",
        "dataset": dict(inner),
    }
    return {**config, "pattern": pattern} if pattern else config


def _type_of(name: str, path: str, file: str) -> dict[str, Any]:
    suffix = _suffix(path)
    if known := TYPES.get(suffix):
        return known
    if by_hand := _TYPED_BY_HAND.get(suffix):
        raise DatasetConfigError(
            name, file, f"{path!r} needs its type in full: `type: {by_hand}` and `filepath: {path}`."
        )
    what = f"the suffix {suffix!r}" if suffix else f"{path!r}, which has no suffix,"
    hint = did_you_mean(suffix, TYPES, f"known are {', '.join(TYPES)}.")
    other = "Write `type:` and `filepath:` for other types, and a slash at the end of a folder."
    raise DatasetConfigError(name, file, f"{what} does not say what type it is: {hint} {other}")


def _suffix(path: str) -> str:
    plain = path.partition("?")[0] if "://" in path else path
    suffixes = [suffix.lower() for suffix in PurePosixPath(plain.replace("\\", "/")).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: {**base[key], **over[key]}
        for key in base.keys() & over.keys()
        if isinstance(base[key], Mapping) and isinstance(over[key], Mapping)
    }
    return {**base, **over, **both}


def _what(value: object) -> str:
    if value is None or value == "" or value == {}:
        return "nothing"
    return f"a {type(value).__name__} ({value!r:.60})"

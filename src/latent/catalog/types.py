"""From a type's name to its class, or to what must be installed for it."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = {
    "json.JSONDataset": "latent.catalog.JSONDataset",
    "pandas.CSVDataset": "latent.catalog.CSVDataset",
    "pandas.ExcelDataset": "latent.catalog.ExcelDataset",
    "pandas.ParquetDataset": "latent.catalog.ParquetDataset",
    "text.TextDataset": "latent.catalog.TextDataset",
    "yaml.YAMLDataset": "latent.catalog.YAMLDataset",
}
"""Kedro's names, and the subclasses that stand in for Kedro's classes."""

_PREFIXES = ("kedro.io.", "kedro_datasets.", "")  # Kedro's own order
# Packages whose module is called otherwise than the package itself.
_MODULES = {
    "beautifulsoup4": "bs4",
    "biopython": "Bio",
    "delta-spark": "delta",
    "google-cloud-bigquery": "google",
    "ibis-framework": "ibis",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "tables": "tables",
}


class UnknownTypeError(ValueError):
    """A dataset type that cannot be imported; the message says what to do."""


def short_name(type_name: str) -> str:
    """`type_name` as a catalog usually writes it, without Kedro's own package in front."""
    name = type_name.removeprefix("kedro_datasets.").removeprefix("kedro.io.")
    return next((kedro for kedro, own in OWN.items() if name == own), name)


def dataset_class(type_name: str) -> type[Any]:
    """
    The class that a catalog's `type` names.

    Raises:
        UnknownTypeError: There is none, it is not a dataset, or a package that it needs is missing.
    """
    from kedro.io.core import AbstractDataset

    name = OWN.get(type_name.removeprefix("kedro_datasets."), type_name)
    for prefix in _PREFIXES:
        module, _, class_name = (prefix + name).rpartition(".")
        if not module:
            continue
        found = _imported(module, class_name, type_name)
        if isinstance(found, type) and issubclass(found, AbstractDataset):
            return found
        if found is not None and prefix == _PREFIXES[-1]:
            raise UnknownTypeError(
                f"the type {type_name!r} is not a dataset: it must extend `AbstractDataset`."
            )
    raise UnknownTypeError(f"the type {type_name!r} is unknown: {_nearest(type_name)}")


def missing_extra(type_name: str, error: BaseException) -> str | None:
    """How to install the package whose absence `error` reports; None when it reports something else."""
    module = _missing_module(error)
    if module is None:
        return None
    group, _, class_name = short_name(type_name).rpartition(".")
    extra = f"{group}-{class_name}".lower()
    if _normal(module) in {_normal(name) for name in _modules_of_extra(extra)}:
        return f"it needs {module}, which is not installed: pip install 'kedro-datasets[{extra}]'"
    if protocol_package := _protocol_package(module):
        return f"its path needs {module}, which is not installed: pip install {protocol_package}"
    return None


def _imported(module: str, class_name: str, type_name: str) -> object | None:
    try:
        return getattr(import_module(module), class_name, None)
    except ImportError as error:
        # The module itself, or a package it would lie in: the next prefix may find it.
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            return None
        hint = missing_extra(type_name, error)
        raise UnknownTypeError(hint or f"the type {type_name!r} cannot be imported: {error}") from error


def _missing_module(error: BaseException | None) -> str | None:
    """The top-level package that an import in the chain of `error` did not find."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name.partition(".")[0]
        error = error.__cause__ or error.__context__
    return None


def _modules_of_extra(extra: str) -> Iterator[str]:
    """The modules that an extra of kedro-datasets brings, extras within it included."""
    for requirement in metadata.requires("kedro-datasets") or ():
        body, _, marker = requirement.partition(";")
        if not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker):
            continue
        match = re.match(r"[\w.-]+", body)
        package = match[0] if match else ""
        if _normal(package) != "kedro_datasets":
            yield _MODULES.get(package.lower(), package)
        elif inner := re.search(r"\[(.*?)\]", body):
            for name in inner[1].split(","):
                yield from _modules_of_extra(name.strip())


def _protocol_package(module: str) -> str | None:
    """`module` when it is what fsspec names as the package for one of its protocols."""
    from fsspec.registry import known_implementations  # type: ignore[import-untyped]

    for known in known_implementations.values():
        if known["class"].partition(".")[0] == module and module != "fsspec":
            return module
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _nearest(type_name: str) -> str:
    import kedro_datasets  # type: ignore[import-untyped]

    group, _, class_name = short_name(type_name).rpartition(".")
    groups = [module.name for module in pkgutil.iter_modules(kedro_datasets.__path__) if module.ispkg]
    known = [*OWN, "MemoryDataset", "CachedDataset"]
    if group in groups:
        known += [
            f"{group}.{name}" for name in getattr(import_module(f"kedro_datasets.{group}"), "__all__", ())
        ]
    else:
        known += [f"{name}.{class_name}" for name in groups]
    hint = did_you_mean(short_name(type_name), known, "")
    return hint or "use a type of kedro-datasets, say `pandas.CSVDataset`, or `module.Class` of your own."

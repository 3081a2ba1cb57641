"""Datasets: what a catalog file names, how it is loaded and saved, and the fingerprint of its content."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.catalog.catalog import Catalog as Catalog
    from latent.catalog.dataset import DatasetInfo as DatasetInfo
    from latent.catalog.files import JSONDataset as JSONDataset
    from latent.catalog.files import JSONLinesDataset as JSONLinesDataset
    from latent.catalog.files import TextDataset as TextDataset
    from latent.catalog.files import YAMLDataset as YAMLDataset
    from latent.catalog.folders import FolderDataset as FolderDataset
    from latent.catalog.tables import CSVDataset as CSVDataset
    from latent.catalog.tables import ExcelDataset as ExcelDataset
    from latent.catalog.tables import ParquetDataset as ParquetDataset

_HOME = {
    "CSVDataset": "tables",
    "Catalog": "catalog",
    "DatasetInfo": "dataset",
    "ExcelDataset": "tables",
    "FolderDataset": "folders",
    "JSONDataset": "files",
    "JSONLinesDataset": "files",
    "ParquetDataset": "tables",
    "TextDataset": "files",
    "YAMLDataset": "files",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)

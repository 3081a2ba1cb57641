"""Kedro's own form: what works in a Kedro project's catalog works here, and means the same."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import AbstractDataset, DataCatalog

from latent.errors import DatasetConfigError, DatasetLoadError


class Doubled(AbstractDataset):
    """A dataset that a user might write: no version, no file system of its own."""

    def __init__(self, filepath: str, factor: int = 2) -> None:
        self._filepath, self._factor = filepath, factor

    def load(self) -> str:
        return Path(self._filepath).read_text() * self._factor

    def save(self, data: str) -> None:
        with Path(self._filepath).open("w") as file:
            file.write(data)
            if data == "fail":
                raise RuntimeError("half-written")

    def _describe(self) -> dict:
        return {"filepath": self._filepath}


class SuffixAdding(Doubled):
    """Writes beside the path it was given, as NumPy does."""

    def save(self, data: str) -> None:
        Path(f"{self._filepath}.extra").write_text(data)


@pytest.fixture(autouse=True)
def close_databases():
    """Kedro keeps the connections of its SQL datasets for as long as the process lives."""
    yield
    if "kedro_datasets.pandas.sql_dataset" in sys.modules:
        from kedro_datasets.pandas import SQLTableDataset

        for engine in SQLTableDataset.engines.values():
            engine.dispose()
        SQLTableDataset.engines.clear()


@pytest.mark.parametrize("prefix", ["", "kedro_datasets."])
@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("json.JSONDataset", {"a": [1]}),
        ("text.TextDataset", "text"),
        ("yaml.YAMLDataset", {"a": [1]}),
        ("pickle.PickleDataset", {1, 2}),
    ],
)
def test_kedros_types_work_with_and_without_their_package(make_catalog, prefix, type_name, value):
    catalog = make_catalog(f"x: {{type: {prefix}{type_name}, filepath: data/x.bin}}")
    catalog.save("x", value)
    assert catalog.load_data("x") == value
    assert catalog.describe("x").type == type_name


def test_same_entry_gives_the_same_data_to_kedro(make_catalog):
    text = """
        prices:
          type: pandas.CSVDataset
          filepath: {root}/data/prices.csv
          load_args: {{sep: ";", dtype: {{id: str}}}}
          save_args: {{sep: ";", index: false}}
    """
    catalog = make_catalog(text.format(root="."))
    catalog.save("prices", pd.DataFrame({"id": ["01", "2"], "price": [0.5, 1.5]}))
    entry = dict(catalog.config["prices"])
    entry["filepath"] = str(catalog._workspace.root / "data/prices.csv")
    kedros = DataCatalog.from_config({"prices": entry}).load("prices")
    pd.testing.assert_frame_equal(catalog.load_data("prices"), kedros)
    assert kedros["id"].tolist() == ["01", "2"]


def test_full_module_path_names_kedros_own_class(make_catalog):
    catalog = make_catalog(
        "x: {type: kedro_datasets.json.json_dataset.JSONDataset, filepath: data/x.json}",
        {"data/x.json": '{"a": 1, "a": 2}'},
    )
    assert catalog.load_data("x") == {"a": 2}  # the last of two equal keys wins in Kedro's


def test_memory_dataset_lives_as_long_as_the_catalog(make_catalog):
    catalog = make_catalog("x: {type: MemoryDataset}")
    assert not catalog.exists("x")
    with pytest.raises(DatasetLoadError, match="has not been saved yet"):
        catalog.load_data("x")
    catalog.save("x", {"a": 1})
    assert catalog.load_data("x") == {"a": 1}
    assert catalog.describe("x").path is None


def test_cached_dataset_reads_its_file_once_and_writes_through(make_catalog):
    catalog = make_catalog(
        "x: {type: CachedDataset, dataset: {type: json.JSONDataset, filepath: data/x.json}}"
    )
    catalog.save("x", 1)
    file = catalog._workspace.root / "data/x.json"
    assert file.read_text() == "1"
    file.write_text("2")
    assert catalog.load_data("x") == 1


def test_partitions_of_kedro_load_and_save(make_catalog):
    catalog = make_catalog(
        """
        parts:
          type: partitions.PartitionedDataset
          path: data/parts
          dataset: {type: pandas.CSVDataset}
          filename_suffix: .csv
        """
    )
    catalog.save("parts", {"a": pd.DataFrame({"n": [1]}), "sub/b": lambda: pd.DataFrame({"n": [2]})})
    parts = catalog.load_data("parts")
    assert {name: load()["n"].tolist() for name, load in parts.items()} == {"a": [1], "sub/b": [2]}


def test_versioned_dataset_keeps_every_save_and_loads_the_newest(make_catalog):
    catalog = make_catalog("x: {type: json.JSONDataset, filepath: data/x.json, versioned: true}")
    assert not catalog.exists("x")
    assert catalog.describe("x").path == "data/x.json"
    for value in range(5):
        catalog.save("x", value)
    assert catalog.load_data("x") == 4
    versions = sorted((catalog._workspace.root / "data/x.json").iterdir())
    assert [version.joinpath("x.json").read_text() for version in versions] == ["0", "1", "2", "3", "4"]
    assert catalog.describe("x").path == f"data/x.json/{versions[-1].name}/x.json"


def test_fsspec_paths_lead_to_other_file_systems(make_catalog):
    catalog = make_catalog("x: memory://latent-test/x.json\ndocs: memory://latent-test/docs/*.md")
    catalog.save("x", [1])
    catalog.save("docs", {"a.md": "A"})
    assert catalog.load_data("x") == [1]
    assert {name: load() for name, load in catalog.load_data("docs").items()} == {"a.md": "A"}
    info = catalog.describe("x")
    assert (info.path, info.exists, info.size_bytes) == ("memory://latent-test/x.json", True, None)


def test_credentials_are_taken_from_their_file_when_needed(make_catalog):
    catalog = make_catalog(
        """
        plain: data/plain.json
        table: {type: pandas.SQLTableDataset, table_name: t, credentials: db}
        wrong: {type: pandas.SQLTableDataset, table_name: t, credentials: dbs}
        """,
        {"config/credentials.yaml": "db: {con: 'sqlite:///${LATENT_WORKSPACE}/data/t.db'}", "data/.keep": ""},
    )
    catalog.save("plain", 1)
    catalog.save("table", pd.DataFrame({"n": [1, 2]}))
    assert catalog.load_data("table")["n"].tolist() == [1, 2]
    with pytest.raises(
        DatasetConfigError, match=r"the credentials 'dbs' are not in config/credentials.*'db'\?"
    ):
        catalog.load_data("wrong")


def test_table_of_a_database_has_a_fingerprint_of_its_rows(make_catalog):
    catalog = make_catalog(
        """
        table:
          type: pandas.SQLTableDataset
          table_name: t
          credentials: db
          save_args: {if_exists: replace}
        """,
        {"config/credentials.yaml": "db: {con: 'sqlite:///${LATENT_WORKSPACE}/data/t.db'}", "data/.keep": ""},
    )
    prints = []
    for rows in ([1, 2], [1, 3], [1, 2]):
        catalog.save("table", pd.DataFrame({"n": rows}))
        prints.append(catalog.fingerprint("table"))
    assert prints[0] == prints[2] != prints[1]


def test_validator_of_an_entry_is_applied(make_catalog, caplog):
    catalog = make_catalog(
        f"""
        strict: {{filepath: data/x.json, validator: {__name__}.at_least_one}}
        lax: {{filepath: data/x.json, validator: {{class: {__name__}.at_least_one, severity: warn}}}}
        """,
        {"data/x.json": "[]"},
    )
    with pytest.raises(DatasetLoadError, match="nothing in it"):
        catalog.load_data("strict")
    assert catalog.load_data("lax") == []
    assert "does not pass" in caplog.text
    catalog.save("strict", [1])
    assert catalog.load_data("strict") == [1]


def at_least_one(data: list) -> list:
    if not data:
        raise ValueError("nothing in it")
    return data


def test_own_dataset_class_is_used_and_saved_in_one_step(make_catalog):
    catalog = make_catalog(f"x: {{type: {__name__}.Doubled, filepath: data/x.txt, factor: 3}}")
    (catalog._workspace.root / "data").mkdir()
    catalog.save("x", "ab")
    assert catalog.load_data("x") == "ababab"
    with pytest.raises(Exception, match="half-written"):
        catalog.save("x", "fail")
    assert catalog.load_data("x") == "ababab"


def test_dataset_that_writes_beside_its_path_still_works(make_catalog):
    catalog = make_catalog(f"x: {{type: {__name__}.SuffixAdding, filepath: data/x.txt}}")
    catalog.save("x", "ab")
    assert [file.name for file in (catalog._workspace.root / "data").iterdir()] == ["x.txt.extra"]

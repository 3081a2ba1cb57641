"""The short form, Kedro's form, and what is refused of both."""

import pytest

from latent.catalog.definitions import spelled_out
from latent.errors import DatasetConfigError


def definition(entry):
    return spelled_out("data", entry, "flows/answers/catalog.yaml")


@pytest.mark.parametrize(
    ("path", "type_name"),
    [
        ("data/a.csv", "pandas.CSVDataset"),
        ("data/A.CSV", "pandas.CSVDataset"),
        ("data/a.csv.gz", "pandas.CSVDataset"),
        ("data/v1.2/a.b.csv", "pandas.CSVDataset"),
        ("s3://bucket/a.csv", "pandas.CSVDataset"),
        ("https://example.org/a.csv?raw=1", "pandas.CSVDataset"),
        ("data/a.tsv", "pandas.CSVDataset"),
        ("data/a.parquet", "pandas.ParquetDataset"),
        ("data/a.json", "json.JSONDataset"),
        ("data/a.jsonl", "latent.catalog.JSONLinesDataset"),
        ("data/a.ndjson", "latent.catalog.JSONLinesDataset"),
        ("data/a.yaml", "yaml.YAMLDataset"),
        ("data/a.yml", "yaml.YAMLDataset"),
        ("data/a.txt", "text.TextDataset"),
        ("data/a.md", "text.TextDataset"),
        ("data/a[1].md", "text.TextDataset"),
    ],
)
def test_type_of_a_bare_path_follows_from_its_suffix(path, type_name):
    config = definition(path)
    assert (config["type"], config["filepath"]) == (type_name, path)


@pytest.mark.parametrize(
    ("path", "folder", "pattern", "inner"),
    [
        ("data/docs/", "data/docs", None, "latent.catalog.TextDataset"),
        ("data/docs/*.md", "data/docs", "*.md", "text.TextDataset"),
        ("data/docs/**/*.md", "data/docs", "**/*.md", "text.TextDataset"),
        ("data/*/notes/*", "data", "*/notes/*", "latent.catalog.TextDataset"),
        ("data/parts/part-?.csv", "data/parts", "part-?.csv", "pandas.CSVDataset"),
        ("*.md", ".", "*.md", "text.TextDataset"),
    ],
)
def test_slash_or_glob_is_a_folder_of_files(path, folder, pattern, inner):
    config = definition(path)
    assert config["type"] == "latent.catalog.FolderDataset"
    assert (config["path"], config.get("pattern"), config["dataset"]["type"]) == (folder, pattern, inner)


def test_mapping_without_a_type_takes_it_from_the_suffix_and_keeps_its_arguments():
    config = definition({"filepath": "data/a.tsv", "load_args": {"dtype": "str"}, "versioned": True})
    assert config == {
        "type": "pandas.CSVDataset",
        "filepath": "data/a.tsv",
        "load_args": {"sep": "\t", "dtype": "str"},
        "save_args": {"sep": "\t"},
        "versioned": True,
    }


def test_mapping_with_a_type_stays_as_it_is():
    entry = {"type": "pandas.ExcelDataset", "filepath": "data/a.xlsx", "load_args": {"sheet_name": "x"}}
    assert definition(entry) == entry


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("data/a.pkl", "'data/a.pkl' needs its type in full: `type: pickle.PickleDataset`"),
        ("data/a.xlsx", "`type: pandas.ExcelDataset` and `filepath: data/a.xlsx`"),
        ("data/a.jsn", "the suffix '.jsn' does not say what type it is: did you mean '.json'?"),
        ("data/a", "'data/a', which has no suffix, does not say what type it is: known are .csv,"),
        ({"typ": "pandas.CSVDataset"}, "neither a type nor a path: did you mean 'type'?"),
        ({"type": 3, "filepath": "a.csv"}, "its type must be text, got a int (3)"),
        ({"type": "", "filepath": "a.csv"}, "its type must be text, got nothing"),
        ({1: "a.csv"}, "its keys must be text"),
    ],
)
def test_entry_whose_type_is_unclear_is_refused_with_what_to_write(entry, message):
    with pytest.raises(DatasetConfigError) as caught:
        definition(entry)
    assert str(caught.value).startswith("Dataset 'data' in flows/answers/catalog.yaml cannot be used: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("catalog", "message"),
    [
        ("numbers: 3", "expected a path or a mapping with a `type`, got a int (3)"),
        ("nothing:", "expected a path or a mapping with a `type`, got nothing"),
        ("listed: [a.csv]", "got a list (['a.csv'])"),
        ("2024: data/a.csv", "a dataset's name must be a string; write '2024' in quotes"),
    ],
)
def test_catalog_with_an_entry_that_is_no_dataset_is_refused_on_loading(make_catalog, catalog, message):
    with pytest.raises(DatasetConfigError) as caught:
        make_catalog(catalog)
    assert message in str(caught.value)


def test_anchors_under_underscored_names_are_no_datasets(make_catalog):
    catalog = make_catalog(
        """
        _csv: &csv
          type: pandas.CSVDataset
          load_args: {sep: ";"}
        prices:
          <<: *csv
          filepath: data/prices.csv
        """,
        {"data/prices.csv": "a;b\n1;2\n"},
    )
    assert catalog.names() == ["prices"]
    assert "_csv" not in catalog
    assert catalog.load_data("prices").to_dict("records") == [{"a": 1, "b": 2}]

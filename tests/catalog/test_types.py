"""Types that cannot be used: misspelled, not installed, not a dataset, called with the wrong arguments."""

import sys

import pytest

from latent.catalog.types import dataset_class, missing_extra, short_name
from latent.errors import DatasetConfigError, DatasetLoadError


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "{type: pandas.CsvDataset, filepath: a}",
            "'pandas.CsvDataset' is unknown: did you mean 'pandas.CSVDataset'?",
        ),
        ("{type: pandas.CSVDataSet, filepath: a}", "did you mean 'pandas.CSVDataset'?"),
        ("{type: panda.CSVDataset, filepath: a}", "did you mean 'pandas.CSVDataset'?"),
        ("{type: jsn.JSONDataset, filepath: a}", "did you mean 'json.JSONDataset'?"),
        ("{type: MemoryDatset}", "did you mean 'MemoryDataset'?"),
        ("{type: no_such_module.Thing}", "use a type of kedro-datasets"),
        ("{type: collections.OrderedDict}", "the type 'collections.OrderedDict' is not a dataset"),
        (
            "{type: json.JSONDataset, filepath: a, load_arg: {}}",
            "its type takes no 'load_arg': it takes filepath",
        ),
        ("{type: pandas.CSVDataset, filepath: a, load_arg: {}}", "no 'load_arg': did you mean 'load_args'?"),
        ("{type: json.JSONDataset}", "missing 1 required keyword-only argument: 'filepath'"),
    ],
)
def test_type_that_cannot_be_used_is_explained(make_catalog, entry, message):
    catalog = make_catalog(f"x: {entry}")
    with pytest.raises((DatasetConfigError, DatasetLoadError)) as caught:
        catalog.save("x", "value")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_extra_names_the_command_that_installs_it(make_catalog, monkeypatch):
    """`polars` is made absent: an entry of None in `sys.modules` is how Python says so."""
    monkeypatch.setitem(sys.modules, "polars", None)
    for name in [name for name in sys.modules if name.startswith("kedro_datasets.polars")]:
        monkeypatch.delitem(sys.modules, name)
    catalog = make_catalog("x: {type: polars.CSVDataset, filepath: data/x.csv}", {"data/x.csv": "a\n1\n"})
    with pytest.raises(DatasetConfigError) as caught:
        catalog.load_data("x")
    assert "it needs polars, which is not installed: pip install 'kedro-datasets[polars-csvdataset]'" in str(
        caught.value
    )


def test_package_that_pandas_misses_while_loading_names_the_extra(make_catalog, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    catalog = make_catalog(
        "x: {type: pandas.ExcelDataset, filepath: data/x.xlsx}", {"data/x.xlsx": b"PK\x03\x04 no workbook"}
    )
    with pytest.raises(DatasetLoadError) as caught:
        catalog.load_data("x")
    assert "pip install 'kedro-datasets[pandas-exceldataset]'" in str(caught.value)


def test_protocol_without_its_package_names_the_package(make_catalog, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    catalog = make_catalog("x: s3://bucket/x.json")
    with pytest.raises(DatasetConfigError) as caught:
        catalog.load_data("x")
    assert str(caught.value).endswith("its path needs s3fs, which is not installed: pip install s3fs")


def test_broken_install_does_not_look_like_a_missing_one():
    broken = ModuleNotFoundError("No module named 'polars_internal'", name="polars_internal")
    assert missing_extra("polars.CSVDataset", broken) is None
    absent = ModuleNotFoundError("No module named 'polars'", name="polars")
    assert "kedro-datasets[polars-csvdataset]" in (missing_extra("polars.CSVDataset", absent) or "")
    assert missing_extra("polars.CSVDataset", ImportError("cannot import name 'x' from 'polars'")) is None


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("kedro_datasets.pandas.CSVDataset", "pandas.CSVDataset"),
        ("latent.catalog.CSVDataset", "pandas.CSVDataset"),
        ("kedro.io.MemoryDataset", "MemoryDataset"),
        ("latent.catalog.JSONLinesDataset", "latent.catalog.JSONLinesDataset"),
    ],
)
def test_types_are_shown_as_a_catalog_writes_them(name, short):
    assert short_name(name) == short


def test_our_classes_are_kedros():
    from kedro_datasets.json import JSONDataset

    assert issubclass(dataset_class("json.JSONDataset"), JSONDataset)
    assert dataset_class("kedro_datasets.json.JSONDataset") is dataset_class("json.JSONDataset")

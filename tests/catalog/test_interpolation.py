"""What a Kedro project's catalog fills in: templates of the file, and values for all catalogs."""

from __future__ import annotations

import pytest

from latent.errors import ConfigError, DatasetConfigError

GLOBALS = {"config/globals.yml": "data_dir: data\nfolders: {raw: raw/today}\nnumber: 3\n"}


@pytest.mark.parametrize(
    ("template", "path", "written"),
    [
        ("_base: data", "${_base}/a.csv", "data/a.csv"),
        ("_base: data\n_raw: ${_base}/raw", "${_raw}/a.csv", "data/raw/a.csv"),
        ("_paths: {raw: data/raw}", "${_paths.raw}/a.csv", "data/raw/a.csv"),
        ("", "${globals:data_dir}/a.csv", "data/a.csv"),
        ("", "${globals:folders.raw}/${globals: number}.csv", "raw/today/3.csv"),
        ("", "${globals:nothing, data/other}/a.csv", "data/other/a.csv"),
        ("_base: ${globals:data_dir}", "${_base}/${NOT_SET:b}.csv", "data/b.csv"),
        ("", "data/$${_base}.csv", "data/${_base}.csv"),
    ],
)
@pytest.mark.parametrize("form", ["a: {path}", "a: {{type: pandas.CSVDataset, filepath: {path}}}"])
def test_a_path_is_filled_in(make_catalog, template, path, written, form):
    quoted = f'"{path}"'
    catalog = make_catalog(f"{template}\n{form.format(path=quoted)}\n", GLOBALS)
    catalog.save("a", [{"n": 1}])
    assert catalog.dataset("a").path == written


def test_a_template_may_be_a_mapping_and_stand_in_the_shared_catalog(make_catalog):
    files = {"config/catalog.yaml": "_csv: {sep: ';', decimal: ','}\n"}
    catalog = make_catalog("a: {filepath: data/a.csv, load_args: '${_csv}', save_args: '${_csv}'}\n", files)
    catalog.save("a", [{"n": 1.5, "m": 2}])
    assert catalog.load_data("a").to_dict("records") == [{"n": 1.5, "m": 2}]
    assert catalog.config["a"]["load_args"] == {"sep": ";", "decimal": ","}


def test_factories_are_filled_in(make_catalog):
    catalog = make_catalog("_base: data\n'{name}_table': '${_base}/{name}.csv'\n")
    assert catalog.dataset("cities_table").path == "data/cities.csv"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("${_bsae}/a.csv", "there is no '_bsae' in the catalog: did you mean '_base'"),
        (
            "${globals:data_dri}/a.csv",
            "there is no 'data_dri' in config/globals.yml: did you mean 'data_dir'",
        ),
        ("${runtime_params:folder, raw}/a.csv", "Kedro's interpolation, only"),
        ("${oc.env:BASE, data}/a.csv", "Kedro's interpolation, only"),
        ("${paths.raw}/a.csv", "Kedro's interpolation, only"),
        ("${_loop}/a.csv", "stands for itself"),
        ("${_map}/a.csv", "stands for a dict"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_by_name(make_catalog, path, message):
    with pytest.raises(DatasetConfigError, match=message):
        make_catalog(f"_base: data\n_loop: '${{_loop}}'\n_map: {{a: 1}}\na: '{path}'\n", GLOBALS)


def test_an_environment_variable_may_begin_with_an_underscore(make_catalog, monkeypatch):
    monkeypatch.setenv("_BASE_OF_TEST", "data/env")
    assert make_catalog("a: ${_BASE_OF_TEST}/a.csv\n").dataset("a").path == "data/env/a.csv"


@pytest.mark.parametrize("text", ["${globals:x}", "${runtime_params:x, 3}", "${oc.env:X, y}"])
def test_parameters_refuse_kedros_interpolation(make_workspace, text):
    from latent.config import load_yaml

    file = make_workspace({"config/global.yaml": f"a: {text}\n"}).global_parameters_file
    with pytest.raises(ConfigError, match=r"global.yaml:1:4: .*Kedro's interpolation"):
        load_yaml(file)

"""Which dataset a name stands for: own, shared, inherited, other flows', made by a factory."""

import pickle

import pytest

from latent.catalog import Catalog
from latent.errors import ConfigError, DatasetConfigError, DatasetNotFoundError


def test_unknown_name_names_the_file_and_the_nearest_name(make_catalog):
    catalog = make_catalog("questions: data/q.jsonl")
    with pytest.raises(DatasetNotFoundError) as caught:
        catalog.load_data("question")
    assert str(caught.value) == (
        "Dataset 'question' is not in flows/answers/catalog.yaml: did you mean 'questions'?"
    )
    assert isinstance(caught.value, KeyError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_flow_without_a_catalog_file_has_no_datasets(workspace):
    catalog = Catalog.load(workspace, flow_name="lonely", folder=None)
    assert catalog.names() == []
    with pytest.raises(DatasetNotFoundError, match=r"'x' is not in config/catalog\.yaml"):
        catalog.save("x", 1)


def test_dotted_name_is_another_flows_dataset(make_catalog):
    catalog = make_catalog(
        "mine: data/mine.json",
        {
            "flows/upstream/flow.py": "",
            "flows/upstream/catalog.yaml": "chunks: data/chunks.json",
            "data/chunks.json": "[1, 2]",
        },
    )
    assert "upstream.chunks" in catalog
    assert catalog.load_data("upstream.chunks") == [1, 2]
    assert catalog.describe("upstream.chunks").flow == "upstream"
    with pytest.raises(DatasetNotFoundError, match=r"'chunk' is not in flows/upstream.*'chunks'\?"):
        catalog.load_data("upstream.chunk")


def test_name_that_only_another_flow_has_is_suggested_with_its_flow(make_catalog):
    catalog = make_catalog(
        "", {"flows/upstream/flow.py": "", "flows/upstream/catalog.yaml": "chunks: data/chunks.json"}
    )
    with pytest.raises(DatasetNotFoundError, match=r"did you mean 'upstream\.chunks'\?"):
        catalog.load_data("chunks")


def test_own_dotted_name_wins_over_another_flow(make_catalog):
    catalog = make_catalog(
        "upstream.chunks: data/own.json",
        {
            "flows/upstream/flow.py": "",
            "flows/upstream/catalog.yaml": "chunks: data/other.json",
            "data/own.json": '"own"',
            "data/other.json": '"other"',
        },
    )
    assert catalog.load_data("upstream.chunks") == "own"


def test_flow_may_name_itself(make_catalog):
    catalog = make_catalog("mine: data/mine.json", {"data/mine.json": "1"})
    assert catalog.load_data("answers.mine") == 1


def test_own_entry_wins_over_the_shared_one(make_catalog):
    catalog = make_catalog(
        "a: data/own.json",
        {
            "config/catalog.yaml": "a: data/shared.json\nb: data/shared.json",
            "data/own.json": '"own"',
            "data/shared.json": '"shared"',
        },
    )
    assert (catalog.load_data("a"), catalog.load_data("b")) == ("own", "shared")
    assert catalog.names() == ["a", "b"]
    assert catalog.describe("b").file == "config/catalog.yaml"


def test_flow_without_a_folder_inherits_the_catalog_of_the_run_it_is_called_in(make_catalog):
    outer = make_catalog("kept: {type: MemoryDataset}\nname.with.dots: data/x.json")
    inner = Catalog.load(outer._workspace, flow_name="inner", folder=None, inherited=outer)
    outer.save("kept", [1])
    assert inner.load_data("kept") == [1]
    assert inner.names() == ["kept", "name.with.dots"]
    assert inner.config == outer.config
    with pytest.raises(DatasetNotFoundError, match=r"flows/answers/catalog\.yaml: did you mean 'kept'"):
        inner.load_data("kep")


def test_flow_with_a_folder_does_not_see_its_callers_datasets(make_catalog, make_workspace):
    outer = make_catalog("mine: data/x.json")
    workspace = make_workspace({"flows/other/flow.py": ""})
    inner = Catalog.load(workspace, flow_name="other", folder=workspace.flow_folder("other"), inherited=outer)
    assert "mine" not in inner
    assert "answers.mine" in inner


def test_factory_makes_datasets_of_the_names_that_fit_it(make_catalog):
    catalog = make_catalog(
        """
        "{region}_sales":
          type: json.JSONDataset
          filepath: data/{region}/sales.json
        "{name}_notes": data/notes/{name}.md
        """,
        {"data/eu/sales.json": "7", "data/notes/eu.md": "hello"},
    )
    assert catalog.load_data("eu_sales") == 7
    assert catalog.load_data("eu_notes") == "hello"
    assert catalog.names() == []
    assert "eu_sales" in catalog
    assert "sales" not in catalog


def test_most_specific_factory_wins_and_the_catch_all_comes_last(make_catalog, caplog):
    catalog = make_catalog(
        """
        "{any}": data/any/{any}.json
        "raw_{name}": data/raw/{name}.json
        "raw_eu_{name}": data/eu/{name}.json
        """
    )
    paths = [catalog.describe(name).path for name in ("raw_eu_x", "raw_x", "x")]
    assert paths == ["data/eu/x.json", "data/raw/x.json", "data/any/x.json"]
    assert caplog.records == []


def test_other_flows_dataset_is_not_swallowed_by_a_catch_all(make_catalog):
    catalog = make_catalog(
        '"{any}": data/any/{any}.json',
        {
            "flows/upstream/flow.py": "",
            "flows/upstream/catalog.yaml": "chunks: data/chunks.json",
        },
    )
    assert catalog.describe("upstream.chunks").path == "data/chunks.json"


def test_factory_with_an_unknown_placeholder_is_refused(make_catalog):
    catalog = make_catalog('"{region}_sales": data/{regoin}.json')
    with pytest.raises(DatasetConfigError, match="regoin"):
        catalog.load_data("eu_sales")


def test_two_catalog_files_are_refused(make_catalog):
    with pytest.raises(ConfigError, match=r"catalog\.yaml and flows/answers/catalog\.yml"):
        make_catalog("a: data/a.json", {"flows/answers/catalog.yml": "b: data/b.json"})


def test_kedros_suffix_yml_is_read_too(workspace, make_workspace):
    workspace = make_workspace({"flows/a/catalog.yml": "b: data/b.json"})
    assert Catalog.load(workspace, flow_name="a", folder=workspace.flow_folder("a")).names() == ["b"]


def test_config_is_as_written_with_variables_filled_in_and_secrets_masked(make_catalog, monkeypatch):
    monkeypatch.setenv("FOLDER", "data/today")
    catalog = make_catalog(
        """
        raw: ${FOLDER}/raw.csv
        remote:
          type: pandas.CSVDataset
          filepath: s3://bucket/a.csv
          credentials: {key: AKIDENTITY, secret: very-secret-value}
        copied:
          type: pandas.CSVDataset
          filepath: s3://user:hunter2hunter2@bucket/a.csv
        """
    )
    assert catalog.config["raw"] == "data/today/raw.csv"
    assert "very-secret-value" not in str(catalog.config)
    assert "hunter2" not in str(catalog.config)


def test_catalog_is_read_again_in_another_process(make_catalog):
    catalog = make_catalog("a: data/a.json", {"data/a.json": "1"})
    copy = pickle.loads(pickle.dumps(catalog))
    assert (copy.names(), copy.load_data("a")) == (["a"], 1)

"""Paths start at the workspace and do not lead out of it."""

import os
from pathlib import Path

import pytest

from latent.catalog.paths import local_path
from latent.errors import DatasetConfigError

ROOT = Path("/root-of-it").absolute()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("data/a.csv", ROOT / "data/a.csv"),
        ("./data/a.csv", ROOT / "data/a.csv"),
        ("file://data/a.csv", ROOT / "data/a.csv"),
        ("file:///elsewhere/a.csv", Path("/elsewhere/a.csv")),
        ("/elsewhere/a.csv", Path("/elsewhere/a.csv")),
        ("data/a::b#c%20?.csv", ROOT / "data/a::b#c%20?.csv"),
        ("~/a.csv", Path.home() / "a.csv"),
        ("s3://bucket/a.csv", None),
        ("memory://a.csv", None),
        ("https://example.org/a.csv", None),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="absolute paths are written otherwise on Windows")
def test_written_path_is_taken_from_the_root(written, path):
    assert local_path(written, ROOT) == path


@pytest.mark.parametrize("access", ["load_data", "exists", "fingerprint", "describe"])
@pytest.mark.parametrize(
    "path", ["../outside.json", "data/../../outside.json", "{outside}", "file://{outside}"]
)
def test_path_out_of_the_workspace_is_refused_at_every_access(make_catalog, tmp_path, access, path):
    outside = tmp_path / "outside.json"
    outside.write_text("1")
    catalog = make_catalog(f"x: {path.format(outside=outside)}")
    with pytest.raises(DatasetConfigError, match=r"lies outside of the workspace.*allow_outside_paths"):
        getattr(catalog, access)("x")
    with pytest.raises(DatasetConfigError, match="lies outside of the workspace"):
        catalog.save("x", 2)
    assert outside.read_text() == "1"


def test_dots_that_stay_inside_are_fine(make_catalog):
    catalog = make_catalog("x: data/../data/x.json\ndocs: data/sub/../docs/*.md", {"data/docs/a.md": "A"})
    catalog.save("x", 1)
    assert catalog.load_data("x") == 1
    assert list(catalog.load_data("docs")) == ["a.md"]


def test_outside_paths_are_read_and_written_where_the_setting_allows_it(make_catalog, tmp_path):
    catalog = make_catalog(
        "x: ../outside.json", {"config/latent.toml": "[catalog]\nallow_outside_paths = true\n"}
    )
    catalog.save("x", 1)
    assert (tmp_path / "outside.json").read_text() == "1"
    assert catalog.describe("x").path == str(tmp_path / "outside.json")


@pytest.mark.parametrize(
    "entry",
    [
        "data/link.json",
        "data/folder/x.json",
        "data/folder/",
        "data/linked/*.json",
        "{type: partitions.PartitionedDataset, path: data/linked, dataset: json.JSONDataset}",
        "{type: CachedDataset, dataset: {type: json.JSONDataset, filepath: data/link.json}}",
        "{type: json.JSONDataset, filepath: data/folder/x.json, versioned: true}",
    ],
)
def test_link_out_of_the_workspace_is_refused(make_catalog, tmp_path, entry):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.json").write_text("1")
    catalog = make_catalog(f"x: {entry}", {"data/linked/.keep": ""})
    data = catalog._workspace.root / "data"
    (data / "link.json").symlink_to(outside / "x.json")
    (data / "folder").symlink_to(outside, target_is_directory=True)
    (data / "linked" / "y.json").symlink_to(outside / "x.json")
    with pytest.raises(DatasetConfigError, match=r"outside of the workspace \(through a link\)"):
        catalog.fingerprint("x")
    with pytest.raises(DatasetConfigError, match=r"outside of the workspace \(through a link\)"):
        catalog.load_data("x")


def test_link_that_is_laid_later_is_seen(make_catalog, tmp_path):
    catalog = make_catalog("x: data/x.json", {"data/x.json": "1"})
    assert catalog.load_data("x") == 1
    file = catalog._workspace.root / "data" / "x.json"
    (tmp_path / "secret.json").write_text("2")
    file.unlink()
    file.symlink_to(tmp_path / "secret.json")
    with pytest.raises(DatasetConfigError, match="through a link"):
        catalog.load_data("x")


def test_link_within_the_workspace_is_followed_and_stays_a_link_when_saved(make_catalog):
    catalog = make_catalog("x: data/x.json", {"data/real.json": "1"})
    link = catalog._workspace.root / "data" / "x.json"
    link.symlink_to("real.json")
    assert catalog.load_data("x") == 1
    catalog.save("x", 2)
    assert link.is_symlink()
    assert (link.parent / "real.json").read_text() == "2"


def test_missing_file_is_said_with_the_nearest_name(make_catalog):
    catalog = make_catalog("x: data/quesions.json\ny: nowhere/x.json", {"data/questions.json": "1"})
    with pytest.raises(Exception, match=r"the file does not exist; its folder holds 'questions\.json'"):
        catalog.load_data("x")
    with pytest.raises(Exception, match="the file does not exist, nor does its folder"):
        catalog.fingerprint("y")
    assert not catalog.exists("x")
    info = catalog.describe("x")
    assert (info.exists, info.size_bytes, info.fingerprint) == (False, None, None)


@pytest.mark.parametrize("path", ["data/file/x.json", "data/file/deeper/x.json"])
def test_file_in_place_of_a_folder_is_said(make_catalog, path):
    catalog = make_catalog(f"x: {path}", {"data/file": ""})
    with pytest.raises(Exception, match="cannot be saved: a part of its path is a file, not a folder"):
        catalog.save("x", 1)


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl", "x.txt", "x.yaml"])
def test_folder_in_place_of_a_file_is_said(make_catalog, name):
    catalog = make_catalog(f"x: data/{name}", {f"data/{name}/inner": ""})
    with pytest.raises(Exception, match="cannot be loaded: there is a folder in its place"):
        catalog.load_data("x")
    with pytest.raises(Exception, match="cannot be saved: there is a folder in its place"):
        catalog.save("x", "text" if name == "x.txt" else [{"a": 1}])

"""Fingerprints follow the content, and an unchanged file is read once."""

import os
import shutil
import sys
import time

import pandas as pd
import pytest
import xxhash

from latent.catalog.fingerprints import FileHashes, combined
from latent.errors import DatasetLoadError, UnhashableError

opened: list[str] = []
watching = False


def _watch(event: str, arguments: tuple) -> None:
    if watching and event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])


sys.addaudithook(_watch)  # Python has no way to take one away: it is switched


@pytest.fixture
def reads():
    """The paths that were opened since the test began."""
    global watching
    opened.clear()
    watching = True
    yield opened
    watching = False


@pytest.fixture
def settled():
    """Wait until a change of a file can no longer share a time stamp with the one before."""
    return lambda: time.sleep(2.1 if os.name == "nt" else 0.08)


def test_hash_is_that_of_the_bytes(workspace, tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"abc" * 1_000_000)
    assert FileHashes(workspace).of(file) == xxhash.xxh3_128_hexdigest(b"abc" * 1_000_000)


def test_unchanged_file_is_not_read_again_in_this_process_nor_in_the_next(make_catalog, reads, settled):
    catalog = make_catalog("x: data/x.txt", {"data/x.txt": "content"})
    file = catalog._workspace.root / "data" / "x.txt"
    settled()
    reads.clear()
    hashes = [FileHashes(catalog._workspace) for _ in range(2)]  # two processes would have one each
    first = [hashes[0].of(file), hashes[0].of(file)]
    assert reads.count(str(file)) == 1
    assert [hashes[1].of(file), *first] == [first[0]] * 3
    assert reads.count(str(file)) == 1


@pytest.mark.parametrize("change", ["in place", "replaced", "time set back"])
def test_changed_file_has_another_fingerprint_whatever_its_times_say(make_catalog, settled, change):
    catalog = make_catalog("x: data/x.txt", {"data/x.txt": "content"})
    file = catalog._workspace.root / "data" / "x.txt"
    settled()
    before, times = catalog.fingerprint("x"), file.stat()
    if change == "replaced":
        (file.parent / "new").write_text("CONTENT")
        (file.parent / "new").replace(file)
    else:
        file.write_text("CONTENT")
    if change != "in place":
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert catalog.fingerprint("x") != before


def test_file_that_changes_within_one_tick_of_the_clock_is_never_remembered(make_catalog):
    """Many saves in a row: each must show, although some share a time stamp."""
    catalog = make_catalog("x: data/x.txt", {"data/x.txt": "0000"})
    file = catalog._workspace.root / "data" / "x.txt"
    prints = set()
    for number in range(200):
        file.write_text(f"{number:04}")
        prints.add(catalog.fingerprint("x"))
    assert len(prints) == 200


def test_same_content_elsewhere_has_the_same_fingerprint(make_catalog):
    catalog = make_catalog("a: data/a.json\nb: data/b.json", {"data/a.json": "[1]", "data/b.json": "[1]"})
    assert catalog.fingerprint("a") == catalog.fingerprint("b")


def test_short_form_and_kedros_form_of_one_dataset_have_the_same_fingerprint(make_catalog):
    catalog = make_catalog(
        """
        short: data/a.json
        long: {type: json.JSONDataset, filepath: data/a.json}
        longest: {type: kedro_datasets.json.JSONDataset, filepath: data/a.json, metadata: {note: x}}
        """,
        {"data/a.json": "[1]"},
    )
    assert len({catalog.fingerprint(name) for name in catalog.names()}) == 1


def test_another_way_of_reading_is_another_fingerprint(make_catalog):
    catalog = make_catalog(
        """
        plain: data/a.csv
        typed: {filepath: data/a.csv, load_args: {dtype: str}}
        text: {type: text.TextDataset, filepath: data/a.csv}
        """,
        {"data/a.csv": "a\n1\n"},
    )
    assert len({catalog.fingerprint(name) for name in catalog.names()}) == 3


def test_folder_changes_with_names_and_contents_of_its_files(make_catalog):
    catalog = make_catalog("docs: data/docs/*.md", {"data/docs/a.md": "A", "data/docs/b.md": "B"})
    folder = catalog._workspace.root / "data" / "docs"
    prints = [catalog.fingerprint("docs")]
    (folder / "a.txt").write_text("not a part of it")
    assert catalog.fingerprint("docs") == prints[0]
    for change in (
        lambda: (folder / "b.md").write_text("C"),
        lambda: (folder / "b.md").rename(folder / "c.md"),
        lambda: (folder / "d.md").write_text(""),
        lambda: (folder / "a.md").unlink(),
    ):
        change()
        prints.append(catalog.fingerprint("docs"))
    assert len(set(prints)) == 5


def test_versioned_dataset_has_the_fingerprint_of_its_newest_version(make_catalog):
    catalog = make_catalog("x: {type: json.JSONDataset, filepath: data/x.json, versioned: true}")
    prints = []
    for value in (1, 2, 1):
        catalog.save("x", value)
        prints.append(catalog.fingerprint("x"))
    assert prints[0] == prints[2] != prints[1]


def test_folder_of_parquet_files_is_hashed_as_a_whole(make_catalog):
    catalog = make_catalog("table: data/table.parquet")
    folder = catalog._workspace.root / "data" / "table.parquet"
    folder.mkdir(parents=True)
    pd.DataFrame({"n": [1]}).to_parquet(folder / "0.parquet")
    before = catalog.fingerprint("table")
    pd.DataFrame({"n": [2]}).to_parquet(folder / "1.parquet")
    assert catalog.fingerprint("table") != before
    assert sorted(catalog.load_data("table")["n"]) == [1, 2]


def test_value_in_memory_is_hashed_by_what_it_is(make_catalog):
    catalog = make_catalog("x: {type: MemoryDataset}")
    prints = []
    for value in (1, "1", {"a": [1, 2]}, {"a": [1, 2]}):
        catalog.save("x", value)
        prints.append(catalog.fingerprint("x"))
    assert prints[2] == prints[3]
    assert len(set(prints)) == 3


def test_value_that_has_no_stable_hash_is_said(make_catalog):
    catalog = make_catalog("x: {type: MemoryDataset, copy_mode: assign}")
    catalog.save("x", (value for value in "ab"))
    with pytest.raises(UnhashableError):
        catalog.fingerprint("x")
    assert catalog.describe("x").fingerprint is None


def test_remote_file_is_hashed_by_its_content(make_catalog):
    catalog = make_catalog("x: memory://fingerprints/x.json\ny: data/y.json", {"data/y.json": "1"})
    with pytest.raises(DatasetLoadError, match=r"there is nothing at memory://fingerprints/x\.json"):
        catalog.fingerprint("x")
    catalog.save("x", 1)
    first = catalog.fingerprint("x")
    assert catalog.fingerprint("x") == first
    catalog.save("x", 2)
    assert catalog.fingerprint("x") != first


def test_memory_of_hashes_may_be_deleted_or_damaged_at_any_moment(make_catalog, settled):
    catalog = make_catalog("x: data/x.txt", {"data/x.txt": "content"})
    workspace = catalog._workspace
    settled()
    file, store = workspace.root / "data/x.txt", workspace.cache_dir / "fingerprints.db"
    first = FileHashes(workspace).of(file)
    assert store.exists()
    shutil.rmtree(workspace.cache_dir)
    assert FileHashes(workspace).of(file) == first
    store.write_bytes(b"this is not a database" * 100)
    assert [FileHashes(workspace).of(file) for _ in range(3)] == [first] * 3
    store.unlink(missing_ok=True)
    store.mkdir()
    assert FileHashes(workspace).of(file) == first


def test_names_and_hashes_are_told_apart():
    assert combined([("a", "bc")]) != combined([("ab", "c")])
    assert combined([("a", "b"), ("c", "d")]) != combined([("a", "bcd")])
    assert combined([("\udc80", "a")]) != combined([("a", "a")])  # a file name that is not UTF-8


def test_fingerprint_of_a_file_needs_neither_pandas_nor_kedro(make_catalog, run_python):
    make_catalog("x: data/x.csv", {"data/x.csv": "a\n1\n"})
    loaded = run_python(
        """
        import sys
        from latent.catalog import Catalog
        from latent.config import find_workspace

        workspace = find_workspace()
        catalog = Catalog.load(workspace, flow_name="answers", folder=workspace.flow_folder("answers"))
        catalog.names(), catalog.config, "x" in catalog, catalog.exists("x"), catalog.fingerprint("x")
        heavy = {"kedro", "kedro_datasets", "pandas", "numpy", "prefect", "mlflow"}
        print(sorted(heavy & sys.modules.keys()))
        """
    )
    assert loaded == "[]"

"""Saves are whole or not at all."""

import errno
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from latent.catalog.content import appends, save_atomically
from latent.errors import DatasetSaveError


def write(text):
    return lambda path: path.write_text(text) and None


def test_file_is_replaced_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "sub" / "x.csv.gz"
    seen = []

    def record(path: Path) -> None:
        seen.append(path)
        path.write_text("new")

    save_atomically(target, record)
    save_atomically(target, record)
    assert target.read_text() == "new"
    assert [file.name for file in target.parent.iterdir()] == ["x.csv.gz"]
    assert all(path.parent == target.parent and path.name.endswith("x.csv.gz") for path in seen)
    assert seen[0] != seen[1]


def test_failed_save_leaves_what_was_there(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_atomically(target, fail)
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_permissions_of_the_old_file_are_kept(tmp_path, mode):
    target = tmp_path / "x.txt"
    target.write_text("old")
    target.chmod(mode)
    save_atomically(target, write("new"))
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert target.read_text() == "new"


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX")
def test_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    save_atomically(tmp_path / "x.txt", write("new"))
    assert (tmp_path / "x.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_file_name_of_the_greatest_length_can_be_saved(tmp_path):
    target = tmp_path / ("x" * 251 + ".txt")
    save_atomically(target, write("new"))
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    ("config", "adds"),
    [
        ({}, False),
        ({"save_args": {"mode": "w"}}, False),
        ({"save_args": {"mode": "overwrite"}}, False),
        ({"save_args": {"mode": "a"}}, True),
        ({"save_args": {"writer": {"mode": "a"}}}, True),
        ({"fs_args": {"open_args_save": {"mode": "ab"}}}, True),
        ({"fs_args": {"open_args_save": {"mode": "x"}}}, True),
        ({"fs_args": {"open_args_load": {"mode": "r+"}}}, False),
    ],
)
def test_modes_that_add_to_a_file_are_told_from_those_that_replace_it(config, adds):
    assert appends(config) is adds


def test_appending_dataset_adds_to_its_file(make_catalog):
    catalog = make_catalog(
        "log: {filepath: data/log.jsonl, fs_args: {open_args_save: {mode: a}}}", {"data/log.jsonl": "1\n"}
    )
    catalog.save("log", [2])
    catalog.save("log", [3])
    assert catalog.load_data("log") == [1, 2, 3]


def test_result_that_cannot_be_written_halfway_leaves_the_old_file(make_catalog):
    catalog = make_catalog("rows: data/rows.jsonl", {"data/rows.jsonl": '"old"\n'})

    def rows():
        yield {"a": 1}
        raise RuntimeError("the model went away")

    with pytest.raises(DatasetSaveError, match="RuntimeError: the model went away"):
        catalog.save("rows", rows())
    assert catalog.load_data("rows") == ["old"]
    assert [file.name for file in (catalog._workspace.root / "data").iterdir()] == ["rows.jsonl"]


@pytest.mark.skipif(os.name == "nt", reason="setrlimit is POSIX")
def test_full_disk_is_said_and_leaves_the_old_file(make_catalog):
    """A limit on the size of files makes the system refuse to write, as a full disk does."""
    catalog = make_catalog("rows: data/rows.jsonl", {"data/rows.jsonl": '"old"\n'})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(DatasetSaveError) as caught:
            catalog.save("rows", ["x" * 1000] * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert f"OSError: [Errno {errno.EFBIG}]" in str(caught.value)
    assert catalog.load_data("rows") == ["old"]
    assert [file.name for file in (catalog._workspace.root / "data").iterdir()] == ["rows.jsonl"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_file_and_folder_are_said(make_catalog):
    catalog = make_catalog("x: data/x.json\ny: sealed/y.json", {"data/x.json": "1", "sealed/.keep": ""})
    root = catalog._workspace.root
    (root / "data/x.json").chmod(0o444)
    (root / "sealed").chmod(0o555)
    try:
        with pytest.raises(DatasetSaveError, match=r"permission denied \(the file is read-only\)"):
            catalog.save("x", 2)
        with pytest.raises(DatasetSaveError, match="permission denied"):
            catalog.save("y", 2)
    finally:
        (root / "sealed").chmod(0o755)
    assert (root / "data/x.json").read_text() == "1"


def test_concurrent_saves_of_several_processes_leave_one_whole_version(make_catalog, start_python):
    catalog = make_catalog("x: data/x.txt")
    script = """
        import sys
        from latent.catalog import Catalog
        from latent.config import find_workspace

        workspace = find_workspace()
        catalog = Catalog.load(workspace, flow_name="answers", folder=workspace.flow_folder("answers"))
        for turn in range(30):
            catalog.save("x", sys.argv[1] * 1_000_000)
            found = catalog.load_data("x")
            assert len(found) == 1_000_000 and len(set(found)) == 1
    """
    writers = [start_python(script, str(number)) for number in range(3)]
    assert [(*writer.communicate(timeout=60), writer.returncode) for writer in writers] == [("", "", 0)] * 3
    folder = catalog._workspace.root / "data"
    assert (folder / "x.txt").read_text() in {number * 1_000_000 for number in "012"}
    assert [file.name for file in folder.iterdir()] == ["x.txt"]

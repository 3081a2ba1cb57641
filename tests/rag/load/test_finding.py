"""Paths and patterns: each file once, whatever it is called."""

from __future__ import annotations

import glob
import os
import runpy
from pathlib import Path

import pytest

from latent.errors import IngestionError, NoDocumentsError
from latent.rag import find_documents, load_document
from latent.rag.load.finding import fits, shown

ODD_NAMES = Path(__file__).parents[4] / "shared" / "data" / "nasty" / "make_odd_names.py"


@pytest.fixture
def folder(tmp_path):
    for name in ("a.md", "b.txt", "sub/c.md", "sub/deep/d.md", ".hidden.md", "notes.md/inside.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_patterns_find_files_once_and_in_order(folder):
    found = find_documents(["**/*.md", "sub/*.md", "b.txt", "a.md"], root=folder)
    assert found == ["a.md", "b.txt", "notes.md/inside.md", "sub/c.md", "sub/deep/d.md"]


def test_a_path_is_called_the_same_however_it_is_written(folder):
    written = ["a.md", "./a.md", "sub/../a.md", str(folder / "a.md"), f"file://{folder}/a.md"]
    assert find_documents(written, root=folder) == ["a.md"]


def test_files_outside_of_the_root_keep_their_whole_path(folder):
    assert find_documents([str(folder / "a.md")], root=folder / "sub") == [(folder / "a.md").as_posix()]


@pytest.mark.parametrize(
    ("source", "patterns", "fitting"),
    [
        ("docs/a.md", "docs/*.md", True),
        ("docs/sub/a.md", "docs/*.md", False),
        ("docs/sub/a.md", ["x", "docs/**/*.md"], True),
        ("docs/a.md", "./docs/**/*.md", True),
        ("docs/a.md", "docs/**", True),
        ("docs/a.md", "docs/a**.md", True),
        ("docs/a.md", "docs/[b-c].md", False),
        ("docs/[a].md", "docs/[a].md", True),
        ("https://host/docs/a.md", "https://me:secret@host/docs/*.md", True),
        ("https://host/docs/a.md", "docs/*.md", False),
    ],
)
def test_what_does_not_exist_fits_patterns_as_what_does(tmp_path, source, patterns, fitting):
    assert fits(source, patterns, root=tmp_path) is fitting


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://me:secret@host/a.md", "https://host/a.md"),
        ("https://token@host/a.md?page=2", "https://host/a.md?page=2"),
        ("https://host/a.md?X-Amz-Date=1&X-Amz-Signature=abc", "https://host/a.md"),
        ("https://host/a.md?token=abc", "https://host/a.md"),
        ("https://host/get?api_key=abc&id=1&access_token=abc", "https://host/get?id=1"),
        ("https://host/get?key=A-1", "https://host/get?key=A-1"),
        ("zip://a.md::https://me:secret@host/a.zip", "zip://a.md::https://host/a.zip"),
        ("abfs://container@account/a.md", "abfs://container@account/a.md"),
        ("github://org:repo@main/a.md", "github://org:repo@main/a.md"),
    ],
)
def test_a_url_is_named_without_credentials(url, named):
    assert shown(url) == named


def test_one_pattern_may_stand_alone(folder):
    assert find_documents("*.md", root=folder) == ["a.md"]


def test_hidden_files_have_to_be_named(folder):
    assert find_documents([".hidden.md"], root=folder) == [".hidden.md"]


def test_a_file_that_is_called_like_a_pattern_is_meant_by_it(folder):
    (folder / "[ab].md").write_text("x")
    assert find_documents(["[ab].md"], root=folder) == ["[ab].md"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("nothing/*.md", "No file in .* fits 'nothing/\\*.md': look at the spelling; paths start from that"),
        ("sub", "it is a folder: write 'sub/\\*\\*/\\*'"),
        ("a.mdd", "did you mean 'a.md'"),
        ("no/such/file.md", "there is no folder"),
        ("", "write a path or a pattern"),
    ],
)
def test_what_fits_no_file_is_an_error(folder, pattern, words):
    with pytest.raises(NoDocumentsError, match=words):
        find_documents(["a.md", pattern], root=folder)


def test_other_file_systems_are_searched_and_read():
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/docs/a.md": b"# A\n\nText.", "/docs/sub/b.md": b"B", "/docs/c.txt": b"C"})
    try:
        found = find_documents(["memory://docs/**/*.md"], root=".")
        assert found == ["memory:///docs/a.md", "memory:///docs/sub/b.md"]
        [document] = load_document(found[0])
        assert (document.source, document.title) == (found[0], "A")
        with pytest.raises(NoDocumentsError, match="it is a folder"):
            find_documents(["memory://docs"], root=".")
    finally:
        memory.rm("/docs", recursive=True)


@pytest.mark.parametrize("query", ["", "?v=1", "?q=[a]*"])
def test_an_address_of_which_nobody_can_tell_is_found(query):
    """What is wrong with it is told when it is loaded, as that of one source among many."""
    url = f"http://127.0.0.1:1/c.html{query}"  # nobody listens there
    assert find_documents([url], root=".") == [url]


def test_a_pattern_on_a_server_that_does_not_answer_is_an_error():
    with pytest.raises(IngestionError, match=r"http://127\.0\.0\.1:1/\*\.html cannot be fetched"):
        find_documents(["http://127.0.0.1:1/*.html"], root=".")


def test_an_unknown_file_system_is_named():
    with pytest.raises(IngestionError, match=r"nosuch://bucket/a\.md cannot be reached"):
        find_documents(["nosuch://bucket/a.md"], root=".")


@pytest.mark.skipif(not ODD_NAMES.exists(), reason="the shared data is not here")
def test_files_of_odd_names_are_found_and_loaded(tmp_path):
    module = runpy.run_path(str(ODD_NAMES))
    module["main"](tmp_path)
    names = [*module["NAMES"], *module["SAME_BYTES"]]
    assert find_documents(names, root=tmp_path) == sorted(names)
    globbed = find_documents(["**/*", ".*.md"], root=tmp_path)
    assert globbed == sorted(names)
    for name in globbed:
        [document] = load_document(name, root=tmp_path)
        assert document.source == name
        assert "odd name" in document.text or "These bytes stand in three files." in document.text


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are texts there")
def test_a_name_in_no_encoding_is_shown_escaped(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.md"
    Path(os.fsdecode(path)).write_text("Text.")
    [found] = find_documents(["*.md"], root=tmp_path)
    [document] = load_document(found, root=tmp_path)
    assert (document.source, document.title) == ("caf\\xe9.md", "caf\\xe9")


class TestLinks:
    """A folder counts once, whatever links lead to it, and under its own path where that is meant, too."""

    @pytest.fixture
    def tree(self, tmp_path):
        for name in ("docs/a.md", "docs/sub/b.md", "docs/sub/deep/c.md", "else/d.md", "top.md"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        return tmp_path

    OWN = ["docs/a.md", "docs/sub/b.md", "docs/sub/deep/c.md"]  # noqa: RUF012

    @pytest.mark.parametrize(
        ("link", "target", "more"),
        [
            ("docs/loop", ".", []),
            ("docs/sub/up", "..", []),
            ("docs/sub/deep/far", "../..", []),
            ("docs/0first", "sub", []),  # comes before what it leads to
            ("docs/out", "../else", ["docs/out/d.md"]),
            ("docs/above", "..", ["docs/above/else/d.md", "docs/above/top.md"]),
            ("docs/gone", "nowhere", []),
            ("docs/link.md", "a.md", ["docs/link.md"]),
        ],
    )
    def test_a_link_adds_only_what_is_nowhere_else(self, tree, link, target, more):
        (tree / link).symlink_to(target)
        assert find_documents(["docs/**/*.md"], root=tree) == sorted([*self.OWN, *more])

    def test_folders_that_link_to_each_other_end(self, tree):
        for one in range(12):
            (tree / f"docs/f{one}").mkdir()
            (tree / f"docs/f{one}/x.md").write_text("x")
        for one in range(12):
            for other in range(12):
                (tree / f"docs/f{one}/to{other}").symlink_to(f"../f{other}")
        assert len(find_documents(["docs/**/*.md"], root=tree)) == 15

    def test_a_link_that_is_named_is_followed(self, tree):
        (tree / "latest").symlink_to("docs")
        assert find_documents(["latest/**/*.md"], root=tree) == [f"latest{each[4:]}" for each in self.OWN]
        assert find_documents(["l*/**/b.md"], root=tree) == ["latest/sub/b.md"]

    @pytest.mark.parametrize(
        "pattern", ["**/*.md", "**", "docs/**/*", "docs/**/deep/**/*.md", "*/**/b.md", "**/s*/*"]
    )
    def test_patterns_mean_what_glob_says(self, tree, pattern):
        (tree / "docs/.hidden").mkdir()
        (tree / "docs/.hidden/h.md").write_text("h")
        expected = {
            each
            for each in glob.glob(pattern, root_dir=tree, recursive=True)  # noqa: PTH207 - the reference
            if (tree / each).is_file()
        }
        assert find_documents([pattern], root=tree) == sorted(expected)
        assert find_documents([f"{tree}/{pattern}"], root=tree) == sorted(expected)

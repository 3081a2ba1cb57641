"""Documents: the text of a file, in whatever form and encoding, or the reason why there is none."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from latent.errors import UnreadableDocumentError, UsageError
from latent.rag import Document, chunk_document, find_documents, load_document

NASTY = Path(__file__).parents[4] / "shared" / "data" / "nasty"
UNREADABLE = {
    "binary/gzip.jsonl": "gzip data, although its suffix is '.jsonl'",
    "binary/nul_bytes.txt": "not text (a NUL at byte 6)",
    "binary/nul_in_field.csv": "not text (a NUL",
    "binary/pdf_head.html": "a PDF, although its suffix is '.html'",
    "binary/picture.txt": "a PNG picture",
    "binary/random_bytes.txt": "not text in any known encoding",
    "binary/zip.md": "a ZIP archive",
    "csv/unclosed_quote.csv": "csv/unclosed_quote.csv:2 cannot be read: a quote in this row is never closed.",
    "empty/tags_only.html": "the page holds scripts and no text",
    "json/bad_line_in_middle.jsonl": "json/bad_line_in_middle.jsonl:6 cannot be read: no JSON",
    "json/deep_row.jsonl": ":3 cannot be read: nested too deeply",
    "json/pretty_printed.jsonl": ":1 cannot be read: one JSON value spread over several lines",
    "json/truncated_last_line.jsonl": ":41 cannot be read: no JSON",
    "json/two_per_line.jsonl": ":1 cannot be read: no JSON",
}
MAY_BE_READ = {"json/deep_row.jsonl"}
"""How deep a JSON value may be nested depends on Python."""
ROWS = {
    "size/long_line_in.jsonl": 7, "encoding/utf8_bom.jsonl": 5, "json/no_final_newline.jsonl": 3,
    "json/crlf.jsonl": 3, "csv/newlines_in_fields.csv": 2, "csv/crlf_no_end.csv": 2,
    "encoding/utf16be_bom.csv": 2, "json/blank_lines.jsonl": 4, "csv/ragged.csv": 5,
    "csv/huge_field.csv": 2,
    "empty/empty.csv": 0, "empty/empty.jsonl": 0, "empty/header_only.csv": 0,
}  # fmt: skip
"""Source of the first six: the README of the shared data, "should be read without loss"."""


@pytest.mark.skipif(not NASTY.exists(), reason="the shared data is not here")
def test_nasty_files_are_read_or_refused_with_a_reason():
    refused = {}
    for source in find_documents(["**/*.*"], root=NASTY):
        try:
            documents = load_document(source, root=NASTY)
        except UnreadableDocumentError as error:
            refused[source] = str(error)
            continue
        assert len(documents) == ROWS.get(source, len(documents)), source
        for document in documents:
            document.text.encode()  # no lone surrogates
            assert "\0" not in document.text
            json.dumps(dict(document.metadata), allow_nan=False)
            chunk_document(document)
    assert set(UNREADABLE) - MAY_BE_READ <= set(refused) <= set(UNREADABLE)
    for source, message in refused.items():
        assert UNREADABLE[source] in message


@pytest.mark.skipif(not NASTY.exists(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("name", "encoding", "words"),
    [
        ("latin1.txt", "cp1252", "Le caf\u00e9 co\u00fbte 3 EUR \u00e0 l'\u00e9t\u00e9"),
        ("cp1252.md", "cp1252", "Le caf\u00e9 co\u00fbte 3 \u20ac \u00e0 l\u2019\u00e9t\u00e9"),
        ("utf16le_bom.txt", "utf-16-le", "Le caf\u00e9 co\u00fbte 3 \u20ac"),
        ("utf16le_no_bom.txt", "utf-16-le", "Le caf\u00e9 co\u00fbte 3 \u20ac"),
        ("utf32le_bom.txt", "utf-32-le", "\u65e5\u672c\u8a9e text"),
        ("shift_jis.txt", "cp932", "\u3053\u308c\u306f\u65e5\u672c\u8a9e"),
        ("mixed_lines.txt", None, "ligne 0 : \u00e9 \u00e8 \u00e7\nligne 1 : \u00e9 \u00e8 \u00e7\n"),
        ("html_says_latin1.html", None, "caf\u00e9 \u00e9t\u00e9"),
    ],
)
def test_encodings_are_found(name, encoding, words):
    [document] = load_document(f"encoding/{name}", root=NASTY)
    assert words in document.text
    assert document.metadata.get("encoding") == encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430? "
         "\u042d\u0442\u043e \u0442\u0435\u043a\u0441\u0442.", "koi8_r"),
        ("Za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 ja\u017a\u0144. Dzie\u0144 dobry.", "cp1250"),
        ("Gr\u00f6\u00dfe", "cp1252"),
        ("\u3053\u308c\u306f\u30c6\u30b9\u30c8\u3067\u3059\u3002\u65e5\u672c\u8a9e\u3002", "euc_jp"),
    ],
)  # fmt: skip
def test_short_texts_of_other_encodings_are_read(load, text, encoding):
    assert load("a.txt", text.encode(encoding))[0].text == text


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("你好世界，这是一个测试文本。", "gb18030", "gb18030"),  # noqa: RUF001
        ("你好世界，這是一個測試文本。", "big5", "big5"),  # noqa: RUF001
        ("안녕하세요 세계 테스트입니다", "euc_kr", "cp949"),
        ("שלום עולם", "cp1255", "cp1255"),
        ("Γειά σου Κόσμε", "cp1253", "cp1253"),  # noqa: RUF001
        ("مرحبا بالعالم", "cp1256", "cp1256"),
        ("สวัสดีชาวโลก", "cp874", "cp874"),
        ("Добрый день", "cp866", "cp866"),
        ("Árvíztűrő tükörfúrógép", "cp1250", "iso8859-2"),  # the same letters in both
        ("İstanbul güneşli şehir", "cp1254", "cp1254"),
        ("Das kostet 5 €", "iso8859_15", "iso8859-15"),
        ("10 °C", "cp1252", "cp1252"),
        ("Brontë", "cp1252", "cp1252"),
        ("L'été dernier, j'ai mangé des crêpes à Orléans.", "cp1252", "cp1252"),
        ("これはテストです", "iso2022_jp", "iso2022_jp"),
    ],
)
def test_encodings_of_short_texts_are_found(load, text, encoding, found):
    [document] = load("a.txt", text.encode(encoding))
    assert (document.text, document.metadata) == (text, {"encoding": found})


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rst", "a.csv", "a.jsonl", "a.html", "a.py", "a.json"])
def test_the_encoding_can_be_said(load, name):
    text = {"a.csv": "text\nŁódź\n", "a.jsonl": '{"text": "Łódź"}\n', "a.html": "<p>Łódź</p>"}.get(
        name, "Łódź"
    )
    [document] = load(name, text.encode("cp852"), encoding="cp852")
    assert "Łódź" in document.text
    assert document.metadata["encoding"] == "cp852"


def test_an_encoding_that_was_said_is_held_to_but_for_a_mark(load):
    assert load("a.txt", "\ufeffŁódź".encode(), encoding="cp1252")[0].text == "Łódź"
    assert load("b.txt", "Łódź".encode("utf-16"), encoding="cp1252")[0].text == "Łódź"
    with pytest.raises(UnreadableDocumentError, match=r"it is not utf-8, which was said: .* at byte 3"):
        load("c.txt", b"caf\xe9", encoding="utf-8")
    with pytest.raises(UsageError, match="there is no such encoding"):
        load("d.txt", b"x", encoding="klingon")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (
            "a.vsdx",
            b"PK\x03\x04\0\0",
            r"it is a ZIP archive or an Office document\. Nothing here reads '\.vsdx' files",
        ),
        ("a.mobi", bytes(range(256)), r"Nothing here reads '\.mobi' files: .* loaders={'\.mobi': function}"),
        (
            "a.mbox",
            b"From a@b Mon\nSubject: x\n\ntext",
            r"in markup that hides it: export its mails as \.eml",
        ),
        ("a.svg", b"<svg/>", "it is a picture"),
        ("a.txt", rb"{\rtf1\ansi text}", r"it is RTF, although its suffix is '\.txt'"),
        (
            "README",
            b"\x89PNG\r\n\x1a\n\0",
            "it is a PNG picture; of files without a suffix, only texts are read",
        ),
    ],
)
def test_what_nobody_reads_says_what_can_be_read(load, name, data, words):
    with pytest.raises(UnreadableDocumentError, match=words):
        load(name, data)


def test_readers_of_the_users_own_come_first(load):
    def shout(data, source):
        return f"{source}: {data.decode().upper()}"

    def lines(data, source):
        return (Document.of(line, source=source) for line in data.decode().split())

    assert load("a.md", "text", loaders={".md": shout})[0].text == "a.md: TEXT"
    assert load("a.MD", "text", loaders={".md": shout})[0].title == "a"
    assert [each.text for each in load("a.x", "one two", loaders={".x": lines})] == ["one", "two"]
    with pytest.raises(UsageError, match=r"loaders\['\.x'\] returns int: a text or"):
        load("a.x", "text", loaders={".x": lambda data, source: [7]})


def test_line_ends_are_translated_as_python_does(load):
    assert load("a.txt", b"one\r\ntwo\rthree\n")[0].text == "one\ntwo\nthree\n"


def test_hash_is_that_of_the_text(load):
    # printf 'One. Two.' | md5sum
    assert load("a.txt", "One. Two.")[0].hash == "118c588f3bf26778ba9d300d88b0e722"


def test_front_matter_is_metadata(load):
    text = "---\ntitle: The title\ntags: [a, b]\ndate: 2024-05-01\ndraft: no\n---\n# Heading\n\nText.\n"
    [document] = load("a.md", text)
    assert (document.title, document.text) == ("The title", "# Heading\n\nText.\n")
    assert document.metadata == {"tags": ["a", "b"], "date": "2024-05-01", "draft": "no"}


@pytest.mark.parametrize(
    ("front", "values"),
    [
        ("---\nweight: 3\ndraft: no\ntags: [a, 1]\n---\n", {"weight": 3, "draft": "no", "tags": ["a", 1]}),
        ("---\nzip: 01234\nok: true\n---\n", {"zip": "01234", "ok": True}),
        ("---\nnested: {on: off, n: 1.5}\nnone: ~\n---\n", {"nested": {"on": "off", "n": 1.5}, "none": None}),
        ("---\na: 1\na: 2\n---\n", {"a": 2}),
        ("---\nd: !!python/name:os.system\nn: 1\n---\n", {"d": "", "n": 1}),
        ("---\ntime: 12:30\nsince: 2024-05-01\n...\n", {"time": "12:30", "since": "2024-05-01"}),
        (
            '+++\nweight = 3\ndraft = false\ntags = ["a"]\ndate = 2024-05-01\n[params]\nx = 1.5\n+++\n',
            {"weight": 3, "draft": False, "tags": ["a"], "date": "2024-05-01", "params": {"x": 1.5}},
        ),
        ("+++\nat = 2024-05-01T10:00:00Z\n+++\n", {"at": "2024-05-01T10:00:00+00:00"}),
    ],
)
def test_each_value_of_front_matter_has_a_type_of_its_own(load, front, values):
    [document] = load("a.md", front + "Body")
    assert (document.text, document.metadata) == ("Body", values)


def test_front_matter_that_is_no_toml_stays_in_the_text(load):
    [document] = load("a.md", "+++\na = \n+++\n# Body\n")
    assert document.text.startswith("+++")
    assert "no TOML" in document.metadata["front_matter_error"]
    assert load("b.md", '+++\ntitle = "T"\n+++\nx')[0].title == "T"
    assert load("c.md", "+++ no front matter\ntext")[0].text == "+++ no front matter\ntext"


def test_front_matter_that_is_no_yaml_stays_in_the_text(load):
    text = "---\ntitle: [unclosed\n---\n\n# Body\n"
    [document] = load("a.md", text)
    assert (document.text, document.title) == (text, "Body")
    assert "front matter:1" in document.metadata["front_matter_error"]


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.md", "Intro\n\n## The *first* [heading](x.md) ##\n", "The first heading"),
        ("a.md", "```\n# a comment\n```\n\nSetext\n======\n", "Setext"),
        ("notes.md", "No heading at all.", "notes"),
        ("a.rst", "=====\nTitle\n=====\n\nText\n", "Title"),
        ("a.rst", ".. comment\n\nTitle\n-----\n", "Title"),
        ("plain.txt", "# not a heading", "plain"),
    ],
)
def test_titles(load, name, text, title):
    assert load(name, text)[0].title == title


@pytest.mark.skipif(not NASTY.exists(), reason="the shared data is not here")
def test_deep_pages_are_read_to_their_bottom():
    assert load_document("markup/deep_divs_8000.html", root=NASTY)[0].text == "deep text\n"


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.xlsx", "a.eml", "a.html", "a.md", "a.txt", "a.rst"])
def test_an_empty_file_is_a_document_without_text(load, name):
    assert [document.text for document in load(name, b"")] == [""]


def test_rows_with_a_text_keep_their_other_fields_as_metadata(load):
    first, second = load("a.jsonl", '{"_id": 7, "title": "T", "text": "Body"}\n\n{"text": null, "x": NaN}\n')
    assert (first.title, first.text, first.metadata) == ("T", "Body", {"_id": 7, "row": 1})
    assert (second.title, second.text, second.metadata) == ("a, row 2", "", {"x": None, "row": 2})
    assert first.source == second.source == "a.jsonl"


def test_the_hash_of_a_row_is_also_of_its_other_fields_and_not_of_its_place(load):
    table = (
        '{"q": "Sky?", "text": "Yes"}\n{"q": "Sea?", "text": "Yes"}\n{"text": "Yes", "q": "Sky?"}\n'
        '{"title": "T", "text": "Yes"}\n{"title": "U", "text": "Yes"}\n{"text": "Yes"}\n'
    )
    sky, sea, sky_again, *titled, bare = (document.hash for document in load("a.jsonl", table))
    assert sky == sky_again == load("b.jsonl", '{"q": "Sky?", "text": "Yes"}\n')[0].hash
    assert len({sky, sea, *titled, bare}) == 5
    assert bare == load("a.txt", "Yes")[0].hash


def test_rows_without_a_text_are_it_with_all_their_fields(load):
    [document] = load("a.csv", "id;question;answer\n1;Quelle heure, maintenant?;\n")
    assert document.text == "id: 1\nquestion: Quelle heure, maintenant?"


def test_the_fields_of_text_and_title_can_be_named(load):
    [document] = load("a.csv", "id,q,a\n1,Why?,So.\n", text_field="q", title_field="id")
    assert (document.title, document.text, document.metadata) == ("1", "Why?", {"a": "So.", "row": 1})
    with pytest.raises(UnreadableDocumentError, match="row 1 has no field 'question'"):
        load("a.csv", "id,q\n1,Why?\n", text_field="question")


def test_fields_of_a_csv_are_never_lost(load):
    [document] = load("a.csv", "id,answer,answer,\n1,a,b,c,d\n")
    assert document.text == "id: 1\nanswer: a\nanswer_3: b\ncolumn_4: c\ncolumn_5: d"


def test_what_cannot_be_reached_is_named(tmp_path):
    with pytest.raises(UnreadableDocumentError, match=r"nope\.md cannot be read: there is no such file"):
        load_document("nope.md", root=tmp_path)
    with pytest.raises(UnreadableDocumentError, match="it is a folder"):
        load_document(".", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("a.md", f"---\nnumber: {10**30}\n---\nbody", "number", str(10**30)),
        ("a.jsonl", f'{{"text": "t", "number": {10**30}}}\n', "number", str(10**30)),
        ("a.md", "---\npage_starts: x\n---\nbody", "page_starts", "x"),
        ("a.csv", "text,page_starts\nbody,x\n", "page_starts", "x"),
        ("a.md", "---\nshare: .nan\n---\nbody", "share", None),
    ],
)
def test_metadata_are_what_every_store_keeps(load, name, text, key, value):
    [document] = load(name, text)
    assert document.metadata[key] == value
    assert chunk_document(document)[0].metadata[key] == value
    orjson.dumps(dict(document.metadata))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"text": "a\\u0000b", "title": "a\\u0000b", "k\\u0000": ["a\\u0000b"]}\n'),
        ("a.md", '---\ntitle: "a\\0b"\n"k\\0": ["a\\0b"]\n---\na\ufffdb\n'),
    ],
)
def test_a_nul_that_is_only_written_down_is_shown_as_such(load, name, text):
    """In its place, so that offsets fit the text; PostgreSQL takes none, and would refuse the document."""
    [document] = load(name, text)
    assert (document.text.strip(), document.title) == ("a\ufffdb", "a\ufffdb")
    assert document.metadata["k\ufffd"] == ["a\ufffdb"]


@pytest.mark.parametrize("depth", [300, 900, 100_000])
def test_metadata_that_are_nested_too_deeply_are_refused(load, depth):
    with pytest.raises(UnreadableDocumentError, match="nested too deeply"):
        load("a.jsonl", f'{{"text": "t", "deep": {"[" * depth}{"]" * depth}}}\n')


def test_a_tsv_is_separated_by_its_tabs(load):
    [document] = load("a.tsv", "id\ttitle, short, full\ttext\n1\tA\tHello there, friend\n")
    assert (document.text, document.metadata["id"]) == ("Hello there, friend", 1)
    assert load("b.tsv", "id,text\n1,Hello\n")[0].text == "Hello"


def test_a_field_that_says_nothing_is_no_text(load):
    [document] = load("a.jsonl", '{"text": null, "content": "the real text"}\n')
    assert document.text == "the real text"
    assert load("b.jsonl", '{"text": "", "by": "me"}\n')[0].text == ""


@pytest.mark.parametrize("begin", ["GIF89a", "PAR1", "BZh", "%PDF-", "SQLite format 3"])
def test_texts_about_files_are_texts(load, begin):
    text = f"{begin} is how such files begin: \u00e9.\n"
    assert load("a.md", text)[0].text == text


@pytest.mark.parametrize("line", [" " * 50_000 + "x", "|" + " " * 50_000 + "x", "# " + "# " * 9_000 + "x"])
def test_long_runs_of_blanks_are_read(load, line):
    """An expression that goes back over the blanks would take minutes."""
    [chunk] = chunk_document(load("a.md", line)[0], chunk_size=100_000)
    assert chunk.text.endswith("x")


def test_what_closes_a_heading_is_no_part_of_the_title(load):
    assert load("a.md", "##  In C# ##  \n")[0].title == "In C#"
    assert load("a.md", "# C#\n")[0].title == "C#"
    assert load("a.md", "# #\ntext")[0].title == "a"

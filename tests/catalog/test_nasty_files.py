"""Files as they come: each gives the right data, or an error that says what is wrong and what to do."""

import csv
import json
import math
from pathlib import Path

import pytest

from latent.errors import DatasetLoadError

NASTY = Path(__file__).parents[3] / "shared" / "data" / "nasty"
MANIFEST = NASTY / "MANIFEST.json"

pytestmark = pytest.mark.skipif(not MANIFEST.is_file(), reason="the collection of nasty files is not here")

FOLDERS = ("binary", "csv", "empty", "encoding", "json", "size", "yaml")
AS_TEXT = {".html": "text.TextDataset", ".rst": "text.TextDataset"}

# What each error must say; every other file must be read.
REFUSED = {
    "binary/gzip.jsonl": "the file is a gzip archive",
    "binary/nul_bytes.txt": "line 1: a NUL byte",
    "binary/pdf_head.html": "the file is a PDF document",
    "binary/picture.txt": "the file is a PNG picture",
    "binary/random_bytes.txt": "is not UTF-8",
    "binary/zip.md": "the file is a ZIP archive",
    "csv/ragged.csv": "line 4: expected 3 fields, saw 5",
    "csv/semicolons.csv": 'load_args: {sep: ";"}',
    "csv/stray_quotes.csv": "line 5: expected 3 fields, saw 4",
    "csv/tabs.csv": 'load_args: {sep: "\\t"}',
    "csv/unclosed_quote.csv": 'line 2: a quote (") is opened here and never closed',
    "empty/empty.csv": "the file is empty",
    "empty/empty.json": "the file is empty",
    "encoding/bad_bytes.md": "line 3: the byte 0xff is not UTF-8",
    "encoding/cp1252.md": "line 3: the byte 0xe9 is not UTF-8",
    "encoding/cut_in_character.txt": "line 1: the byte 0xc3 is not UTF-8",
    "encoding/latin1.txt": "is not UTF-8",
    "encoding/mixed_lines.txt": "line 2: the byte 0xe9 is not UTF-8",
    "encoding/shift_jis.txt": "is not UTF-8",
    "encoding/utf16be_bom.csv": "load_args: {encoding: utf-16}",
    "encoding/utf16le_bom.txt": "fs_args: {open_args_load: {encoding: utf-16}}",
    "encoding/utf16le_no_bom.txt": "is not UTF-8",
    "encoding/utf32le_bom.txt": "fs_args: {open_args_load: {encoding: utf-32}}",
    "json/bad_line_in_middle.jsonl": "line 6: expecting property name",
    "json/comments_trailing_comma.json": "line 2: expecting property name",
    "json/control_in_string.json": "line 1: invalid control character at column 12",
    "json/deep_arrays_50000.json": "nested too deeply",
    "json/deep_objects_20000.json": "nested too deeply",
    "json/duplicate_keys.json": "the key 'id' stands twice",
    "json/numbers.json": "4300 digits",
    "json/pretty_printed.jsonl": "give an indented document the suffix .json",
    "json/truncated_last_line.jsonl": "line 41: unterminated string",
    "json/two_per_line.jsonl": "line 1: extra data at column 12",
    "yaml/alias_growth.yaml": "aliases make this stand for",
    "yaml/bad_indent.yaml": "line 3",
    "yaml/duplicate_keys.yaml": "line 2: the key 'model' stands there twice",
    "yaml/python_tag.yaml": "python/object/apply",
    "yaml/self_reference.yaml": "contains itself",
    "yaml/special_characters.yaml": "the character '\\x01' is not allowed",
    "yaml/surprising_types.yaml": "day is out of range for month",
    "yaml/tab_indent.yaml": "line 2",
    "yaml/two_documents.yaml": "another document",
    "yaml/unclosed.yaml": "line 2",
}
# Python 3.12 and later nest deeper than 3.11.
MAY_BE_READ = {"json/deep_row.jsonl": "line 3: nested too deeply"}


def files() -> list[str]:
    if not MANIFEST.is_file():
        return []
    paths = [entry["path"] for entry in json.loads(MANIFEST.read_text())]
    return [path for path in paths if path.split("/")[0] in FOLDERS]


@pytest.fixture
def load(make_catalog):
    def load(path: str, **arguments: object) -> object:
        source = NASTY / path
        entry: dict[str, object] = {"filepath": f"data/{source.name}", **arguments}
        if source.suffix in AS_TEXT:
            entry["type"] = AS_TEXT[source.suffix]
        return make_catalog(
            f"x: {json.dumps(entry)}", {f"data/{source.name}": source.read_bytes()}
        ).load_data("x")

    return load


@pytest.mark.parametrize("path", files())
def test_file_is_read_or_refused_with_a_reason(load, path):
    if path in REFUSED:
        with pytest.raises(DatasetLoadError) as caught:
            load(path)
        assert REFUSED[path] in str(caught.value)
        assert f"data/{Path(path).name}) cannot be loaded: " in str(caught.value)
        assert len(str(caught.value)) < 500
        return
    try:
        value = load(path)
    except DatasetLoadError as error:
        assert path in MAY_BE_READ, error
        assert MAY_BE_READ[path] in str(error)
        return
    suffix = Path(path).suffix
    if suffix in (".txt", ".md", ".html"):
        assert value.encode() == (NASTY / path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    elif suffix == ".jsonl":
        text = (NASTY / path).read_text(encoding="utf-8-sig")
        assert value == [json.loads(line) for line in text.split("\n") if line.strip()]
    elif suffix == ".csv":
        assert_same_table(value, path)


def assert_same_table(frame, path: str) -> None:
    """Shape and header as Python's own reader of CSV finds them."""
    csv.field_size_limit(1_000_000)
    with (NASTY / path).open(newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    assert frame.shape == (len(rows), len(header))
    if len(set(header)) == len(header) and all(header):
        assert list(frame.columns) == header


def test_values_that_guessing_would_change_are_kept_when_types_are_given(load):
    frame = load("csv/numbers_as_text.csv", load_args={"dtype": "str", "keep_default_na": False})
    with (NASTY / "csv/numbers_as_text.csv").open(newline="") as file:
        assert frame.to_dict("records") == list(csv.DictReader(file))


def test_named_separator_reads_what_was_refused(load):
    assert load("csv/semicolons.csv", load_args={"sep": ";", "decimal": ","})["answer"].tolist() == [
        "12,5",
        "non",
    ]
    assert load("csv/tabs.csv", load_args={"sep": "\t"}).shape == (1, 3)


@pytest.mark.parametrize(
    ("path", "encoding"),
    [
        ("encoding/cp1252.md", "cp1252"),
        ("encoding/latin1.txt", "latin-1"),
        ("encoding/shift_jis.txt", "shift_jis"),
        ("encoding/utf16le_bom.txt", "utf-16"),
        ("encoding/utf16le_no_bom.txt", "utf-16-le"),
        ("encoding/utf32le_bom.txt", "utf-32"),
        ("binary/nul_bytes.txt", "utf-8"),
    ],
)
def test_named_encoding_reads_what_was_refused(load, path, encoding):
    text = load(path, fs_args={"open_args_load": {"encoding": encoding}})
    assert text == (NASTY / path).read_bytes().decode(encoding)


def test_byte_order_mark_is_no_part_of_the_first_column(load):
    assert list(load("encoding/utf8_bom.csv").columns) == ["id", "question", "answer"]
    assert load("encoding/utf16be_bom.csv", load_args={"encoding": "utf-16"}).shape[0] == 2


def test_nan_and_infinity_of_python_are_read(load):
    value = load("json/nan_infinity.json")
    assert math.isnan(value["a"])
    assert (value["b"], value["c"]) == (math.inf, -math.inf)


def test_half_a_surrogate_pair_survives_a_round_trip(make_catalog):
    source = (NASTY / "encoding/lone_surrogate.jsonl").read_bytes()
    catalog = make_catalog("x: data/x.jsonl\ny: data/y.jsonl", {"data/x.jsonl": source})
    rows = catalog.load_data("x")
    catalog.save("y", rows)
    assert catalog.load_data("y") == rows
    assert rows[0]["question"] == "high \ud83d alone"

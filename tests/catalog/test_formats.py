"""What the built-in formats give back of what they are given, and of what others wrote."""

import dataclasses
import datetime
import enum
import math
import uuid
from decimal import Decimal
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from latent.catalog.files import parse_json
from latent.errors import DatasetLoadError, DatasetSaveError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


class Score(BaseModel):
    id: str
    value: float


@dataclasses.dataclass
class Answer:
    text: str
    tokens: int


class Color(enum.Enum):
    RED = "red"


@pytest.fixture
def formats(make_catalog):
    names = (
        "csv",
        "csv.gz",
        "tsv",
        "parquet",
        "json",
        "json.gz",
        "jsonl",
        "jsonl.gz",
        "yaml",
        "txt",
        "md.xz",
    )
    return make_catalog("\n".join(f"{name}: data/sub/value.{name}" for name in names))


@pytest.mark.parametrize("name", ["csv", "csv.gz", "tsv", "parquet"])
def test_table_comes_back_as_it_was_saved(formats, name):
    frame = pd.DataFrame({"id": [1, 2], "text": ['a "b", c\nd', "\u00e9\u20ac\t"], "score": [0.5, -1.25]})
    formats.save(name, frame)
    pd.testing.assert_frame_equal(formats.load_data(name), frame)


@pytest.mark.parametrize("name", ["json", "json.gz", "jsonl", "jsonl.gz", "yaml"])
def test_rows_come_back_as_they_were_saved(formats, name):
    rows = [{"id": 1, "text": "\u00e9 \U0001f600 \u2028 \x85 \r\n"}, {"id": "017", "none": None, "on": True}]
    formats.save(name, rows)
    assert formats.load_data(name) == rows


@pytest.mark.parametrize("name", ["txt", "md.xz"])
@pytest.mark.parametrize("text", ["", "a\r\nb\rc\nd", "\ufeffmark", "\u00e9\u2028\x85\x0c", "no end"])
def test_text_comes_back_to_the_last_line_end(formats, name, text):
    formats.save(name, text)
    expected = text.removeprefix("\ufeff")  # a byte order mark is not text
    assert formats.load_data(name) == expected


@given(rows=st.lists(JSON, max_size=4))
def test_any_json_value_survives_json_lines(rows):
    """Written by the rules of our own datasets: one value a line, half surrogates as escapes."""
    from latent.catalog.files import _dumped

    lines = "\n".join(_dumped(row, {"ensure_ascii": False}) for row in rows)
    lines.encode()
    assert [parse_json(line) for line in lines.split("\n") if line] == rows


def test_compressed_files_are_compressed(formats):
    formats.save("csv.gz", pd.DataFrame({"a": [1]}))
    formats.save("md.xz", "text")
    folder = formats._workspace.root / "data" / "sub"
    assert (folder / "value.csv.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (folder / "value.md.xz").read_bytes()[:5] == b"\xfd7zXZ"


def test_nan_and_infinity_survive_json_as_they_do_in_python(formats):
    formats.save("jsonl", [math.nan, math.inf, -math.inf])
    first, second, third = formats.load_data("jsonl")
    assert math.isnan(first)
    assert (second, third) == (math.inf, -math.inf)


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_values_without_a_form_in_json_are_written_in_their_usual_one(formats, name):
    formats.save(
        name,
        [
            Score(id="a", value=0.5),
            Answer("yes", 3),
            datetime.datetime(2024, 2, 29, 12, 30),
            datetime.date(2024, 2, 29),
            uuid.UUID(int=1),
            Decimal("1.10"),
            PurePosixPath("data/a.csv"),
            Color.RED,
            np.float64(0.5),
            np.arange(3),
        ],
    )
    assert formats.load_data(name) == [
        {"id": "a", "value": 0.5},
        {"text": "yes", "tokens": 3},
        "2024-02-29T12:30:00",
        "2024-02-29",
        "00000000-0000-0000-0000-000000000001",
        "1.10",
        "data/a.csv",
        "red",
        0.5,
        [0, 1, 2],
    ]


@pytest.mark.parametrize("name", ["csv", "parquet"])
@pytest.mark.parametrize(
    "rows",
    [
        [{"id": "a", "value": 0.5}, {"id": "b", "value": 1.0}],
        [Score(id="a", value=0.5), Score(id="b", value=1.0)],
    ],
)
def test_list_of_rows_is_saved_as_a_table(formats, name, rows):
    """A mapped task's output is the list of its results."""
    formats.save(name, rows)
    assert formats.load_data(name).to_dict("records") == [
        {"id": "a", "value": 0.5},
        {"id": "b", "value": 1.0},
    ]


def test_frame_is_saved_as_json_lines(formats):
    formats.save("jsonl", pd.DataFrame({"id": [1, 2], "text": ["a", "b"]}))
    assert formats.load_data("jsonl") == [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]


def test_iterator_is_saved_as_json_lines(formats):
    formats.save("jsonl", (number for number in range(3)))
    assert formats.load_data("jsonl") == [0, 1, 2]


def test_yaml_keeps_order_and_writes_what_it_can_read(formats):
    formats.save("yaml", {"b": (1, 2), "a": datetime.date(2024, 2, 29)})
    loaded = formats.load_data("yaml")
    assert list(loaded.items()) == [("b", [1, 2]), ("a", datetime.date(2024, 2, 29))]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("csv", "text", "a table takes a DataFrame or a list of rows (dicts), got str."),
        ("parquet", {"a": 1}, "a table takes a DataFrame or a list of rows (dicts), got dict."),
        ("csv", [{"a": 1}, 2], "row 1 is a int."),
        ("txt", b"bytes", "a text file takes a str, got bytes."),
        ("json", {1, 2}, "a set has no form in JSON"),
        ("jsonl", {"a": 1}, "a JSON Lines file takes a list of rows or a DataFrame, got dict."),
        ("yaml", object(), "cannot represent an object"),
        ("json", None, "there is nothing to save: the value is None."),
    ],
)
def test_value_that_does_not_fit_its_format_is_refused_and_leaves_no_file(formats, name, value, message):
    with pytest.raises(DatasetSaveError) as caught:
        formats.save(name, value)
    assert message in str(caught.value)
    assert f"data/sub/value.{name}) cannot be saved: " in str(caught.value)
    folder = formats._workspace.root / "data" / "sub"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_broken_json_line_names_file_line_and_column(make_catalog):
    catalog = make_catalog("rows: data/rows.jsonl", {"data/rows.jsonl": "{\"a\": 1}\n\n{'a': 2}\n"})
    with pytest.raises(DatasetLoadError) as caught:
        catalog.load_data("rows")
    assert caught.value.line == 3
    assert str(caught.value) == (
        "Dataset 'rows' (latent.catalog.JSONLinesDataset, data/rows.jsonl) cannot be loaded: line 3: "
        "expecting property name enclosed in double quotes at column 2 in \"{'a': 2}\""
    )
    assert isinstance(caught.value.__cause__, Exception)


def test_broken_csv_line_names_file_and_line(make_catalog):
    catalog = make_catalog("rows: data/rows.csv", {"data/rows.csv": "a,b\n1,2\n1,2,3\n"})
    with pytest.raises(
        DatasetLoadError, match=r"data/rows\.csv\) .*: line 3: expected 2 fields, saw 3"
    ) as caught:
        catalog.load_data("rows")
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("a.csv", "load_args: {encoding: cp1252}"),
        ("a.txt", "fs_args: {open_args_load: {encoding: cp1252}}"),
        ("a.json", "fs_args: {open_args_load: {encoding: cp1252}}"),
        ("a.jsonl", "fs_args: {open_args_load: {encoding: cp1252}}"),
        ("a.yaml", "fs_args: {open_args_load: {encoding: cp1252}}"),
    ],
)
def test_foreign_encoding_is_refused_and_the_setting_named_by_the_message_reads_it(
    make_catalog, name, setting
):
    content = '"h\u00e9llo"\n"\u20ac"\n' if name != "a.json" else '["h\u00e9llo",\n"\u20ac"]'
    content = content.replace('"\u20ac"\n', "") if name == "a.yaml" else content
    files = {f"data/{name}": content.encode("cp1252")}
    with pytest.raises(DatasetLoadError) as caught:
        make_catalog(f"x: data/{name}", files).load_data("x")
    assert "line 1: the byte 0xe9 is not UTF-8" in str(caught.value)
    assert setting in str(caught.value)
    assert "h\u00e9llo" in str(make_catalog(f"x: {{filepath: data/{name}, {setting}}}", files).load_data("x"))


def test_encoding_of_the_save_arguments_is_used_for_csv(make_catalog):
    catalog = make_catalog(
        "x: {filepath: data/x.csv, save_args: {encoding: cp1252}, load_args: {encoding: cp1252}}"
    )
    catalog.save("x", [{"a": "\u20ac"}])
    assert (catalog._workspace.root / "data/x.csv").read_bytes().splitlines() == [b"a", b"\x80"]
    assert catalog.load_data("x").loc[0, "a"] == "\u20ac"


def test_csv_whose_rows_are_longer_than_its_header_is_refused(make_catalog):
    """pandas would take the first column for row names and shift the rest without a word."""
    catalog = make_catalog("x: data/x.csv", {"data/x.csv": "id,text\n1,a,x\n2,b,y\n"})
    with pytest.raises(DatasetLoadError, match="the header names 2 columns and the rows have more"):
        catalog.load_data("x")


def test_csv_with_an_index_column_is_read_when_asked_for(make_catalog):
    catalog = make_catalog(
        "x: {filepath: data/x.csv, load_args: {index_col: 0}}", {"data/x.csv": "id,text\na,b\n"}
    )
    assert catalog.load_data("x").index.tolist() == ["a"]


def test_lost_leading_zeros_are_said(make_catalog, caplog):
    catalog = make_catalog("x: data/x.csv", {"data/x.csv": "id,n\n1,10\n01,20\n"})
    catalog.load_data("x")
    assert "leading zeros of the column 'id' are lost" in caplog.text
    assert "dtype: {id: str}" in caplog.text
    caplog.clear()
    kept = make_catalog("x: {filepath: data/x.csv, load_args: {dtype: {id: str}}}").load_data("x")
    assert kept["id"].tolist() == ["1", "01"]
    assert caplog.text == ""


def test_folder_of_files_is_a_dict_of_functions_that_load_them(make_catalog):
    catalog = make_catalog(
        "all: data/docs/\nmarkdown: data/docs/*.md\ndeep: data/docs/**/*.md\ntables: data/docs/*.csv",
        {
            "data/docs/b.md": "B",
            "data/docs/a.md": "A\n",
            "data/docs/sub/c.md": "C",
            "data/docs/.hidden.md": "x",
            "data/docs/t.csv": "n\n1\n",
        },
    )
    assert {name: load() for name, load in catalog.load_data("markdown").items()} == {
        "a.md": "A\n",
        "b.md": "B",
    }
    assert list(catalog.load_data("deep")) == ["a.md", "b.md", "sub/c.md"]
    assert list(catalog.load_data("all")) == ["a.md", "b.md", "sub/c.md", "t.csv"]
    assert catalog.load_data("tables")["t.csv"]().to_dict("records") == [{"n": 1}]


def test_file_of_a_folder_that_is_no_text_is_named_when_it_is_loaded(make_catalog):
    catalog = make_catalog(
        "docs: data/docs/", {"data/docs/a.md": "A", "data/docs/b.png": b"\x89PNG\r\n\x1a\n"}
    )
    docs = catalog.load_data("docs")
    assert docs["a.md"]() == "A"
    with pytest.raises(Exception, match=r"b\.png: the file is a PNG picture, not text"):
        docs["b.png"]()


def test_folder_saves_each_value_and_functions_that_make_one(make_catalog):
    catalog = make_catalog("docs: data/docs/**/*.md")
    catalog.save("docs", {"a.md": "A", "sub/b.md": lambda: "B"})
    assert {name: load() for name, load in catalog.load_data("docs").items()} == {
        "a.md": "A",
        "sub/b.md": "B",
    }
    for name in ("a.txt", ".hidden.md"):
        with pytest.raises(DatasetSaveError, match=f"the name '{name}' does not match"):
            catalog.save("docs", {name: "x"})
    with pytest.raises(DatasetSaveError, match="takes a dict of file names and values, got list"):
        catalog.save("docs", ["x"])


def test_empty_folder_and_glob_are_said_to_be_empty(make_catalog):
    catalog = make_catalog("all: data/docs/\nsome: data/docs/*.md", {"data/docs/.keep": ""})
    assert not catalog.exists("all")
    with pytest.raises(DatasetLoadError, match=r"data/docs\) cannot be loaded: the folder holds no file"):
        catalog.load_data("all")
    with pytest.raises(DatasetLoadError, match=r"no file matches '\*\.md'"):
        catalog.load_data("some")


def test_large_json_integers_are_exact(formats):
    formats.save("json", 2**70)
    assert formats.load_data("json") == 2**70


CITIES = pd.DataFrame({"city": ["oslo", "oslo", "rome"], "year": [1, 2, 2], "n": [1, 2, 3]})
TRUTH, SAID = pd.Series(["cat", "dog"], name="truth"), pd.Series(["cat", "cat"], name="said")
NAMED_ROWS = {
    "groupby": (CITIES.groupby("city")[["n"]].sum(), [["oslo", 3], ["rome", 3]], ["city", "n"]),
    "groupby of a number": (CITIES.groupby("year")[["n"]].sum(), [[1, 1], [2, 5]], ["year", "n"]),
    "groupby of two": (
        CITIES.groupby(["city", "year"])[["n"]].sum(),
        [["oslo", 1, 1], ["oslo", 2, 2], ["rome", 2, 3]],
        ["city", "year", "n"],
    ),
    "value_counts": (CITIES["city"].value_counts(), [["oslo", 2], ["rome", 1]], ["city", "count"]),
    "crosstab": (pd.crosstab(TRUTH, SAID), [["cat", 1], ["dog", 1]], ["truth", "cat"]),
    "crosstab of categories": (
        pd.crosstab(TRUTH, SAID.astype("category")),
        [["cat", 1], ["dog", 1]],
        ["truth", "cat"],
    ),
    "set_index": (CITIES[:1].set_index("city"), [["oslo", 1, 1]], ["city", "year", "n"]),
    "set_index that keeps the column": (
        CITIES[:1].set_index("city", drop=False),
        [["oslo", 1, 1]],
        ["city", "year", "n"],
    ),
    "names without a name": (pd.DataFrame({"n": [2]}, index=["mean"]), [["mean", 2]], ["index", "n"]),
}


@pytest.mark.parametrize("made", NAMED_ROWS)
@pytest.mark.parametrize("name", ["csv", "csv.gz", "tsv", "sheet"])
def test_row_names_are_saved_as_columns(made, name, make_catalog):
    if name == "sheet":
        pytest.importorskip("openpyxl")
    catalog = make_catalog(
        "csv: data/a.csv\ncsv.gz: data/a.csv.gz\ntsv: data/a.tsv\n"
        "sheet: {type: pandas.ExcelDataset, filepath: data/a.xlsx}\n"
    )
    frame, rows, columns = NAMED_ROWS[made]
    catalog.save(name, frame)
    loaded = catalog.load_data(name)
    assert loaded.columns.to_list() == columns
    assert loaded.to_numpy().tolist() == rows


@pytest.mark.parametrize("made", NAMED_ROWS)
def test_row_names_are_saved_in_lines_of_json(made, formats):
    frame, rows, columns = NAMED_ROWS[made]
    formats.save("jsonl", frame)
    assert formats.load_data("jsonl") == [dict(zip(columns, row, strict=True)) for row in rows]


def test_row_names_of_sheets_are_saved(make_catalog):
    pytest.importorskip("openpyxl")
    catalog = make_catalog(
        "sheets: {type: pandas.ExcelDataset, filepath: data/a.xlsx, load_args: {sheet_name: null}}\n"
    )
    catalog.save("sheets", {"sums": NAMED_ROWS["groupby"][0], "rows": CITIES})
    loaded = catalog.load_data("sheets")
    assert loaded["sums"].columns.to_list() == ["city", "n"]
    assert loaded["rows"].equals(CITIES)


def test_parquet_gives_row_names_back_as_they_were(formats):
    for frame in (NAMED_ROWS["groupby"][0], NAMED_ROWS["crosstab"][0], NAMED_ROWS["groupby of two"][0]):
        formats.save("parquet", frame)
        pd.testing.assert_frame_equal(formats.load_data("parquet"), frame)


@pytest.mark.parametrize("frame", [CITIES[CITIES.n > 1], CITIES.sort_values("n", ascending=False)])
def test_numbers_of_rows_are_no_names(frame, formats):
    formats.save("csv", frame)
    assert formats.load_data("csv").columns.to_list() == ["city", "year", "n"]


def test_what_the_catalog_says_of_the_index_comes_first(make_catalog):
    catalog = make_catalog(
        "out: {filepath: data/a.csv, save_args: {index: false}}\n"
        "whole: {filepath: data/b.csv, save_args: {index: true}}\n"
    )
    for name in ("out", "whole"):
        catalog.save(name, NAMED_ROWS["groupby"][0])
    assert catalog.load_data("out").columns.to_list() == ["n"]
    assert catalog.load_data("whole").columns.to_list() == ["city", "n"]


def test_row_names_that_would_hide_a_column_are_refused(formats):
    counts = CITIES.groupby("city")["city"].count()
    with pytest.raises(DatasetSaveError, match=r"named by 'city', and a column of that name"):
        formats.save("csv", counts)

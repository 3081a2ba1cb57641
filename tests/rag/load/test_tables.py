"""CSV, TSV and JSON as documents, one for each row: nothing glued together, and numbers as numbers."""

from __future__ import annotations

import pytest

from latent.errors import UnreadableDocumentError


@pytest.mark.parametrize(
    "text",
    [
        '"Question\n(English)";"Text";"Note"\n"How?";"Hello";"n1"\n',
        '"Price, net, in EUR";"Text";"Note"\n"1,5";"Hello";"n1"\n',
        "sep=;\nText;Note\nHello;n1\n",
        "SEP=|\r\nText|Note\r\nHello|n1\r\n",
        "sep=\t\nText\tNote\nHello\tn1\n",
        '"a ""quoted"", odd, name"|Text|Note\nx|Hello|n1\n',
        '\ufeff"Text",Note\nHello,n1\n',
    ],
)
def test_the_separator_is_what_the_header_has_outside_of_quotes(load, text):
    [document] = load("a.csv", text)
    assert (document.text, document.metadata["Note"]) == ("Hello", "n1")


def test_a_quote_that_is_never_closed_is_named_by_its_line(load):
    with pytest.raises(
        UnreadableDocumentError, match=r"a\.csv:4 cannot be read: a quote in this row is never closed"
    ):
        load("a.csv", 'sep=;\na;b\n1;2\n"3;4\n5;6\n')


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # Quotes as text: never closed, closed in another row, closed in the middle of a field.
        ('id\ttext\n1\t"Hello\n2\tWorld\n', ['"Hello', "World"]),
        ('id\ttext\n1\t"Hello\n2\t"World\n3\tx\n', ['"Hello', '"World', "x"]),
        ('id\ttext\n1\t"Hello" he said\n2\tWorld\n', ['"Hello" he said', "World"]),
        ('id\ttext\n1\t5" pipe\n2\t6" pipe\n', ['5" pipe', '6" pipe']),
        # Quotes around fields, as Excel writes them.
        ('id\ttext\n1\t"two\nlines"\n2\t"a ""word"""\n', ["two\nlines", 'a "word"']),
    ],
)
def test_quotes_of_a_tsv_glue_no_rows_together(load, text, rows):
    assert [document.text for document in load("a.tsv", text)] == rows


def test_a_json_array_of_objects_is_rows(load):
    first, second = load(
        "a.json", '[\n  {"title": "T", "text": "One", "n": 1},\n  {"text": "Two", "n": null}\n]'
    )
    assert (first.text, first.title, first.metadata) == ("One", "T", {"n": 1, "row": 1})
    assert (second.text, second.metadata) == ("Two", {"n": None, "row": 2})


@pytest.mark.parametrize("text", ['{"a": [1, 2]}', "[1, 2]", '[{"a": 1}, 2]', "[]", "[{]", "17"])
def test_other_json_is_one_text(load, text):
    [document] = load("a.json", text)
    assert (document.text, document.media_type) == (text, "application/json")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (["1", "20", "-3"], [1, 20, -3]),
        (["1.5", "2", "3e3"], [1.5, 2, 3000.0]),
        (["9.50", "120", "10.00"], [9.5, 120, 10.0]),
        (["7", "", " 8 "], [7, None, 8]),
        # Not all are numbers, or they are names made of digits.
        (["1", "2", "n/a"], ["1", "2", "n/a"]),
        (["007", "12"], ["007", "12"]),
        (["1.9", "1.10"], ["1.9", "1.10"]),
        (["+49301234", "12"], ["+49301234", "12"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["nan", "1"], ["nan", "1"]),
        (["1_000", "1"], ["1_000", "1"]),
        (["\u0661", "1"], ["\u0661", "1"]),
        (["", ""], ["", ""]),
    ],
)
def test_columns_of_numbers_are_numbers(load, column, values):
    documents = load("a.csv", "text,x\n" + "".join(f"t{n},{value}\n" for n, value in enumerate(column)))
    assert [document.metadata["x"] for document in documents] == values
    assert [type(document.metadata["x"]) for document in documents] == [type(value) for value in values]


def test_the_text_of_a_row_keeps_its_numbers_as_they_are_written(load):
    [document] = load("a.csv", "price,weight\n9.50,1e3\n")
    assert document.text == "price: 9.50\nweight: 1e3"

"""Conditions on rows: what they may say, and how they refuse the rest."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest

from latent.errors import ExpressionError, UsageError
from latent.tracking.row_filter import parse_where

ROW = {
    "index": 7, "id": "q-7", "outcome": "failed", "attempts": 4, "duration_seconds": 0.25, "key": None,
    "error": "HTTP 429: Too Many Requests", "cost_usd": None, "words": ["a", "b"], "doc": {"lang": "de"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("outcome == 'failed'", True),
        ("outcome != 'failed'", False),
        ("attempts > 3", True),
        ("1 < attempts <= 4 != index", True),
        ("1 < attempts < 4", False),
        ("'429' in error", True),
        ("'429' not in error", False),
        ("contains(error, 'too many')", True),
        ("contains(words, 'b')", True),
        ("startswith(id, 'q-')", True),
        ("lower(error) == 'http 429: too many requests'", True),
        ("len(words) == 2 and len(id) == 3", True),
        ("index in (3, 5, 7)", True),
        ("index not in [3, 5, 7]", False),
        ("outcome in {'failed', 'skipped'}", True),
        ("not (index == 7) or attempts == 4", True),
        ("index % 2 == 1 and index // 2 == 3 and index / 2 == 3.5", True),
        ("-index + 10 - 1 * 3 == 0 and +index == 7", True),
        ("doc['lang'] == 'de' and words[0] == 'a' and words[-1] == 'b'", True),
        ("doc['country'] is None and words[9] is None", True),
        ("True and not False", True),
        ("1 + 1", True),
        ("  attempts > 1  ", True),
    ],
)
def test_condition_holds_as_it_does_in_python(text, expected):
    assert parse_where(text).matches(ROW) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cost_usd > 0", False),
        ("cost_usd <= 0", False),
        ("not cost_usd > 0", True),
        ("cost_usd is None", True),
        ("cost_usd is not None", False),
        ("cost_usd == None", True),
        ("cost_usd * 2 > 1", False),
        ("'a' in key", False),
        ("'a' not in key", True),
        ("contains(key, 'a')", False),
        ("startswith(key, 'a')", False),
        ("len(key) > 0", False),
        ("lower(key) is None", True),
        ("index / 0 > 1", False),
    ],
)
def test_what_is_not_known_is_neither_more_nor_less_than_anything(text, expected):
    assert parse_where(text).matches(ROW) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty; an example is `attempts > 1`"),
        ("attempts >", "cannot be used: invalid syntax"),
        ("outcome = 'failed'", "equality is written `==`"),
        ("attempts > 1 && index > 3", "`and` and `or` are words here"),
        ("attempts > 1; index", "invalid syntax at character 13."),
        ("len(id, error)", "len takes 1 arguments, not 2."),
        ("lenght(id) > 3", "there is no function 'lenght', did you mean 'len'?"),
        ("open('x')", "there is no function 'open', known here: contains, len, lower, startswith."),
        ("__import__('os').system('x')", "`__import__('os').system('x')` is more than a condition on rows"),
        ("id.__class__", "`id.__class__` is more than"),
        ("[x for x in words]", "is more than"),
        ("(lambda: 1)()", "is more than"),
        ("words[index]", "`words[index]` is more than"),
        ("9 ** 9 ** 9", "is more than"),
        ("f'{id}' == 'x'", "is more than"),
        ("b'x' == id", "is more than"),
        ("... == id", "is more than"),
        ("(x := 3)", "is more than"),
        ("1 if id else 2", "is more than"),
        ("len(obj=1)", "is more than"),
        ("~index", "is more than"),
        ("a\x00b", "cannot be used: "),
        ("(" * 5_000 + ")" * 5_000, "cannot be used: "),
        ("-" * 5_000 + "1", "it is nested too deeply"),
    ],
)
def test_everything_else_is_refused_by_name(text, reason):
    with pytest.raises(ExpressionError) as caught:
        parse_where(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("atempts > 1", "there is no 'atempts', did you mean 'attempts'?"),
        ("outcome == failed", "there is no 'failed', known here: index, id, "),
        ("outcome == failed", "Text stands in quotes: 'failed'."),
        ("id > 3", "text ('q-7') and a number (3) have no order."),
        ("id + 1 > 3", "text and a number cannot be calculated with."),
        ("3 in id", "a number cannot be looked for in text."),
        ("id in 3", "text cannot be looked for in a number."),
        ("len(index) > 1", "len cannot be asked of a number."),
        ("contains(index, 'a')", "contains cannot be asked of a number and text."),
    ],
)
def test_condition_that_does_not_fit_the_rows_says_what_is_wrong(text, reason):
    with pytest.raises(ExpressionError) as caught:
        parse_where(text).matches(ROW)
    assert reason in str(caught.value)
    assert isinstance(caught.value, UsageError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_table_is_filtered_by_the_columns_that_are_asked_for():
    table = pa.table({"index": [0, 1, 2], "outcome": ["ok", "failed", None], "unused": [1, 2, 3]})
    where = parse_where("outcome == 'failed' or index == 2")
    assert where.names == {"index", "outcome"}
    assert where.filter(table).column("index").to_pylist() == [1, 2]
    assert parse_where("1 > 0").filter(table).num_rows == 3
    assert where.filter(table.slice(0, 0)).num_rows == 0


def test_unknown_column_of_an_empty_table_is_an_error_all_the_same():
    with pytest.raises(ExpressionError, match="did you mean 'index'"):
        parse_where("indx == 1").filter(pa.table({"index": pa.array([], pa.int64())}))

"""YAML: plain data by the rules of YAML 1.2, and a position for everything that is wrong."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.config import interpolate, load_yaml, parse_yaml
from latent.errors import ConfigError


def load(tmp_path: Path, text: str | bytes, **environ: str) -> dict:
    file = tmp_path / "parameters.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_yaml(file, "flows/a/parameters.yaml", environ)


@pytest.mark.parametrize("text", [b"", b"\n \n", b"# only a comment\n", b"---\n", b"\xef\xbb\xbf", b"null"])
def test_empty_file_is_an_empty_mapping(tmp_path, text):
    assert load(tmp_path, text) == {}


def test_absent_file_is_an_empty_mapping(tmp_path):
    assert load_yaml(tmp_path / "none.yaml") == {}
    assert load_yaml(tmp_path / "no_folder" / "none.yaml") == {}


def test_folder_in_place_of_a_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"global\.yaml cannot be read: is a folder"):
        load_yaml(tmp_path, "config/global.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("32", 32),
        ("-1", -1),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("0", 0),
        ("0.001", 0.001),
        ("1e-3", 0.001),  # YAML 1.1 takes this for a text
        ("5E+2", 500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("text", "text"),
        ("'no'", "no"),
        ('"017"', "017"),
        ("!!str no", "no"),
        ("nope", "nope"),
        ("y", "y"),
        ("12:30:45", "12:30:45"),  # YAML 1.1 takes this for 45,045
        ("2024-02-30", "2024-02-30"),  # and this for a date, which does not exist
        ("1.2.3", "1.2.3"),
        ("a #b", "a"),
        ("a#b", "a#b"),
        ("[a, 1, {b: 2}]", ["a", 1, {"b": 2}]),
    ],
)
def test_plain_values_have_the_types_of_yaml_1_2(text, value):
    read = parse_yaml(f"key: {text}", "file")
    assert read == {"key": value}
    assert type(read["key"]) is type(value)


def test_nan_is_a_number():
    assert math.isnan(parse_yaml(".nan", "file"))


@pytest.mark.parametrize("text", ["no", "Yes", "ON", "off", "007", "-010", "1e999", "01289"])
def test_values_that_readers_take_differently_are_errors(text):
    with pytest.raises(ConfigError, match=rf'^file:2:6: {text} .*"{text}"'):
        parse_yaml(f"a: 1\nkey: {text}", "file")


def test_ambiguous_words_are_fine_as_keys():
    assert parse_yaml("on: 1\nno: 2", "file") == {"on": 1, "no": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1", r":2:1: a tab: YAML is indented with blanks"),
        ("a: |\n x\n\ty", r":3:1: a tab: YAML is indented with blanks"),
        ("a: [1, 2\nb: 3", r":1:4: the \[ opened here is not closed"),
        ("a: {b: 1", r":1:4: the \{ opened here is not closed"),
        ("a: 'text", r":1:4: the quote opened here is not closed"),
        ("a: b: c", r":1:5: a second `: ` on this line: put a text that holds one in quotes"),
        ("a:\n  b: 1\n c: 2", r":3:2: this fits no level above"),
        ("a: 1\nb\nc: 2", r":2:1: a key without a `:`"),
        ("a: *.csv", r":1:4: a plain text cannot begin with \*: put it in quotes"),
        ("a: @b", r":1:4: a plain text cannot begin with @"),
        ("a: *b", r":1:4: \*b refers to nothing: define &b"),
        ('a: "C:\\data"', r":1:7: a backslash means nothing here: double it, or use single quotes"),
        ("? [a]\n: 1", r":1:3: a list or mapping cannot be a key"),
        ("a: 1\n---\nb: 2", r":2:1: a second document begins here"),
        ("a: 1\nb: 2\na: 3", r":3:1: the key 'a' stands on line 1 already"),
        ("a:\n  b: {c: 1, c: 2}", r":2:13: the key 'c' stands on line 2 already"),
        (
            "a: !!python/object/apply:os.getcwd []",
            r":1:4: the tag python/object/apply:os\.getcwd is not allowed",
        ),
        ("a: !mine 1", r":1:4: the tag !mine is not allowed"),
        ("a: &a [1, *a]", r":1:4: this value contains itself"),
        ("a: &a {b: *a}", r":1:4: this value contains itself"),
        ("a: \x07", r":1:4: the character '\\x07' is not allowed"),
        ("a: " + "[" * 50_000, r": nested too deeply"),
        ("- " * 20_000, r": nested too deeply"),
        ("a: !!int abc", r": a value cannot be read"),
        ("- a\n- b", r":1:1: holds a list: it must be a mapping of the form `key: value`"),
        ("sk-secret", r":1:1: holds a single value: it must be a mapping"),
        (b"a: caf\xe9", r":1:7: the byte 0xe9 is not UTF-8: save the file as UTF-8"),
        (b"\xff\xfea", r":1:3: its byte order mark says UTF-16, but the bytes do not fit"),
    ],
)
def test_what_cannot_be_read_is_named_by_file_line_and_column(tmp_path, text, message):
    with pytest.raises(ConfigError, match=r"^flows/a/parameters\.yaml" + message):
        load(tmp_path, text)


def test_aliases_may_repeat_but_not_explode(tmp_path):
    assert load(tmp_path, "base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\nlist: [*b, *b]") == {
        "base": {"x": 1, "y": 2},
        "mine": {"x": 1, "y": 3},
        "list": [{"x": 1, "y": 2}, {"x": 1, "y": 2}],
    }
    growth = (
        "a: &a [" + "x, " * 100 + "x]\n" + "b: &b [" + "*a, " * 100 + "*a]\n" + "c: [" + "*b, " * 100 + "*b]"
    )
    with pytest.raises(ConfigError, match=r":3:4: aliases make this stand for 1,0\d\d,\d\d\d values"):
        load(tmp_path, growth)


def test_long_honest_file_is_not_taken_for_an_explosion(tmp_path):
    assert len(load(tmp_path, "rows: [" + "x, " * 100_001 + "x]")["rows"]) == 100_002


def test_variables_take_the_type_of_their_value(tmp_path):
    text = """
model: ${MODEL}
size: ${SIZE}
text: "${SIZE}"
rate: ${RATE:0.5}
path: data/${MODEL}/${SIZE}.csv
tags: ${TAGS:[a, b]}
empty: ${EMPTY}
other: ${EMPTY:fallback}
key_${SIZE}: 1
inline: {a: ${SIZE}, b: ${RATE:1e-3}}
plain: $${MODEL} $NOT ${not a name}
block: |
  Answer as ${MODEL}.
"""
    assert load(tmp_path, text, MODEL="gpt", SIZE="8", EMPTY="") == {
        "model": "gpt",
        "size": 8,
        "text": "8",
        "rate": 0.5,
        "path": "data/gpt/8.csv",
        "tags": ["a", "b"],
        "empty": None,
        "other": "fallback",
        "key_8": 1,
        "inline": {"a": 8, "b": 0.001},
        "plain": "${MODEL} $NOT ${not a name}",
        "block": "Answer as gpt.\n",
    }


@given(
    value=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]))
)
def test_no_value_of_a_variable_changes_the_structure_around_it(value):
    """A password may hold quotes, colons, hashes and line breaks."""
    from latent.config.variables import Variables
    from latent.config.yaml_files import parse

    text = "a: {quoted: \"${V}\", single: '${V}'} # ${V}\nb: 1"
    assert parse(text, "file", Variables({"V": value})) == {"a": {"quoted": value, "single": value}, "b": 1}


@pytest.mark.parametrize(
    "value", ["a: b", "x #y", "it's", '"', "[unclosed", "- a", "two\nlines: 1", "{a: 1", "&a *b"]
)
def test_unquoted_variable_is_a_text_whatever_stands_in_it(tmp_path, value):
    assert load(tmp_path, "a: ${V}\nb: 1", V=value) == {"a": value, "b": 1}


def test_unset_variable_is_named_with_file_and_line(tmp_path):
    message = (
        r"^flows/a/parameters\.yaml:2:4: the environment variable NOPE is not set: set it, or write a default"
    )
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, "a: 1\nb: x ${NOPE}")


def test_variables_in_comments_are_none_of_our_business(tmp_path):
    assert load(tmp_path, "# ${NOPE}\na: 1 # or ${NOPE}") == {"a": 1}


def test_positions_are_those_of_the_file_as_written(tmp_path):
    with pytest.raises(ConfigError, match=r":1:44: "):
        load(tmp_path, "a: {x: ${A_VERY_LONG_NAME:and default}, b: @}")


def test_ambiguous_value_of_a_variable_is_not_shown(tmp_path):
    with pytest.raises(
        ConfigError, match=r":1:6: the variable's value may be a text or something else: put it in quotes"
    ) as caught:
        load(tmp_path, "pin: ${PIN}", PIN="0123456")
    assert "0123456" not in str(caught.value)


def test_interpolate_fills_in_texts():
    assert interpolate("${A}-${B:b}-${C:}-$${A}", {"A": "1"}) == "1-b--${A}"
    with pytest.raises(ConfigError, match="line 2: the environment variable A is not set"):
        interpolate("x\n${A}", {})


@given(st.text())
def test_any_text_is_read_or_refused(text):
    try:
        parse_yaml(text, "file")
    except ConfigError as error:
        assert str(error).startswith("file")

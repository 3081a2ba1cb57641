"""Broken and odd files of the shared collection: a right value, or an error that names the place."""

import re
from pathlib import Path

import pytest

from latent.config import load_yaml
from latent.config.sources import read_toml
from latent.errors import ConfigError

NASTY = Path(__file__).parents[3] / "shared" / "data" / "nasty"
pytestmark = pytest.mark.skipif(
    not NASTY.is_dir(), reason="the shared data collection does not lie beside the repository"
)


def files(*folders: str) -> list:
    found = [file for folder in folders for file in sorted((NASTY / folder).glob("*"))]
    return [pytest.param(file, id=f"{file.parent.name}/{file.name}") for file in found]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alias_growth", ":6:4: aliases make this stand for"),
        ("bad_indent", ":3:2: this fits no level above"),
        ("duplicate_keys", ":5:3: the key 't' stands on line 4 already"),
        ("not_a_mapping", ":1:1: holds a list"),
        ("python_tag", ":1:6: the tag python/object/apply:os.getcwd is not allowed"),
        ("self_reference", ":1:4: this value contains itself"),
        ("special_characters", ":1:6: the character '\\x01' is not allowed"),
        ("surprising_types", ':1:10: no may mean false or the text "no"'),
        ("tab_indent", ":2:1: a tab"),
        ("two_documents", ":3:1: a second document begins here"),
        ("unclosed", ":1:27: the [ opened here is not closed"),
    ],
)
def test_each_broken_yaml_file_is_refused_at_the_right_place(name, message):
    with pytest.raises(ConfigError, match="^" + re.escape(f"{name}.yaml{message}")):
        load_yaml(NASTY / "yaml" / f"{name}.yaml", f"{name}.yaml")


def test_surprising_types_surprise_nobody_once_the_ambiguous_ones_are_quoted(tmp_path):
    text = (NASTY / "yaml" / "surprising_types.yaml").read_text()
    for word in ("no", "017", "off"):
        text = re.sub(rf": {word}$", f': "{word}"', text, flags=re.MULTILINE)
    file = tmp_path / "quoted.yaml"
    file.write_text(text)
    assert load_yaml(file) == {
        "country": "no",
        "version": 1.1,
        "time": "12:30:45",
        "oct": 15,
        "oldoct": "017",
        "null_word": None,
        "on": "off",
        "date": "2024-02-30",
        "hash": "a",
    }


@pytest.mark.parametrize("file", files("yaml", "encoding", "empty", "binary", "json", "size"))
def test_every_file_as_yaml_is_a_mapping_or_a_named_error(file):
    try:
        assert isinstance(load_yaml(file, file.name), dict)
    except ConfigError as error:
        assert str(error).startswith(file.name)
        assert len(str(error)) < 300


@pytest.mark.parametrize("file", files("yaml", "encoding", "empty", "binary", "json"))
def test_every_file_as_toml_is_a_mapping_or_a_named_error(file):
    try:
        assert isinstance(read_toml(file, file.name), dict)
    except ConfigError as error:
        assert str(error).startswith(file.name)
        assert len(str(error)) < 300


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_of_other_languages_is_read_without_loss(tmp_path, encoding):
    text = (NASTY / "encoding" / "utf8_bom.csv").read_text("utf-8-sig")
    file = tmp_path / "text.yaml"
    file.write_text("text: |\n" + "".join(f"  {line}\n" for line in text.splitlines()), encoding=encoding)
    assert load_yaml(file)["text"].splitlines() == text.splitlines()

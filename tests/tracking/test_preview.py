"""What previews show, what they leave out, and that they cost little whatever they are shown."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath

import numpy
import orjson
import pandas
import pyarrow
import pytest
from pydantic import BaseModel, SecretStr

from latent.tracking import shorten


class Colour(Enum):
    RED = "r"


class Model(BaseModel):
    name: str
    key: SecretStr


@dataclass
class Point:
    x: int
    hidden: str = field(default="secret", repr=False)


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


class HostileMapping(dict[str, int]):
    def items(self) -> object:  # type: ignore[override]  # that is the point
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        ("text", "text"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**64, "<int of 65 bits>"),
        pytest.param(10**5000, "<int of 16,610 bits>", id="too long to print"),
        (b"abc", "<3 bytes>"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.10"), "1.10"),
        (PurePosixPath("a/b"), "a/b"),
        (Colour.RED, "Colour.RED"),
        ((1, "a"), [1, "a"]),
        ({1: {"b": [None]}}, {"1": {"b": [None]}}),
        (Point(1), {"x": 1}),
        (Model(name="n", key=SecretStr("k")), {"name": "n", "key": "<SecretStr>"}),
        (Hostile(), "<Hostile>"),
        (HostileMapping(a=1), "<HostileMapping>"),
        (len, "<len>"),
    ],
)
def test_values_are_shown_as_json(value, shown):
    assert shorten(value) == shown
    orjson.dumps(shorten(value))


def test_tables_are_shown_by_shape_and_columns():
    frame = pandas.DataFrame({"a": [1, 2], "shape": [3, 4]})
    assert shorten(frame) == {"type": "pandas.DataFrame", "shape": [2, 2], "columns": ["a", "shape"]}
    table = pyarrow.table({"a": [1]})
    assert shorten(table) == {"type": "pyarrow.Table", "shape": [1, 1], "columns": ["a"]}
    array = numpy.zeros((2, 3), dtype="float32")
    assert shorten(array) == {"type": "numpy.ndarray", "shape": [2, 3], "dtype": "float32"}
    assert shorten(numpy.float64(0.5)) == 0.5


def test_a_frame_with_many_columns_names_the_first_twenty():
    columns = shorten(pandas.DataFrame([range(500)]))["columns"]
    assert len(columns) == 21
    assert columns[-1] == "... 480 more columns"


def test_long_text_is_cut_with_a_marker():
    assert shorten("x" * 2_000, 10) == "xxxxxxxxxx... [1,990 more characters]"


def test_long_lists_and_mappings_say_how_much_is_missing():
    assert shorten(list(range(1_000)), 20) == [0, 1, "... 998 more items"]
    assert shorten({"a" * 20: 1, "b": 2}, 20)["..."] == "1 more entries"


def test_deep_and_circular_values_end():
    circle: list[object] = []
    circle.append(circle)
    assert "items>" in str(shorten(circle))


def test_half_a_secret_is_never_shown():
    """A secret that lies across the cut is masked before the text is cut, so that none of it stays."""
    secret = "sk-verysecretvalue1234567890"
    text = "x" * 90 + secret + "y" * 5_000
    shown = shorten(text, 100, mask=lambda part: part.replace(secret, "***"))
    assert "sk-" not in shown
    assert shown.startswith("x" * 70)


@pytest.mark.parametrize("length", [101, 300, 611, 612, 613, 5_000])
def test_no_part_of_a_repeated_secret_survives_the_cut(length):
    secret = "topsecretvalue"
    text = (secret * (length // len(secret) + 1))[:length]
    shown = shorten(text, 100, mask=lambda part: part.replace(secret, "***"))
    assert "secretv" not in shown


def test_the_size_of_a_value_does_not_matter():
    huge = {"text": "x" * 50_000_000, "list": [1] * 1_000_000, "frame": pandas.DataFrame({"a": range(10**6)})}
    tracemalloc.start()
    shorten(huge)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000, "it copied what it does not show"

"""Codecs: what comes back is what went in, value and type; what would not is refused; no pickle is read."""

from __future__ import annotations

import datetime as dt
import math
import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field, make_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.cache import decode, encode, stable_hash
from latent.cache.codecs import DamagedValueError, UnreadableValueError
from latent.cache.later import LATER
from latent.errors import UnstorableError

from . import shapes
from .shapes import (
    Answer,
    Colour,
    Counted,
    Document,
    Frozen,
    Level,
    Loose,
    Name,
    Names,
    Outer,
    Pair,
    Permission,
)

NOON = dt.datetime(2024, 10, 27, 2, 30, 15, 123456)


def back(value: Any) -> Any:
    codec, data = encode(value)
    assert codec in ("json", "tree")
    return decode(codec, data)


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and stable_hash(one) == stable_hash(other)


private = Answer(text="x")
private._raw = {"id": (1, 2)}

EXACT = [
    None, True, 0, -1, 2**63 - 1, 2**64, -(2**200), 1.5, -0.0, math.inf, -math.inf, math.nan, 1e308, 5e-324,
    1j, "", "ü \N{GRINNING FACE} \x00", "\ud800", {"\ud800": 1}, b"", b"\x00\xff", bytearray(b"x"), [], {},
    [[], {}], (), (1, [2, (3,)]), {1: 2, None: 3, (1, 2): 4, False: 5}, {"$": "user's own"},
    {"$": {"$": 1}, "v": [2]}, {"a": {"$": "tuple", "v": [1]}}, {1, "1", None, (1, 2)}, frozenset({1}),
    deque([1, 2], maxlen=5), deque([(1,)]), OrderedDict(b=1, a=(2,)), Counter("abca"),
    defaultdict(list, {"a": [1]}), defaultdict(None, {1: 2}), range(1, 10, 2), ..., NOON,
    NOON.replace(fold=1, tzinfo=ZoneInfo("Europe/Vienna")), NOON.replace(tzinfo=dt.UTC),
    NOON.replace(tzinfo=ZoneInfo("UTC")),
    NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30))), dt.date(1, 1, 1),
    dt.time(23, 59, 59, 999999), dt.time(1, tzinfo=dt.UTC), dt.timedelta(-1, 5, 7), Decimal("1.10"),
    Decimal("NaN"), Decimal("-Infinity"), Fraction(1, 3), UUID(int=7), Path("a/b.txt"), PurePosixPath("a"),
    PureWindowsPath("a"), Colour.BLUE, Level.HIGH, Name.ADA, Permission.READ | Permission.WRITE,
    Permission(0), Pair(1, (2, 3)), [Pair(1)], Document("x", {"f1": 0.5}, Document("y")), Frozen((1, 2)),
    Outer.Inner(1), Answer(text="x"),
    Answer(text="x", usage={"in": 1}, document=Document("d"), colour=Colour.BLUE), private,
    Loose(name="x", more=(1, 2)), Names(["a"]), {"answers": [Answer(text="x")]}, np.array(1),
    np.arange(6).reshape(2, 3), np.arange(6, dtype=">i2"), np.array([1.5, math.nan]), np.array([True]),
    np.array(["a", "bc"]), np.array([b"a"]), np.array([1j]), np.zeros((0, 3), dtype="f4"),
    np.array([1, "1", (2,)], dtype=object), np.array(["2024-01-01"], dtype="M8[D]"),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8", (2,))]), np.float32(1.5), np.int64(-1),
    np.bool_(True), np.str_("x"), np.datetime64("2024-01-01"), {"score": np.float64(0.1)},
    pd.Timestamp("2024-01-01 12:00:00.123456789"), pd.Timestamp("2024-06-01", tz="Europe/Vienna"),
    pd.Timedelta(1, "s"), pd.NaT, pd.NA, [pd.Timestamp("2024-01-01", tz="UTC"), None],
    pa.table({"a": [1, None], "b": [["x"], None], "c": [{"d": 1}, None]}), pa.record_batch({"a": [1]}),
    pa.table({"a": [1]}).replace_schema_metadata({"source": "x"}),
    {"frame": pd.DataFrame({"a": [1]}), "n": 1},
]  # fmt: skip


def named(value: object) -> str:
    """The same in every process: sets have no order."""
    text = f"of {len(value)}" if isinstance(value, (set, frozenset)) else str(value)[:24]
    return f"{type(value).__name__}-{text!a}"


@pytest.mark.parametrize("value", EXACT, ids=named)
def test_a_value_comes_back_exactly(value):
    assert same(back(value), value)


CATEGORIES = pd.Categorical(["low", "high", None], categories=["low", "high", "never"], ordered=True)
FRAMES = {
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="i4"), "b": pd.Series([], dtype=object)}),
    "no columns": pd.DataFrame(index=pd.Index(["x", "y"], name="id")),
    "numbers": pd.DataFrame(
        {"a": [1, 2], "b": [1.5, math.nan], "c": np.array([1, 2], dtype="i1"), "d": [True, False]}
    ),
    "text": pd.DataFrame({"a": ["x", None, "ü"]}),
    "text as objects": pd.DataFrame({"a": ["x", None, math.nan]}, dtype=object),
    "objects": pd.DataFrame(
        {"a": [[1, 2], (3,), {"b": 1}], "n": [1, 2, 3], "b": [1, "1", 1.0]}, index=[5, 6, 7]
    ),
    "nullable": pd.DataFrame(
        {"a": pd.array([1, None], dtype="Int8"), "b": pd.array([True, None], dtype="boolean")}
    ),
    "arrow": pd.DataFrame({"a": pd.array([1, None], dtype="int64[pyarrow]")}),
    "categories": pd.DataFrame({"a": CATEGORIES, "b": pd.Categorical([3, 1, 3])}),
    "dates": pd.DataFrame(
        {"a": pd.date_range("2024-01-01", periods=2, tz="Europe/Vienna"), "b": pd.to_timedelta([1, 2], "s")}
    ),
    "coarse dates": pd.DataFrame({"a": pd.array(["2024-01-01"], dtype="M8[s]")}),
    "periods": pd.DataFrame(
        {"a": pd.period_range("2024-01", periods=2, freq="M"), "b": pd.interval_range(0, 2)}
    ),
    "number labels": pd.DataFrame([[1, 2]], columns=[0, 1]),
    "equal labels": pd.DataFrame([[1, "x"]], columns=["a", "a"]),
    "mixed labels": pd.DataFrame([[1, 2, 3]], columns=pd.Index(["a", 1, None], dtype=object)),
    "label levels": pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["l", None])
    ),
    "index levels": pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["n", "m"])
    ),
    "date index": pd.DataFrame(
        {"a": [1, 2]}, index=pd.date_range("2024-01-01", periods=2, freq="D", name="day")
    ),
    "category index": pd.DataFrame({"a": [1]}, index=pd.CategoricalIndex(["x"], categories=["x", "y"])),
    "named labels": pd.DataFrame({"a": [1]}).rename_axis(columns="what", index="which"),
    "sliced": pd.DataFrame({"a": range(10)})[2:8:3],
    "attributes": pd.DataFrame({"a": [1]}),
    "series": pd.Series([1, None], name=("a", 1), index=["x", "y"]),
    "objects series": pd.Series([{"a": 1}, None], dtype=object),
    "index": pd.Index(["a", None], name="n"),
    "range": pd.RangeIndex(2, 10, 3, name="r"),
    "levels": pd.MultiIndex.from_product([[1, 2], ["a"]]),
}
FRAMES["attributes"].attrs = {"source": ("x", 1)}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_keep_types_labels_index_and_attributes(name):
    value = FRAMES[name]
    restored = back(value)
    assert same(restored, value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(restored, value, check_exact=True, check_freq=True)
    elif isinstance(value, pd.Series):
        pd.testing.assert_series_equal(restored, value, check_exact=True)
    else:
        pd.testing.assert_index_equal(restored, value, exact=True)


def test_restored_arrays_and_frames_can_be_changed():
    array = back(np.arange(3))
    array[0] = 9
    frame = back(pd.DataFrame({"a": [1, 2]}))
    frame.loc[0, "a"] = 9
    assert array[0] == frame.loc[0, "a"] == 9


def test_plain_json_stays_readable_json():
    value = {"id": 1, "text": "ü", "scores": [0.5, None, True]}
    codec, data = encode(value)
    assert codec == "json"
    assert orjson.loads(data) == value


def test_restoring_runs_no_code_of_the_class():
    counted = Counted(3)
    before = len(shapes.made)
    restored = back(counted)
    assert restored == counted
    assert len(shapes.made) == before


@dataclass
class Local:
    value: int


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> Any:
    value: Any = []
    for _ in range(3000):
        value = [value]
    return value


def with_attribute() -> Document:
    document = Document("x")
    document.extra = 1  # type: ignore[attr-defined]  # what a user may do
    return document


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: object(), ""),
        (lambda: {"a": [1, object()]}, "['a'][1]"),
        (lambda: Document("x", parent=lambda: None), ".parent"),
        (lambda: Answer.model_construct(text=object()), ".text"),
        (lambda: (number for number in [1]), ""),
        (lambda: Word("x"), ""),
        (lambda: make_dataclass("Made", ["x"])(1), ""),
        (with_attribute, ""),
        (cyclic, ""),
        (deep, ""),
        (lambda: NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=1), "mine")), ""),
        (lambda: defaultdict(lambda: 1), ""),
        (lambda: np.ma.array([1], mask=[True]), ""),
        (lambda: np.array([object()], dtype=object), "[0]"),
        (lambda: pd.DataFrame({"a": [object()]}), ".iloc[:, 0][0]"),
        (lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), ""),
        (lambda: pa.array([1]), ""),
    ],
)  # fmt: skip
def test_what_would_not_come_back_exactly_is_refused_with_its_path(make, path):
    with pytest.raises(UnstorableError) as caught:
        encode(make())
    error = caught.value
    assert error.path == path
    error.__context__ = None  # where dask was imported, it would be pickled too, with a thousand frames
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_pickle_is_written_only_when_allowed():
    codec, data = encode(Word("x"), allow_pickle=True)
    assert codec == "pickle"
    assert same(decode(codec, data, allow_pickle=True), Word("x"))
    assert encode([1, 2], allow_pickle=True)[0] == "json"
    with pytest.raises(UnstorableError, match="pickle says"):
        encode(lambda: None, allow_pickle=True)


class Bomb:
    exploded = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Bomb, "exploded", True)


def test_pickle_is_never_read_unless_allowed():
    data = pickle.dumps(Bomb())
    with pytest.raises(UnreadableValueError, match="allow_pickle"):
        decode("pickle", data)
    for codec in ("json", "tree", "other"):
        with pytest.raises(DamagedValueError):
            decode(codec, data, allow_pickle=True)
    assert not Bomb.exploded


@pytest.mark.parametrize("value", [{"a": (1, b"xyz")}, np.arange(5), FRAMES["objects"], Answer(text="x")])
def test_truncated_bytes_are_damage(value):
    codec, data = encode(value)
    for length in {0, 1, 4, 11, len(data) // 2, len(data) - 1}:
        with pytest.raises(DamagedValueError):
            decode(codec, data[:length])
    with pytest.raises(DamagedValueError):
        decode(codec, data + b"x")


@settings(deadline=None, max_examples=80)
@given(st.binary(max_size=200), st.sampled_from(["json", "tree"]))
def test_foreign_bytes_are_damage_or_plain_json(data, codec):
    with suppress(DamagedValueError):
        decode(codec, data)


@pytest.mark.parametrize(
    "tree",
    [
        {"$": "dataclass", "v": ["os:system", "x", []]},
        {"$": "dataclass", "v": ["subprocess:Popen", "x", [["args", "true"]]]},
        {"$": "enum", "v": ["builtins:dict", "x"]},
        {"$": "flag", "v": ["pathlib:Path", "x"]},
        {"$": "namedtuple", "v": ["builtins:tuple", [], [1]]},
        {"$": "model", "v": ["tests.cache.shapes:Document", "x", [[], None, None, []]]},
        {"$": "dataclass", "v": ["no.such.module:Thing", "x", []]},
        {"$": "dataclass", "v": ["tests.cache.shapes:Document", "another schema", []]},
    ],
)
def test_an_entry_cannot_name_a_class_that_is_none_of_its_kind(tree):
    text = orjson.dumps(tree)
    data = (1).to_bytes(4, "little") + len(text).to_bytes(8, "little") + text
    with pytest.raises((UnreadableValueError, DamagedValueError)):
        decode("tree", data)


def test_a_class_whose_fields_have_changed_is_not_filled(monkeypatch):
    codec, data = encode(Document("x"))
    changed = make_dataclass(
        "Document", [("text", str), ("other", int)], namespace={"__module__": shapes.__name__}
    )
    monkeypatch.setattr(shapes, "Document", changed)
    with pytest.raises(UnreadableValueError, match=r"fields of .*Document have changed"):
        decode(codec, data)
    monkeypatch.delattr(shapes, "Document")
    with pytest.raises(UnreadableValueError, match="gone"):
        decode(codec, data)


def test_an_enum_member_that_is_gone_is_not_guessed(monkeypatch):
    codec, data = encode(Colour.BLUE)

    monkeypatch.setattr(shapes, "Colour", Enum("Colour", {"RED": 1}, module=shapes.__name__))
    with pytest.raises(UnreadableValueError, match="no member 'BLUE'"):
        decode(codec, data)


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.none() | st.timezones()) | st.dates() | st.times() | st.timedeltas()
    | st.decimals(allow_nan=False) | st.fractions() | st.uuids() | st.complex_numbers()
    | st.sampled_from(Colour)
)  # fmt: skip
hashable = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.dates()
    | st.tuples(st.integers(), st.text())
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashable, inner, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.just("$"), inner, max_size=3),
        st.sets(hashable, max_size=3),
        st.frozensets(hashable, max_size=3),
        st.builds(Pair, inner, inner),
        st.builds(Frozen, inner),
        st.builds(Document, st.text(), parent=inner),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(values)
def test_every_value_built_of_storable_parts_comes_back_exactly(value):
    assert same(back(value), value)


columns = st.sampled_from(
    [
        "int8",
        "uint64",
        "float32",
        "float64",
        "bool",
        "object",
        "str",
        "Int64",
        "boolean",
        "M8[ns]",
        "m8[s]",
        "category",
    ]
)


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_frames_of_any_column_types_come_back_exactly(data):
    rows = data.draw(st.integers(0, 4))
    frame = pd.DataFrame(index=range(rows))
    for number, dtype in enumerate(data.draw(st.lists(columns, max_size=4))):
        numbers = data.draw(st.lists(st.integers(0, 100), min_size=rows, max_size=rows))
        items: Any = [str(item) for item in numbers] if dtype in ("str", "category", "object") else numbers
        if dtype == "boolean":
            items = [item > 50 for item in numbers]
        if dtype == "object":
            items = pd.Series([(item, [item]) for item in items], dtype=object)
        frame[f"c{number}"] = (
            pd.Series(items, dtype="i8" if dtype[1:2] == "8" else None).astype(dtype)
            if rows
            else pd.Series([], dtype=dtype)
        )
    assert same(back(frame), frame)


def test_polars_frames_come_back_exactly():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"a": [1, None], "b": ["x", "y"], "c": [[1], []], "d": [dt.date(2024, 1, 1), None]}
    )
    for value in (frame, frame["b"], frame.head(0), {"frame": frame}):
        assert same(back(value), value)
    assert stable_hash(frame) != stable_hash(frame.rename({"a": "z"}))
    assert stable_hash(frame) != stable_hash(frame.to_arrow())
    assert stable_hash(frame["a"]) != stable_hash(frame["a"].cast(polars.Int32))


@dataclass(frozen=True)
class Grown:
    """As a dataclass of ours that gets a field after results of it were remembered."""

    text: str
    note: str | None = field(default=None, metadata=LATER)


def test_entries_from_before_a_later_field_stay_readable_and_keep_their_hash(monkeypatch):
    before = make_dataclass(
        "Grown", [("text", "str")], frozen=True, namespace={"__module__": __name__, "__qualname__": "Grown"}
    )
    now = Grown
    monkeypatch.setitem(globals(), "Grown", before)
    codec, data = encode(before("x"))
    hashed = stable_hash(before("x"))
    monkeypatch.setitem(globals(), "Grown", now)
    assert decode(codec, data) == now("x")
    assert stable_hash(now("x")) == hashed
    assert stable_hash(now("x", "y")) != hashed
    assert decode(*encode(now("x", "y"))) == now("x", "y")


@pytest.mark.parametrize("value", [shapes.Page("a"), shapes.Sheet(text="a")], ids=["dataclass", "model"])
def test_a_cached_property_that_was_read_is_made_again_where_it_is_needed(value):
    assert value.lock is value.lock
    restored = back(value)
    assert restored == type(value)(text="a")
    assert vars(restored) == {"text": "a"}
    assert restored.lock is not value.lock

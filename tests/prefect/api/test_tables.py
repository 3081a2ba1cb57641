"""Rows in memory: bounds, filters and orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from latent.prefect.api.filters import count, matches, select, sort
from latent.prefect.api.messages import RefusalError
from latent.prefect.api.records import Record, Table, new_record, parse_id, parse_time

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(number: int, **fields: Any) -> Record:
    return new_record({"number": number, **fields}, START + timedelta(seconds=number))


def numbers(rows: Any) -> list[int]:
    return [found["number"] for found in rows]


def test_the_oldest_row_goes_when_there_are_too_many() -> None:
    gone: list[int] = []
    table = Table("Row", max_rows=3, on_gone=lambda record: gone.append(record["number"]))
    for number in range(5):
        table.add(row(number))
    assert (numbers(table), gone) == ([2, 3, 4], [0, 1])


def test_the_oldest_rows_go_when_they_are_too_big() -> None:
    table = Table("Row", max_bytes=10)
    for number in range(4):
        table.add(row(number), size_bytes=4)
    assert numbers(table) == [2, 3]
    table.add(row(9), size_bytes=100)
    assert numbers(table) == [9]


def test_rows_in_use_stay() -> None:
    table = Table("Row", max_rows=2, may_go=lambda record: record["number"] % 2 == 1)
    for number in range(6):
        table.add(row(number))
    assert numbers(table) == [0, 2, 4, 5]


def test_a_missing_row_says_what_it_would_be() -> None:
    table = Table("Flow run")
    with pytest.raises(RefusalError, match="Flow run 00000000-0000-0000-0000-000000000001 not found"):
        table.read("00000000-0000-0000-0000-000000000001")


def test_ids_and_times_are_normalised_or_refused() -> None:
    assert parse_id("00000000000000000000000000000001") == "00000000-0000-0000-0000-000000000001"
    assert parse_time("2026-01-01T00:00:00") == parse_time("2026-01-01T00:00:00Z") == START
    for parse, wrong in ((parse_id, "x"), (parse_time, "yesterday")):
        with pytest.raises(RefusalError):
            parse(wrong)


FIELDS = {
    "name": lambda record: record["name"],
    "tags": lambda record: record["tags"],
    "created": lambda record: record["created"],
    "state": lambda record: {"type": record["type"]},
}
ROW = row(5, name="Alpha", tags=["a", "b"], type="RUNNING")


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (None, True),
        ({}, True),
        ({"name": {"any_": ["Alpha", "Beta"]}}, True),
        ({"name": {"any_": []}}, False),
        ({"name": {"not_any_": ["Alpha"]}}, False),
        ({"name": {"like_": "alp"}}, True),
        ({"name": {"any_": None, "like_": "x"}}, False),
        ({"tags": {"all_": ["a", "b"]}}, True),
        ({"tags": {"all_": ["a", "c"]}}, False),
        ({"tags": {"any_": ["c", "b"]}}, True),
        ({"tags": {"is_null_": True}}, False),
        ({"created": {"after_": "2026-01-01T00:00:05Z"}}, True),
        ({"created": {"before_": "2026-01-01T00:00:04Z"}}, False),
        ({"state": {"type": {"any_": ["RUNNING"]}}}, True),
        ({"state": {"type": {"any_": ["FAILED"]}, "operator": "or_"}}, False),
        ({"name": {"any_": ["no"]}, "tags": {"any_": ["a"]}, "operator": "or_"}, True),
        ({"name": {"any_": ["no"]}, "tags": {"any_": ["a"]}, "operator": "and_"}, False),
        ({"operator": "or_"}, True),
    ],
)
def test_filters_mean_what_prefect_means(criteria: Any, expected: bool) -> None:
    assert matches(ROW, criteria, FIELDS, "rows") is expected


@pytest.mark.parametrize(
    "body",
    [
        {"rows": {"colour": {"any_": ["red"]}}},
        {"rows": {"name": {"sounds_like_": "x"}}},
        {"deployments": {"id": {"any_": []}}},
        {"sort": "COLOUR_ASC"},
    ],
)
def test_a_filter_that_is_not_known_is_refused_rather_than_ignored(body: Any) -> None:
    with pytest.raises(RefusalError, match="latent up"):
        select([ROW], body, {"rows": FIELDS}, "rows")


def test_pages_and_counts() -> None:
    rows = [row(number, name=str(number % 2)) for number in range(300)]
    odd = {"rows": {"name": {"any_": ["1"]}}}
    fields = {"rows": FIELDS}
    assert count(rows, odd, fields, "rows") == 150
    assert numbers(select(rows, {**odd, "limit": 2, "offset": 1}, fields, "rows")) == [297, 295]
    assert len(select(rows, {}, fields, "rows")) == 200
    assert select(rows, {"limit": 0}, fields, "rows") == []


def test_orders_put_unknown_values_last_and_newer_rows_first() -> None:
    rows = [row(0, rank=2), row(1, rank=None), row(2, rank=1), row(3, rank=2)]
    assert numbers(sort(rows, "ID_ASC", "rows")) == [0, 1, 2, 3]
    assert numbers(sort(rows, "ID_DESC", "rows")) == [3, 2, 1, 0]
    assert numbers(sort(rows, "RANK_ASC", "rows")) == [2, 0, 3, 1]
    assert numbers(sort(rows, "RANK_DESC", "rows")) == [3, 0, 2, 1]

"""
pytest-html's report: a test for each row, which prints it.

    python -m pytest benchmarks/subjects/page_pytest_html.py --html=FILE --self-contained-html
"""

from __future__ import annotations

import pytest

from benchmarks.subjects import page_rows

ROWS = page_rows.rows(10_000, 0)


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_row(row: dict[str, str]) -> None:
    print(*(f"{name}: {value}" for name, value in row.items()), sep="\n")
    assert page_rows.right(row["output"]), row["reason"]

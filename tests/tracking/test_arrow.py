"""Arrow columns laid out by hand hold exactly what was put in."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest

from latent.tracking.arrow import column_of, table_from


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1_000])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", lambda n: "é" * (n % 5)),
        ("int32", lambda n: n - 3),
        ("int64", lambda n: n * 10**12),
        ("float64", lambda n: n / 7),
        ("bool", lambda n: n % 3 == 0),
    ],
)
@pytest.mark.parametrize("missing", ["none", "some", "all"])
def test_columns_hold_what_was_put_in(count, kind, value, missing):
    left_out = {"none": lambda n: False, "some": lambda n: n % 2 == 1, "all": lambda n: True}[missing]
    values = [None if left_out(n) else value(n) for n in range(count)]
    column = column_of(values, kind)
    column.validate(full=True)
    assert column.to_pylist() == values
    assert column.null_count == values.count(None)
    assert column.equals(pa.array(values, pa.type_for_alias(kind)))


def test_text_that_is_no_unicode_or_no_text_is_kept_readable():
    assert column_of(["caf\udce9", 7, None], "string").to_pylist() == ["caf\\udce9", "7", None]


def test_number_that_does_not_fit_is_an_error():
    with pytest.raises((OverflowError, TypeError)):
        column_of([2**40], "int32")


def test_rows_are_written_and_read_without_pandas(workspace):
    """It takes half a second to import, and nobody here needs it."""
    script = f"""
import sys, time
from latent.config import find_workspace
from latent.tracking import RowRecord, RunInfo, RunRecorder, load_failures, load_rows, parse_where
workspace = find_workspace({str(workspace.root)!r})
run = RunRecorder.start(workspace, RunInfo(run_id="r", flow_name="f", started_at=time.time()), tracked=False)
error = {{"type": "ValueError", "message": "no"}}
run.rows([RowRecord("ask", 0, "a", "ok"), RowRecord("ask", 1, "b", "failed", error=error)])
run.finish("ok")
assert run.flush(60)
rows = parse_where("outcome == 'failed'").filter(load_rows(workspace, "r")).sort_by("index").slice(0, 5)
assert rows.to_pylist()[0]["error"] == "no"
assert len(load_failures(workspace, "r")) == 1
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_tables_have_their_columns_in_order():
    table = table_from({"b": ["x"], "a": [1]}, {"a": "int64", "b": "string"})
    assert table.schema == pa.schema([("a", pa.int64()), ("b", pa.string())])

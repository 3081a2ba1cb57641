"""What is read is what was written: rows of files, frames and lists, with nothing changed on the way."""

import math

import pandas as pd
import pytest

from latent.errors import EvaluationDataError
from latent.evals import evaluate
from latent.evals.reading import read_rows
from latent.evals.scorers import contains, exact_match

pytestmark = pytest.mark.usefixtures("quick")


def rows_of(data, workspace):
    return read_rows(data, workspace, None)[1]


def column(workspace, suffix, text):
    separator = "\t" if suffix == ".tsv" else ","
    lines = "".join(f"{number}{separator}{each}\n" for number, each in enumerate(text))
    (workspace.root / f"rows{suffix}").write_text(f"id{separator}it\n{lines}")
    return [row["it"] for row in rows_of(f"rows{suffix}", workspace)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["4", "", "7"], [4, None, 7]),  # to pandas 4.0 and 7.0, which no model answers
        (["0.5", "1", "-2.25"], [0.5, 1, -2.25]),
        (["007", "8"], ["007", "8"]),
        (["1.50", "2"], ["1.50", "2"]),
        (["NA", "None", "null", "nan", ""], ["NA", "None", "null", "nan", None]),
        (["nan", "1"], ["nan", "1"]),
        (["inf", "1"], ["inf", "1"]),
        (["1e5", "1"], ["1e5", "1"]),
        (["true", "", "false"], [True, None, False]),
        (["True", "False"], [True, False]),
        (["TRUE"], [True]),
        (["true", "False", "1"], ["true", "False", "1"]),
        (["12345678901234567890", "1"], [12345678901234567890, 1]),
        (["", ""], [None, None]),
        (["9" * 5_000], ["9" * 5_000]),
    ],
)
def test_tables_are_read_as_they_are_written(quick, suffix, written, read):
    found = column(quick, suffix, written)
    assert found == read
    assert [*map(type, found)] == [*map(type, read)]


def test_compressed_tables_are_too(quick):
    pd.DataFrame({"id": ["01", "02"], "n": [1, None]}).to_csv(quick.root / "rows.csv.gz", index=False)
    assert rows_of("rows.csv.gz", quick) == [{"id": "01", "n": 1.0}, {"id": "02", "n": None}]


def test_whole_numbers_of_a_frame_stay_whole_beside_a_gap(quick):
    frame = pd.DataFrame(
        {
            "whole": [4, None, 6],
            "decimal": [4.5, None, 6],
            "full": [1.0, 2.0, 3.0],
            "huge": [1e300, None, 1.0],
        }
    )
    found = rows_of(frame, quick)
    assert [row["whole"] for row in found] == [4, None, 6]
    assert all(type(found[place]["whole"]) is int for place in (0, 2))
    assert all(type(row["full"]) is float for row in found)
    assert [row["decimal"] for row in found] == [4.5, None, 6.0]
    assert found[0]["huge"] == 1e300
    assert type(found[0]["huge"]) is float


@pytest.mark.parametrize("gap", [math.nan, pd.NA, pd.NaT, None])
def test_a_gap_is_no_expected_answer_in_lists_of_rows_either(gap):
    rows = [{"id": 1, "output": "banana", "expected": gap}, {"id": 2, "output": "x", "expected": "x"}]
    metric = evaluate(rows, scorers=contains)["contains"]
    assert (metric.n, metric.rows, metric.not_applicable) == (1, 1, 1)


def test_expected_numbers_match_beside_rows_that_have_none(quick):
    (quick.root / "rows.csv").write_text("id,expected,output\n1,4,4\n2,,5\n3,7,7\n")
    metric = evaluate("rows.csv", scorers=exact_match)["exact_match"]
    assert (metric.mean, metric.n, metric.not_applicable) == (1.0, 2, 1)


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_that_the_caller_names_may_lie_anywhere(quick, tmp_path_factory, linked):
    """What a catalog names is held to the workspace; the caller's own word is not."""
    path = tmp_path_factory.mktemp("elsewhere") / "rows.jsonl"
    path.write_text('{"id": 1, "output": "x"}\n')
    if linked:
        (quick.root / "here.jsonl").symlink_to(path)
        path = quick.root / "here.jsonl"
    assert rows_of(path, quick) == [{"id": 1, "output": "x"}]


def test_a_name_that_is_too_long_for_a_file_is_none(quick):
    with pytest.raises(EvaluationDataError, match="no such file"):
        rows_of("x" * 300 + ".csv", quick)


@pytest.mark.parametrize("name", ["~a.jsonl", "a{b}.jsonl", "a [1] #%20.jsonl", "${HOME}.jsonl", "Ünï.JSONL"])
def test_files_may_have_odd_names(quick, name):
    (quick.root / name).write_text('{"id": 1, "output": "x"}\n')
    assert rows_of(name, quick) == [{"id": 1, "output": "x"}]


@pytest.mark.parametrize("name", ["a*.jsonl", "what?.csv"])
def test_a_name_that_stands_for_many_files_is_refused(quick, name):
    (quick.root / name).write_text('{"id": 1, "output": "x"}\n')
    with pytest.raises(EvaluationDataError, match="stand for many files"):
        rows_of(name, quick)


def test_a_folder_is_not_data(quick):
    with pytest.raises(EvaluationDataError, match="it is a folder"):
        rows_of("config", quick)


def test_messages_list_some_of_many_columns():
    with pytest.raises(EvaluationDataError, match="c19 and 1,980 more"):
        evaluate([{f"c{number}": 1 for number in range(2_000)}], scorers=contains)

"""Judges against people: agreement, and the mean that labels correct."""

from __future__ import annotations

import json

import pytest

from latent.errors import EvaluationDataError
from latent.evals import Judge, evaluate, scorer
from latent.evals.people import content_key, rubric_key
from tests.evals.test_judging import JUDGE, fields_in

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def lenient(make_provider_simulator):
    """A judge that gives every answer the grade that stands in it."""

    def answer(prompt):
        return json.dumps({"reason": "r", "score": int(fields_in(prompt)[0]["output"])})

    return make_provider_simulator(answer=answer)


def judged(rows, labels, scale=(0, 1)):
    judge = Judge("Is it right?", model=JUDGE, scale=scale, recheck=0)
    return evaluate(rows, scorers=judge, labels=labels)


def rows_of(judge, people):
    return [
        {"id": str(n), "question": f"q{n}", "output": str(grade), "label": label}
        for n, (grade, label) in enumerate(zip(judge, people, strict=True))
    ]


def test_agreement_with_people_stands_beside_the_mean(lenient):
    rows = rows_of([1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 1])
    found = judged(rows, "label")
    (agreement,) = found.about["agreement"]
    assert (agreement["n"], agreement["agreement"]) == (6, 4 / 6)
    # judge says yes to 4, people to 4: chance (4*4 + 2*2)/36 = 5/9; kappa (4/6 - 5/9) / (4/9)
    assert agreement["kappa"] == pytest.approx(0.25)
    assert agreement["confusion"] == [[1, 1], [1, 3]]
    assert "20" in agreement["corrected_note"]
    assert found["judge"].note == "kappa 0.250 with people on 6 rows"


def test_twenty_labels_correct_the_mean_of_a_judge_that_is_too_kind(lenient):
    judge = [1] * 30 + [0] * 10
    people = [1] * 12 + [0] * 6 + [None] * 12 + [0] * 4 + [None] * 6
    found = judged(rows_of(judge, people), "label")
    (agreement,) = found.about["agreement"]
    assert found["judge"].mean == 0.75
    corrected = agreement["corrected"]
    assert corrected["ci_low"] < corrected["value"] < corrected["ci_high"]
    assert corrected["value"] < 0.7
    assert agreement["n"] == 22


def test_labels_come_from_a_file_by_id(lenient, quick):
    rows = rows_of([1, 0, 1], [None, None, None])
    (quick.root / "labels.jsonl").write_text('{"id": 0, "label": 1}\n{"id": 2, "label": 0}\n')
    assert judged(rows, "labels.jsonl").about["agreement"][0]["n"] == 2
    by_metric = [{"id": "0", "label": 1, "metric": "judge"}, {"id": "1", "label": 1, "metric": "other"}]
    assert judged(rows, by_metric).about["agreement"][0]["n"] == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([{"id": "9", "label": 1}], "none of its 1 labels belongs to a row"),
        ([{"id": "0", "lable": 1}], "did you mean 'lable'"),
        ("nowhere.jsonl", "no such file"),
    ],
)
def test_labels_that_fit_nothing_are_told_before_anything_is_paid(lenient, labels, said):
    with pytest.raises(EvaluationDataError, match=said):
        judged(rows_of([1, 0], [1, 0]), labels)
    assert lenient.record().requests == 0


def without_id(line):
    return {name: value for name, value in json.loads(line["input"]).items() if name != "id"}


def marks_of(evaluation, labels):
    """What the page would save for each row's first metric."""
    (scorer,) = evaluation.about["scorers"]
    lines = evaluation.rows_table.to_pylist()
    return [
        {
            "id": line["id"], "repeat": line["repeat"], "metric": scorer["name"], "label": label,
            "key": f"{content_key(without_id(line), line['output'])}-{rubric_key(scorer, scorer['name'])}",
        }
        for line, label in zip(lines, labels, strict=True)
    ]  # fmt: skip


def test_marks_count_wherever_input_answer_and_rubric_are_the_same(lenient):
    marks = marks_of(judged(rows_of([1, 0, 1], [None] * 3), None), [1, 1, None])
    renamed = [{**row, "id": f"other-{row['id']}"} for row in rows_of([1, 0, 1], [None] * 3)]
    found = judged(renamed[::-1], marks)
    assert (found.about["agreement"][0]["n"], found.about["marks_expired"]) == (2, 0)


def test_marks_expire_with_the_answer_and_the_rubric_alone(lenient):
    first = judged(rows_of([1, 0, 1], [None] * 3), None)
    marks = marks_of(first, [1, 1, 1])
    changed = judged(rows_of([1, 0, 0], [None] * 3), marks)
    assert (changed.about["agreement"][0]["n"], changed.about["marks_expired"]) == (2, 1)
    again = changed.score(Judge("Is it so?", model=JUDGE, scale=(0, 1), recheck=0))
    assert (again.about["agreement"], again.about["marks_expired"]) == ([], 3)
    assert sum("marks by people" in each for each in again.about["warnings"]) == 1
    back = again.score(Judge("Is it right?", model=JUDGE, scale=(0, 1), recheck=0))
    assert (back.about["agreement"][0]["n"], back.about["marks_expired"]) == (2, 1)
    assert not any(each.startswith("3 of 3") for each in back.about["warnings"])


def test_people_check_deterministic_scorers_too_where_a_label_names_them(quick):
    @scorer
    def right(output: str, expected: str) -> bool:
        return output == expected

    rows = [{"id": str(n), "output": "4" if n else "four", "expected": "4"} for n in range(4)]
    marks = marks_of(evaluate(rows, scorers=right), [True] * 4)
    (agreement,) = evaluate(rows, scorers=right, labels=marks).about["agreement"]
    assert (agreement["n"], agreement["agreement"]) == (4, 0.75)
    assert evaluate(rows, scorers=right, labels=[{"id": "0", "label": 1}]).about["agreement"] == []


def test_marks_of_a_repeat_are_of_that_answer(lenient):
    judge = Judge("Is it right?", model=JUDGE, scale=(0, 1), recheck=0)
    rows = [{"id": "a", "n": 1}]

    def asked(labels):
        return evaluate(rows, lambda n, repeat=0: str(repeat), judge, repeats=2, labels=labels)

    marks = marks_of(asked(None), [None, 1])
    (agreement,) = asked(marks).about["agreement"]
    assert (agreement["n"], agreement["agreement"]) == (1, 1.0)


def test_without_labels_the_judge_is_said_to_be_unchecked(lenient):
    assert judged(rows_of([1], [1]), None)["judge"].note.startswith("judge not checked against people")


@pytest.mark.parametrize(
    ("label", "scale", "said"),
    [
        ("good", (1, 5), "the label 'good' of row '0' is not a grade of 'judge', which grades from 1 to 5"),
        (7, (1, 5), "the label 7 of row '0'"),
        (True, (1, 5), "the label True of row '0'"),
        ("true", (1, 5), "not a grade"),
        ([1], (1, 5), "not a grade"),
        ("right", {0: "wrong", 1: "fine"}, r"grades with 0 \(wrong\), 1 \(fine\)"),
    ],
)
def test_labels_that_are_no_grades_are_told_before_anything_is_paid(lenient, label, scale, said):
    rows = rows_of([1, 1], [None, None])
    with pytest.raises(EvaluationDataError, match=said):
        judged(rows, [{"id": "0", "label": label}], scale)
    assert lenient.record().requests == 0


@pytest.mark.parametrize("label", ["true", "True ", "Fine", "1", 1.0, True])
def test_people_may_say_what_a_grade_means(lenient, label):
    rows = rows_of([1, 1], [label, "wrong"])
    (agreement,) = judged(rows, "label", {0: "wrong", 1: "fine"}).about["agreement"]
    assert (agreement["n"], agreement["agreement"]) == (2, 0.5)


def test_a_judge_that_scores_again_is_held_against_the_same_labels_once(lenient):
    found = judged(rows_of([1, 0, 1], [1, 0, 0]), "label")
    again = found.score(Judge("Is it so?", model=JUDGE, scale=(0, 1), recheck=0))
    assert [each["metric"] for each in again.about["agreement"]] == ["judge"]
    assert again["judge"].version != found["judge"].version

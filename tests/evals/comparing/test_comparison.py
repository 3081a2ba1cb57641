"""`compare`: rows are joined by id and content; chance and missing rows decide nothing."""

from __future__ import annotations

import json
import random
import re

import pytest

from latent.errors import ComparisonError, EvaluationNotFoundError
from latent.evals import compare, evaluate, scorer
from latent.evals.comparing.changes import word_diff
from latent.prefect import flow, params

pytestmark = pytest.mark.usefixtures("quick")


@scorer
def right(output: str, expected: str) -> bool:
    return output == expected


@scorer(scale=(0, 10))
def marks(output: str) -> int:
    return len(output)


@scorer(higher_is_better=False, unit="s")
def seconds(output: str) -> float:
    return len(output) / 7


@scorer
def topic(output: str) -> str:
    return output[:1]


def rows(outputs, **more):
    """A row for each output; None for one that is missing."""
    return [
        {"id": f"r{place}", "question": f"q{place}", "expected": "yes", "output": output, **more}
        for place, output in enumerate(outputs)
    ]


def test_known_numbers_of_two_systems_come_out():
    """175b verification against finetuning on GSM8K: gained 360, lost 76 of 1,319 (both right 382)."""
    old = ["yes"] * 382 + ["no"] * 360 + ["yes"] * 76 + ["no"] * 501
    new = ["yes"] * 382 + ["yes"] * 360 + ["no"] * 76 + ["no"] * 501
    found = compare(evaluate(rows(old), None, right), evaluate(rows(new), None, right)).metrics["right"]
    assert found.difference is not None
    estimate = found.difference.estimate
    assert (found.difference.gained, found.difference.lost, found.pairs) == (360, 76, 1319)
    assert [round(value, 4) for value in (estimate.value, estimate.ci_low, estimate.ci_high)] == [
        0.2153, 0.1866, 0.2442,
    ]  # fmt: skip
    assert found.verdict == "better" and "right is better: +0.215" in found.sentence


def test_an_evaluation_against_itself_has_no_flips_and_no_difference():
    once = evaluate(rows(["yes", "no", "yes", "maybe"] * 5), None, [right, marks, seconds, topic])
    same = compare(once, once)
    for name in ("right", "marks", "seconds"):
        difference = same.metrics[name].difference
        assert difference is not None and difference.p_value == 1.0
        assert difference.estimate.ci_low <= 0 <= difference.estimate.ci_high
        assert same.metrics[name].verdict == "no difference seen"
    assert same.metrics["topic"].verdict == "not compared"
    assert same.flips == [] and same.changes == []


def test_a_changed_parameter_is_among_what_differs(make_workspace):
    """What a target of one's own reads through `params` is seen nowhere else."""
    make_workspace({"config/global.yaml": "mode: words"})

    def answer(question: str) -> str:
        return f"{question} by {params.mode}"

    @flow("asking")
    def asking():
        return evaluate(rows(["yes"] * 5), answer, right)

    old = asking()
    make_workspace({"config/global.yaml": "mode: meaning"})
    changes = compare(old, asking()).changes
    assert [(each.what, each.old, each.new) for each in changes] == [("parameter.mode", "words", "meaning")]


def test_rows_of_other_content_are_left_out_and_named():
    old = evaluate(rows(["yes"] * 20), None, right)
    data = rows(["yes"] * 20)
    data[3]["question"] = "another one"
    data[4]["id"] = "new"
    found = compare(old, evaluate(data, None, right))
    assert (found.pairs.changed, found.pairs.added, found.pairs.removed) == (["r3"], ["new"], ["r4"])
    assert len(found.pairs.ids) == 18 == found.metrics["right"].pairs
    text = str(found)
    assert "18 rows are the same" in text and "1 have other content now, and are left out: r3" in text


def test_evaluations_of_other_rows_are_refused_unless_forced():
    old = evaluate(rows(["yes"] * 10), None, right)
    data = rows(["yes"] * 10)
    for row in data[:3]:
        row["expected"] = "no"
    new = evaluate(data, None, right)
    with pytest.raises(ComparisonError, match="only 7 rows are the same in both"):
        compare(old, new)
    assert compare(old, new, force=True).metrics["right"].pairs == 7


def test_a_scorer_that_has_changed_is_refused_unless_forced():
    old = evaluate(rows(["yes", "no"] * 5), None, right)

    @scorer(name="right")
    def stricter(output: str, expected: str) -> bool:
        return output == expected and bool(output)

    new = evaluate(rows(["yes", "no"] * 5), None, stricter)
    with pytest.raises(ComparisonError, match="the scorer 'right' is another one now"):
        compare(old, new)
    assert compare(old, new, force=True).metrics["right"].is_other_scorer


def test_evaluations_without_a_common_metric_are_refused():
    data = rows(["yes"] * 5)
    with pytest.raises(ComparisonError, match="no metric in common"):
        compare(evaluate(data, None, right), evaluate(data, None, marks))


def test_evaluations_of_different_flows_that_share_no_row_say_so():
    old = evaluate(rows(["yes"] * 5), None, right, name="support")
    new = evaluate([{"id": "other", "expected": "yes", "output": "yes"}], None, right, name="routing")
    with pytest.raises(ComparisonError, match=r"not one row is the same .* of different flows, routing and"):
        compare(old, new)
    assert compare(old, new, force=True).metrics["right"].verdict == "not compared"


def test_an_evaluation_of_an_older_layout_is_refused_by_name():
    once = evaluate(rows(["yes"] * 5), None, right)
    file = once.folder / "evaluation.json"
    about = json.loads(file.read_text())
    del about["slices"], about["totals"]
    file.write_text(json.dumps(about))
    with pytest.raises(EvaluationNotFoundError, match=r"older version .*, without slices, totals"):
        compare(once, once.folder)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("evaluation.json", "it has no evaluation"),
        ("rows.parquet", r"rows\.parquet is missing"),
        ("scores.parquet", r"scores\.parquet is missing"),
    ],
)
def test_an_evaluation_with_a_file_that_is_damaged_or_gone_is_refused_with_what_to_do(file, said):
    once = evaluate(rows(["yes"] * 5), None, right)
    for content in (b"[1]", b"{}", b""):
        (once.folder / file).write_bytes(content)
        with pytest.raises(EvaluationNotFoundError, match=r"cannot be read: .*Run it again"):
            compare(once, once.folder)
    (once.folder / file).unlink()
    with pytest.raises(EvaluationNotFoundError, match=said):
        compare(once, str(once.folder))


def test_metrics_with_gates_are_adjusted_for_how_many_they_are(make_workspace):
    """Six of 100 rows gained and none lost: mid-p 0.5^6; two gated metrics double the smaller p."""
    old = evaluate(rows(["yes"] * 50 + ["no"] * 50), None, [right, said_yes, marks])
    new = evaluate(rows(["yes"] * 56 + ["no"] * 44), None, [right, said_yes, marks])
    alone = compare(old, new).metrics["right"]
    assert (alone.verdict, alone.p_adjusted) == ("better", None)
    assert "not adjusted" in str(compare(old, new))
    found = compare(old, new, gated=["right", "said_yes"])
    assert found.metrics["right"].p_adjusted == pytest.approx(2 * 0.5**6)
    assert found.metrics["marks"].p_adjusted is None
    assert "p of right, said_yes, which have gates, are adjusted for how many" in str(found)
    make_workspace({"flows/evaluate/parameters.yaml": "gates:\n  right: '>= 0.5'\n  marks: '>= 1'\n"})
    assert compare(old, new).gated.keys() == {"right", "marks"}


def test_a_difference_that_is_none_after_adjusting_is_not_called_one():
    """Five of 100 rows gained: mid-p 0.5^5 = 0.031 alone, 0.062 of two."""
    old = evaluate(rows(["yes"] * 50 + ["no"] * 50), None, [right, said_yes])
    new = evaluate(rows(["yes"] * 55 + ["no"] * 45), None, [right, said_yes])
    assert compare(old, new).metrics["right"].verdict == "better"
    assert compare(old, new, gated=["right", "said_yes"]).metrics["right"].verdict == "no difference seen"


@scorer
def said_yes(output: str) -> bool:
    return output == "yes"


def test_a_sentence_says_how_many_rows_and_dollars_would_settle_it(make_provider_simulator):
    from latent.llm import Model

    make_provider_simulator(
        answer=lambda said: "yes" if int(said.split()[-1]) < (12 if "Think" in said else 10) else "no"
    )
    data = [{"id": f"r{n}", "question": f"q {n}", "expected": "yes"} for n in range(20)]
    model = Model("openai:gpt-5-mini")
    old = evaluate(data, model, right, prompt="{{ question }}")
    new = evaluate(data, model, right, prompt="Think. {{ question }}")
    found = compare(old, new).metrics["right"]
    assert found.verdict == "no difference seen" and found.difference.rows_needed > 20
    spent = old.cost.total_usd + new.cost.total_usd
    assert found.cost_usd == pytest.approx((found.difference.rows_needed - 20) * spent / 20)
    assert re.search(r"it would take \d+ rows \(some \$0\.\d+ more\) to show this one\.", found.sentence)


def test_lower_is_better_where_the_scorer_says_so():
    slow, quick = ["x" * 60, "x" * 50, "x" * 55] * 10, ["x" * 6, "x" * 5, "x" * 7] * 10
    found = compare(evaluate(rows(slow), None, seconds), evaluate(rows(quick), None, seconds))
    assert found.metrics["seconds"].verdict == "better"
    assert compare(found.new, found.old).metrics["seconds"].verdict == "worse"


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_a_worse_system_is_never_called_better_because_it_fails_on_hard_rows(share):
    """The new system is worse; it gives no answer to the rows that it would get wrong."""
    random.seed(int(share * 100))
    outputs_old = ["yes" if random.random() < 0.7 else "no" for _ in range(300)]
    outputs_new = [out if random.random() < 0.85 else "no" for out in outputs_old]
    wrong = [place for place, out in enumerate(outputs_new) if out == "no"]
    for place in wrong[: int(share * len(outputs_new))]:
        outputs_new[place] = None

    def answer(row):
        if row["said"] is None:
            raise ConnectionError("no answer")
        return row["said"]

    def evaluated(outputs):
        data = [
            {"id": f"r{place}", "question": f"q{place}", "expected": "yes"} for place in range(len(outputs))
        ]
        table = {row["id"]: out for row, out in zip(data, outputs, strict=True)}
        return evaluate(data, lambda row: answer({"said": table[row["id"]]}), right, name="a")

    found = compare(evaluated(outputs_old), evaluated(outputs_new)).metrics["right"]
    assert found.verdict != "better", found
    assert found.missing_new == min(int(share * 300), len(wrong))


def test_what_else_differs_is_told_with_the_prompt_as_a_diff(make_provider_simulator):
    from latent.llm import Model

    make_provider_simulator(answer=lambda said: "yes" if "briefly" in said else "no")
    data = [{"id": f"r{place}", "question": f"q{place}", "expected": "yes"} for place in range(6)]
    model = Model("openai:gpt-5-mini")
    old = evaluate(data, model, right, prompt="Answer.\n{{ question }}")
    new = evaluate(data, model, right, prompt="Answer briefly.\n{{ question }}")
    found = compare(old, new)
    (change,) = [each for each in found.changes if "prompt" in each.what and "briefly" in str(each.new)]
    assert change.old is not None and "Answer." in change.old
    text = str(found)
    assert "- Answer." in text and "+ Answer briefly." in text
    assert len(found.flips) == 6
    from latent.evals.comparing.text import comparison_markdown, comparison_text

    assert "[-no-]{+yes+}" in comparison_text(found, flips=1)
    assert "| r0 | right | 0 | 1 | no | yes |" in comparison_markdown(found, flips=6)


@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("a b c", "a c"), ("one", "two"), ("", "all new"), ("Ä ö-ü", "Ä ö ü"), ("x\n y", "x y\n")],
)
def test_word_diffs_hold_both_texts(old, new):
    pieces = word_diff(old, new)
    assert "".join(text for kind, text in pieces if kind != "old") == new
    assert "".join(text for kind, text in pieces if kind != "new") == old

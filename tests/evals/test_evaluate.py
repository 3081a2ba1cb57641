"""`evaluate`: rows are answered and scored once, every row stays in the account, and slips are told first."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import pandas as pd
import pytest

from latent.errors import (
    EvaluationDataError,
    EvaluationNotFoundError,
    LatentError,
    ModelCallError,
    ScorerError,
    UsageError,
)
from latent.evals import Abstain, Evaluation, Score, evaluate, evaluate_async, load_evaluation, scorer
from latent.evals.records import read as read_again
from latent.llm import Model, prompt
from latent.prefect import flow, task
from latent.tracking import load_rows

pytestmark = pytest.mark.usefixtures("quick")

ROWS = [
    {"id": "a", "question": "2 + 2", "expected": "4", "topic": "sums"},
    {"id": "b", "question": "3 + 3", "expected": "6", "topic": "sums"},
    {"id": "c", "question": "the capital of France", "expected": "Paris", "topic": "places"},
    {"id": "d", "question": "the meaning of life", "topic": "places"},
]
SAID = {"2 + 2": "It is 4", "3 + 3": "It is 7", "the capital of France": "Paris", "the meaning of life": "42"}


def small():
    return Model("openai:gpt-5-mini")


def lookup(question):
    return SAID[question]


@scorer
def contains(output: str, expected: str) -> bool:
    return expected in output


@scorer(unit="characters", higher_is_better=None)
def length(output: str) -> int:
    return len(output)


@pytest.fixture
def asked(make_provider_simulator):
    """A provider whose model knows the answers."""
    return make_provider_simulator(answer=lambda said: SAID.get(said.removeprefix("What is ")))


def test_a_mean_has_its_interval_its_coverage_and_its_bounds():
    found = evaluate(ROWS, lookup, [contains, length], slices="topic")
    metric = found["contains"]
    assert (metric.mean, metric.n, metric.rows) == (2 / 3, 3, 3)
    assert (metric.missing, metric.not_applicable) == (0, 1)  # row d expects nothing
    # Wilson's interval of 2 of 3, by hand: (2/3 + z^2/6 -+ z sqrt(2/27 + z^2/36)) / (1 + z^2/3)
    assert metric.ci_low == pytest.approx(0.2077, abs=1e-4)
    assert metric.ci_high == pytest.approx(0.9385, abs=1e-4)
    assert (metric.worst, metric.best, metric.kind, metric.method) == (2 / 3, 2 / 3, "binary", "wilson")
    assert found["length"].mean == (7 + 7 + 5 + 2) / 4
    assert (found["length"].worst, found["length"].unit) == (None, "characters")
    assert found.slices["topic", "sums"]["contains"].mean == 0.5
    assert found.slices["topic", "places"]["contains"].not_applicable == 1


def test_a_row_that_failed_stays_in_the_account():
    @scorer
    def half(output, topic) -> float:
        if topic == "places":
            raise ZeroDivisionError("nothing to divide")
        return 0.5

    def broken(question):
        if question == "2 + 2":
            raise RuntimeError("out of order")
        return SAID[question]

    found = evaluate(ROWS, task("broken", retries=0)(broken), [contains, half])
    assert (found["contains"].n, found["contains"].rows, found["contains"].missing) == (2, 3, 1)
    assert (found["contains"].worst, found["contains"].best) == (1 / 3, 2 / 3)
    assert found["half"].outcomes == {"failed": 3, "ok": 1}
    listed = found.failures.set_index(["id", "what"])
    assert listed.loc[("a", "answer"), "reason"] == "out of order"
    assert listed.loc[("c", "half"), "reason"] == "ZeroDivisionError: nothing to divide"
    assert ("a", "contains") not in listed.index  # told once, as the answer's
    scores = found.scores.set_index(["id", "metric"])
    assert scores.loc[("a", "contains"), "reason"] == "no answer: out of order"


def test_where_nothing_was_answered_the_reason_is_raised_and_kept(make_provider_simulator):
    make_provider_simulator(models=["another"])
    with pytest.raises(ModelCallError, match="gpt-9"):
        evaluate(ROWS, Model("openai:gpt-9"), contains, prompt="{{ question }}")
    assert load_evaluation().about["totals"]["outcomes"].keys() <= {"failed", "skipped"}


def test_a_model_is_asked_once_for_each_prompt(asked):
    model = Model("openai:gpt-5-mini")
    question = "What is {{ question }}"
    first = evaluate(ROWS, model, contains, prompt=question)
    assert (asked.record().requests, first["contains"].mean) == (4, 2 / 3)
    assert first.about["target"]["prompt"] == question
    assert set(first.rows["outcome"]) == {"ok"}
    again = evaluate(ROWS, model, [contains, length], prompt=question)
    assert asked.record().requests == 4
    assert set(again.rows["outcome"]) == {"cached"}
    assert (again.cost.answers_usd, again.cost.answers_reused) == (0, 4)
    assert again.cost.saved_usd == pytest.approx(first.cost.answers_usd)
    assert first.cost.answers_usd > 0


def test_a_changed_scorer_asks_nothing_and_spares_the_others(asked, make_workspace):
    def run(code):
        files = {"flows/quiz/flow.py": QUIZ.replace("CODE", code)}
        workspace = make_workspace(files)
        return run_quiz(workspace)

    assert run("expected in output").counts["ok"] == 4 + 3 + 4
    changed = run(
        "output == expected.strip()"
    )  # of another length: Python's compiled files go by size and second
    assert asked.record().requests == 4
    assert changed.tasks["contains"].counts == {"ok": 3}
    assert changed.tasks["length"].counts == {"cached": 4}
    assert load_evaluation()["contains"].mean == pytest.approx(1 / 3)


QUIZ = f"""
from latent.evals import evaluate, scorer
from latent.llm import Model
from latent.prefect import flow

ROWS = {ROWS!r}

@scorer
def contains(output, expected):
    return CODE

@scorer
def length(output):
    return len(output)

@flow("quiz")
def quiz():
    evaluate(ROWS, Model("openai:gpt-5-mini"), [contains, length], prompt="What is {{{{ question }}}}")
"""


def run_quiz(workspace):
    import sys

    from latent.prefect.running import run

    for name in [name for name in sys.modules if name.startswith("flows.")]:
        del sys.modules[name]
    return run(workspace, "quiz")


def test_what_a_target_returns_beside_a_models_answer_can_be_scored_again(asked):
    """A target that retrieves and then asks a model: scorers of passages also work on a finished run."""

    def answer(question):
        return {"output": small().complete(f"What is {question}"), "passages": [f"about {question}"]}

    @scorer
    def passages_name_it(passages: list[str], question: str) -> bool:
        return question in passages[0]

    evaluate(ROWS, answer, contains)
    again = load_evaluation("last").score(passages_name_it)
    assert (again["passages_name_it"].mean, again["passages_name_it"].n) == (1.0, 4)
    assert again.answered()[0].values["output_tokens"] > 0
    assert asked.requests == 4


def test_a_finished_run_is_scored_again_without_its_model(asked):
    first = evaluate(ROWS, Model("openai:gpt-5-mini"), contains, prompt="What is {{ question }}")
    asked.clear()

    @scorer
    def short(output, finish_reason, answer) -> bool:
        assert answer.text == output
        return len(output) < 5 and finish_reason == "stop"

    found = load_evaluation(first.run_id).score(short)
    assert asked.record().requests == 0
    assert [*found.metrics] == ["contains", "short"]
    assert found["contains"].as_dict() == first["contains"].as_dict()
    assert found["short"].mean == 0.25
    assert found.about["scored_from"] == first.run_id != found.run_id
    assert len(found.scores) == 8
    stricter = scorer(name="short")(lambda output: len(output) < 3)
    assert found.score(stricter)["short"].mean == 0.25
    assert len(found.score(stricter).scores) == 8


def test_outputs_that_are_there_already_are_scored_as_they_are():
    rows = [{"output": "4", "expected": "4"}, {"output": "5", "expected": "4"}, {"expected": "1"}]
    found = evaluate(rows, scorers=contains)
    assert (found["contains"].mean, found["contains"].n, found["contains"].rows) == (0.5, 2, 3)
    assert len(set(found.rows["id"])) == 3  # made of what rows ask


def test_rows_come_from_frames_files_and_datasets(make_workspace):
    frame = pd.DataFrame(ROWS)
    workspace = make_workspace(
        {
            "flows/quiz/flow.py": "",
            "config/catalog.yaml": "questions: data/questions.csv",
            "data/questions.csv": frame.to_csv(index=False),
            "rows.jsonl": frame.to_json(orient="records", lines=True),
            "rows.yaml": "a: {question: 2 + 2, expected: '4'}",
        }
    )
    frame.to_parquet(workspace.root / "rows.parquet")
    for data in (frame, "questions", "rows.jsonl", workspace.root / "rows.parquet"):
        found = evaluate(data, lookup, length)
        assert found["length"].mean == 5.25
        assert found.rows["id"].tolist() == ["a", "b", "c", "d"]
    assert evaluate("rows.yaml", lookup, contains).rows["id"].tolist() == ["a"]


async def test_targets_may_be_async_and_so_may_the_caller():
    async def later(question):
        return SAID[question]

    found = await evaluate_async(ROWS, later, contains)
    assert found["contains"].mean == 2 / 3


def test_a_target_may_return_what_else_scorers_read():
    @scorer
    def found_it(retrieved, expected) -> bool:
        return expected in retrieved

    found = evaluate(ROWS, lambda question: {"output": "?", "retrieved": [SAID[question]]}, found_it)
    assert found["found_it"].mean == 1 / 3
    again = load_evaluation().score(found_it(name="again"))
    assert again["again"].mean == 1 / 3


def test_a_target_with_one_parameter_gets_the_row_without_what_is_expected():
    seen = []

    def whole(row):
        seen.append(row)
        return SAID[row["question"]]

    assert evaluate(ROWS, whole, contains)["contains"].mean == 2 / 3
    assert all("expected" not in row for row in seen)
    assert len(seen) == 4


def test_repeats_are_answers_of_their_own(asked):
    found = evaluate(ROWS[:2], Model("openai:gpt-5-mini"), contains, prompt="{{ question }}", repeats=3)
    assert asked.record().requests == 6
    assert (found["contains"].n, len(found.rows)) == (2, 6)
    more = evaluate(ROWS[:2], Model("openai:gpt-5-mini"), contains, prompt="{{ question }}", repeats=4)
    assert asked.record().requests == 8
    assert more["contains"].flaky == ()


def test_repeats_of_a_function_tell_which_rows_are_flaky():
    left = {"2 + 2": ["4", "5"], "3 + 3": ["6", "6"]}
    found = evaluate(ROWS[:2], lambda question: left[question].pop(), contains, repeats=2)
    assert (found["contains"].mean, found["contains"].flaky) == (0.75, ("a",))


def test_clusters_widen_the_interval():
    rows = [{"id": n, "doc": n // 5, "output": str(n // 5 % 2), "expected": "1"} for n in range(100)]
    alone = evaluate(rows, scorers=contains)["contains"]
    together = evaluate(rows, scorers=contains, cluster="doc")["contains"]
    assert together.clusters == 20
    assert together.ci_high - together.ci_low > 2 * (alone.ci_high - alone.ci_low)


def test_scores_may_be_many_explained_or_absent():
    @scorer(scale=(1, 5))
    def grades(output):
        if output == "42":
            raise Abstain("too deep")
        return {"clarity": Score(4, reason="short", answer=output), "depth": None}

    found = evaluate(ROWS, lookup, grades)
    assert [*found.metrics] == ["grades.clarity", "grades.depth"]
    clarity = found["grades.clarity"]
    assert (clarity.mean, clarity.n, clarity.rows, clarity.kind) == (4, 3, 4, "ordinal")
    assert (clarity.worst, clarity.best) == ((12 + 1) / 4, (12 + 5) / 4)
    assert found["grades.depth"].outcomes == {"not_applicable": 3, "abstained": 1}
    first = found.scores.iloc[0]
    assert (first["reason"], first["answer"], first["value"]) == ("short", "It is 4", 4)


@pytest.mark.parametrize(
    ("returns", "reason"),
    [
        (lambda output: math.nan, "which is not a score"),
        (lambda output: 7, "not on its scale of 1 to 5"),
        (lambda output: [1], "a list"),
        (lambda output: math.inf, "which is not a score"),
        (lambda output: {"a": 1, "b": 2} if output == "42" else {"a": 1}, "it gave no 'odd.b'"),
    ],
)
def test_what_is_no_score_fails_its_row_and_says_why(returns, reason):
    found = evaluate(ROWS, lookup, scorer(scale=(1, 5), name="odd")(returns))
    failures = found.failures
    assert set(failures["outcome"]) == {"failed"}
    assert reason in failures["reason"].iloc[0]
    broken = found.metrics[failures["what"].iloc[0]]
    assert broken.missing == len(failures)


@pytest.mark.parametrize("far", [10**400, -(10**400), 1e308, -math.inf])
def test_scores_too_large_to_reckon_with_fail_their_row_alone(far):
    found = evaluate(ROWS, lookup, scorer(name="far")(lambda output: far if output == "42" else 1.0))
    assert (found["far"].mean, found["far"].n, found["far"].outcomes["failed"]) == (1.0, 3, 1)
    assert "which is not a score" in found.failures["reason"].iloc[0]


def test_numbers_among_labels_are_no_labels():
    found = evaluate(ROWS, lookup, scorer(name="mood")(lambda output: 1 if output == "42" else "good"))
    assert found["mood"].distribution == {"counts": {"good": 3}}
    assert (found["mood"].mean, found["mood"].missing) == (None, 1)
    assert "good 3" in str(found)


def test_a_slow_scorer_is_ended_by_its_timeout():
    @scorer(timeout_seconds=0.2)
    def slow(output):
        time.sleep(1 if output == "42" else 0)
        return True

    assert evaluate(ROWS, lookup, slow)["slow"].outcomes == {"ok": 3, "failed": 1}


def test_nothing_scored_is_not_zero():
    found = evaluate(ROWS, lookup, scorer(name="never")(lambda output: None))
    assert (found["never"].mean, found["never"].n, found["never"].not_applicable) == (None, 0, 4)
    assert "not scored" in str(found)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: evaluate([], lookup), EvaluationDataError, "has no rows"),
        (lambda: evaluate([1, 2], lookup), EvaluationDataError, "row 0 is a int"),
        (lambda: evaluate("nowhere.csv", lookup), EvaluationDataError, "no such file"),
        (lambda: evaluate([*ROWS, ROWS[0]], lookup), EvaluationDataError, "rows 0 and 4 have the same 'id'"),
        (lambda: evaluate([*ROWS, {"question": "?"}], lookup), EvaluationDataError, "row 4 has no 'id'"),
        (lambda: evaluate(ROWS, scorers=contains), EvaluationDataError, "column 'output'"),
        (lambda: evaluate(ROWS, lambda query, limit: 1), EvaluationDataError, "column 'query'"),
        (lambda: evaluate(ROWS, lookup, cluster="topci"), EvaluationDataError, "did you mean 'topic'"),
        (lambda: evaluate(ROWS, lookup, slices=["doc"]), EvaluationDataError, "column 'doc'"),
        (lambda: evaluate(ROWS, lookup, repeats=0), UsageError, "at least 1"),
        (lambda: evaluate(ROWS, "openai:gpt-5-mini"), UsageError, r"write Model\('openai:gpt-5-mini'\)"),
        (lambda: evaluate(ROWS, lookup, prompt="x"), UsageError, "`prompt` is for a model"),
        (lambda: evaluate(ROWS, lookup, [contains, contains]), ScorerError, "two have this name"),
        (lambda: evaluate(ROWS, lookup, len), ScorerError, "put @scorer above"),
        (lambda: evaluate(ROWS, small()), EvaluationDataError, "needs a column 'prompt'"),
        (lambda: evaluate(ROWS, small(), prompt="{{ quesion }}"), EvaluationDataError, "mean 'question'"),
        (
            lambda: evaluate([*ROWS, {"id": "e"}], small(), prompt="{{ question }}"),
            EvaluationDataError,
            r"row 4 \(id 'e'\) does not fill the prompt",
        ),
        (lambda: evaluate(ROWS, small(), READS_TOPICS, prompt="{{ question }}"), ScorerError, "mean 'topic'"),
        (lambda: evaluate(ROWS, small(), WANTS, prompt="{{ question }}"), ScorerError, "the option 'least'"),
        (
            lambda: evaluate(ROWS, small(), contains, prompt="{{ question }}", expected="gold"),
            ScorerError,
            "'gold'",
        ),
        (lambda: load_evaluation(), EvaluationNotFoundError, "no run of this workspace"),
    ],
)
def test_slips_are_told_before_anything_is_paid(provider_simulator, call, error, said):
    with pytest.raises(error, match=said):
        call()
    assert provider_simulator.record().requests == 0


READS_TOPICS = scorer(name="topical")(lambda output, topics: True)


@scorer
def WANTS(output, *, least):  # noqa: N802
    return True


def test_a_misspelled_name_after_a_function_answered_is_told_and_nothing_is_lost():
    calls = []

    def answering(question):
        calls.append(question)
        return {"output": "x", "passages": []}

    with pytest.raises(ScorerError, match="did you mean 'passages'"):
        evaluate(ROWS, answering, scorer(name="reads")(lambda passage: True))
    evaluate(ROWS, answering, scorer(name="reads")(lambda passages: True))
    assert len(calls) == 4


def test_two_evaluations_of_one_flow_lie_side_by_side():
    @flow("both")
    def both():
        one = evaluate(ROWS, lookup, contains)
        return one, evaluate(ROWS, lookup, length)

    one, two = both()
    assert one.run_id == two.run_id
    assert (one.folder.name, two.folder.name) == ("evaluate", "evaluate-2")
    assert load_evaluation(one.run_id, "evaluate")["contains"] == one["contains"]


def test_rows_are_known_by_their_ids_in_the_runs_records(quick):
    found = evaluate(ROWS, lookup, contains)
    listed = load_rows(quick, found.run_id).to_pylist()
    assert sorted(row["id"] for row in listed if row["task"] == "lookup") == ["a", "b", "c", "d"]
    assert sorted(row["id"] for row in listed if row["task"] == "contains") == ["a", "b", "c"]


def test_what_is_written_is_what_was_there():
    odd = {1, 2, 3}  # no JSON
    found = evaluate(
        ROWS, lambda question: {"output": question, "seen": odd}, scorer(name="n")(lambda seen: len(seen))
    )
    read = load_evaluation(found.run_id)
    assert (
        read.score(scorer(name="n2")(lambda seen: len(seen) if isinstance(seen, set) else -1))["n2"].mean == 3
    )
    assert read.about == found.about
    assert read.scores.equals(found.scores)
    with pytest.raises(EvaluationNotFoundError, match=r"evaluation\.json"):
        (found.folder / "evaluation.json").unlink()
        read_again(found.folder)
    assert isinstance(found, Evaluation)


def test_secrets_are_masked_in_what_is_written(make_workspace, make_provider_simulator):
    make_workspace({"config/credentials.yaml": "service:\n  password: hunter2hunter2\n"})
    make_provider_simulator()
    found = evaluate(ROWS, Model("openai:gpt-5-mini", system="use hunter2hunter2"), prompt="{{ question }}")
    assert "hunter2hunter2" not in (found.folder / "evaluation.json").read_text()


def test_a_prompt_of_the_flow_is_a_template(make_workspace, provider_simulator):
    make_workspace({"flows/evaluate/prompts/ask.md": "Tell me: {{ question }}"})

    @flow("evaluate")
    def quiz():
        return evaluate(ROWS, small(), prompt=prompt("ask"))

    assert quiz().about["target"]["prompt"] == "Tell me: {{ question }}"
    assert "Tell me: 2 + 2" in provider_simulator.record().asked


def test_the_table_is_plain_text():
    text = str(evaluate(ROWS, lookup, [contains, length]))
    head, first, second = text.splitlines()
    assert re.split(r"\s{2,}", head) == [
        "metric", "mean", "95 % interval", "rows", "if missing are worst / best", "visible from",
    ]  # fmt: skip
    assert re.split(r"\s{2,}", first)[:5] == [
        "contains",
        "0.667",
        "0.208 to 0.939",
        "3 of 3",
        "0.667 / 0.667",
    ]
    assert first.endswith("1 not applicable")
    assert second.startswith("length")


def test_data_may_lie_anywhere_and_hold_half_a_character(tmp_path, quick):
    outside = tmp_path / "elsewhere" / "rows.jsonl"
    outside.parent.mkdir()
    outside.write_text('{"id": "a\\ud83d", "output": "x\\ud83d", "expected": "\\ud83d"}\n')
    found = evaluate(outside, scorers=contains)
    assert found["contains"].mean == 1
    read = load_evaluation(found.run_id)
    assert read.rows["output"].tolist() == ["x\\ud83d"]
    assert read.score(scorer(name="same")(lambda output: output == "x\ud83d"))["same"].mean == 1


def test_repeats_of_a_binary_score_have_pass_at_k_and_pass_hat_k():
    # a: 1 of 2 right, b: 2 of 2. pass@2 = (1 + 1) / 2, pass^2 = (0 + 1) / 2.
    left = {"2 + 2": ["4", "5"], "3 + 3": ["6", "6"]}
    found = evaluate(ROWS[:2], lambda question: left[question].pop(), contains, repeats=2)
    assert found["contains.pass_at_2"].mean == 1
    assert found["contains.pass_hat_2"].mean == 0.5


def test_a_target_that_returns_nothing_or_abstains_is_missing():
    def unsure(question):
        if question == "2 + 2":
            raise Abstain("no idea")
        return None if question == "3 + 3" else SAID[question]

    found = evaluate(ROWS[:3], task("unsure", retries=0)(unsure), contains)
    assert found.rows["outcome"].tolist() == ["abstained", "abstained", "ok"]
    assert (found["contains"].n, found["contains"].rows) == (1, 3)
    assert set(found.failures["reason"]) == {"no idea", "It returned nothing."}


NASTY = Path(__file__).parents[3] / "shared" / "data" / "nasty"


@pytest.mark.skipif(
    not NASTY.is_dir(), reason="the shared data collection does not lie beside the repository"
)
@pytest.mark.parametrize("kind", ["csv", "json", "yaml", "empty", "encoding", "binary"])
def test_odd_files_are_evaluated_or_told_in_words(kind):
    for file in sorted((NASTY / kind).glob("*.[cjy]*")):
        try:
            found = evaluate(file, lambda row: str(row)[:50], length)
        except LatentError as error:
            assert file.name in str(error)
        else:
            assert found["length"].n == len(found.rows)

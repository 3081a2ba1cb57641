"""Labels, tools and passages: what was chosen, called and found."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from latent.errors import ScorerError
from latent.evals import Abstain, evaluate, scorers


class TestClassification:
    def test_the_whole_output_is_the_label(self):
        score = scorers.classification("Spam.", "spam")
        assert (score.value, score.answer, score.evidence) == (True, "spam", {"expected": "spam"})
        assert scorers.classification("ham", None) is None

    def test_a_sentence_may_name_one_of_the_labels(self):
        of = scorers.classification(labels=["spam", "not spam", "unsure"])
        assert of("I think it is spam.", "spam").value is True
        assert of("This is not spam", "spam").answer == "not spam"

    def test_labels_of_scripts_without_spaces_are_found_in_a_sentence(self):
        good, bad = "\u6b63\u9762", "\u8d1f\u9762"
        score = scorers.classification(
            f"\u8fd9\u662f{good}\u7684\u8bc4\u8bba\u3002", good, labels=[good, bad]
        )
        assert (score.value, score.answer) == (True, good)

    @pytest.mark.parametrize("output", ["No idea", "spam or unsure", "spammer"])
    def test_what_names_none_or_several_is_no_prediction(self, output):
        with pytest.raises(Abstain, match="The output names"):
            scorers.classification(output, "spam", labels=["spam", "unsure"])

    def test_the_expected_label_must_be_one(self):
        with pytest.raises(Abstain, match="'eggs' is not among spam, unsure"):
            scorers.classification("spam", "eggs", labels=["spam", "unsure"])

    def test_all_rows_have_precision_recall_f1_and_kappa(self):
        pairs = [("a", "a"), ("a", "a"), ("b", "a"), ("b", "b"), ("a", "b")]
        metrics = scorers.classification.aggregate([scorers.classification(*pair) for pair in pairs])
        # By hand: a is 2 of 3 both ways, b 1 of 2 both ways.
        assert metrics["precision"] == pytest.approx((2 / 3 + 1 / 2) / 2)
        assert metrics["recall"] == pytest.approx((2 / 3 + 1 / 2) / 2)
        assert metrics["f1"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
        # p_o = 3/5, p_e = (3 * 3 + 2 * 2) / 25
        assert metrics["kappa"].value == pytest.approx((3 / 5 - 13 / 25) / (1 - 13 / 25))
        assert metrics["f1"].seed == 0


class TestRetrieval:
    def test_each_measure_is_a_metric(self):
        scores = scorers.retrieval(["x", "a", "b"], ["a", "c"], k=2)
        assert scores == {
            "hit_at_2": 1.0,
            "recall_at_2": 0.5,
            "precision_at_2": 0.5,
            "mrr_at_2": 0.5,
            "ndcg_at_2": pytest.approx(0.63093 / 1.63093, abs=1e-5),
            "map_at_2": 0.25,
        }

    @pytest.mark.parametrize(
        "passages",
        [["a", "b"], [{"id": "a"}, {"id": "b"}], [SimpleNamespace(id="a"), SimpleNamespace(id="b")]],
        ids=["ids", "mappings", "matches"],
    )
    def test_passages_have_ids(self, passages):
        assert scorers.retrieval(passages, "b", k=5)["mrr_at_5"] == 0.5

    def test_grades_count_for_ndcg(self):
        assert scorers.retrieval(["low", "high"], {"high": 3, "low": 1, "no": 0})["ndcg_at_10"] < 1.0

    def test_nothing_relevant_is_not_applicable(self):
        assert scorers.retrieval(["a"], []) is None
        assert scorers.retrieval(["a"], None) is None
        assert scorers.retrieval([], ["a"])["recall_at_10"] == 0.0

    def test_a_text_is_not_a_ranking_of_its_letters(self):
        with pytest.raises(ScorerError, match="a list of ids, not the text 'd1 d2'"):
            scorers.retrieval("d1 d2", ["d1"])

    def test_what_has_no_id_is_told(self):
        with pytest.raises(ScorerError, match="is not an id and has no"):
            scorers.retrieval([{"text": "a"}], ["a"])


SEARCH = {"name": "search", "arguments": '{"query": "rivers", "limit": 3}'}
READ = {"name": "read", "arguments": {"id": 7}}


def tools(made, expected, **options):
    scores = scorers.tool_calls(made, expected, **options)
    return tuple(scores[name].value for name in ("names_f1", "order", "arguments"))


class TestToolCalls:
    def test_all_as_expected(self):
        expected = [{"name": "search", "arguments": {"query": "rivers"}}, "read"]
        assert tools([SEARCH, READ], expected) == (1.0, True, 1.0)

    def test_names_are_counted(self):
        # Two of three calls, two of two expected.
        assert tools([SEARCH, SEARCH, READ], ["search", "read"])[0] == pytest.approx(0.8)
        assert tools([], ["search"])[0] == 0.0

    @pytest.mark.parametrize(
        ("made", "order", "right"),
        [
            ([SEARCH, READ], "exact", True),
            ([READ, SEARCH], "exact", False),
            ([SEARCH, SEARCH, READ], "exact", False),
            ([SEARCH, SEARCH, READ], "in_order", True),
            ([READ, SEARCH], "in_order", False),
            ([READ, SEARCH], "any", True),
            ([SEARCH], "any", False),
        ],
    )
    def test_the_order(self, made, order, right):
        assert tools(made, ["search", "read"], order=order)[1] is right

    def test_arguments(self):
        some = [{"name": "search", "arguments": {"query": "rivers"}}]
        assert tools([SEARCH], some)[2] == 1.0
        assert tools([SEARCH], some, arguments="exact")[2] == 0.0
        assert tools([SEARCH], [{"name": "search", "arguments": {"query": "lakes"}}])[2] == 0.0

    def test_each_call_answers_for_one_that_is_expected(self):
        any_search = {"name": "search", "arguments": {}}
        exactly = {"name": "search", "arguments": {"limit": 3}}
        other = {"name": "search", "arguments": {"limit": 5}}
        # The first call fits both, the second only the one without arguments: both can be answered for.
        assert tools([SEARCH, other], [any_search, exactly])[2] == 1.0
        assert tools([SEARCH], [any_search, exactly])[2] == 0.5

    def test_no_tool_expected_and_none_called(self):
        assert tools([], []) == (1.0, True, 1.0)
        assert tools(None, [], order="exact") == (1.0, True, 1.0)
        assert tools([READ], [], order="exact") == (0.0, False, 0.0)
        assert scorers.tool_calls([READ], None) is None

    def test_arguments_that_are_no_json_equal_nothing(self):
        broken = {"name": "search", "arguments": "{query:"}
        assert tools([broken], [{"name": "search", "arguments": {"query": "x"}}])[2] == 0.0

    def test_files_may_hold_them_as_json(self):
        expected = '[{"name": "search", "arguments": {"limit": 3}}, "read"]'
        assert tools([SEARCH, READ], expected) == (1.0, True, 1.0)
        assert tools([READ], "read") == tools([READ], {"name": "read"}) == (1.0, True, 1.0)

    def test_what_is_no_call_is_told(self):
        with pytest.raises(ScorerError, match="a call is a name, or a mapping"):
            scorers.tool_calls([READ], [7])


@pytest.mark.usefixtures("quick")
class TestLabelsOfRowsThatVaryTogether:
    ROWS = tuple(
        {"id": str(place), "expected": "ab"[place % 2], "document": place // 4} for place in range(40)
    )

    def interval(self, metric):
        return metric.ci_high - metric.ci_low

    def test_repeats_do_not_make_intervals_narrower(self):
        def answer(id):
            return "ab"[int(id) % 3 % 2]

        once = evaluate(self.ROWS, answer, scorers.classification)
        often = evaluate(self.ROWS, answer, scorers.classification, repeats=4)
        for name in ("classification", "classification.f1", "classification.kappa"):
            assert often[name].mean == pytest.approx(once[name].mean)
            assert self.interval(often[name]) == pytest.approx(self.interval(once[name]), rel=0.1)

    def test_clusters_make_them_wider(self):
        def answer(id):
            return "ab"[int(id) % 2] if int(id) // 4 % 2 else "a"  # whole documents are right or half wrong

        apart = evaluate(self.ROWS, answer, scorers.classification)
        together = evaluate(self.ROWS, answer, scorers.classification, cluster="document")
        for name in ("classification", "classification.f1"):
            assert self.interval(together[name]) > 1.1 * self.interval(apart[name])

"""How near an answer comes: by letters, by words, by meaning, and by sacrebleu."""

from __future__ import annotations

import random
import re
import string
import subprocess
import sys
from collections import Counter

import pytest
import sacrebleu
from rouge_score import rouge_scorer

from latent.evals import evaluate, scorers
from latent.evals.scorers.words import words_of
from latent.llm import Embedder
from latent.testing import ProviderSimulator

BEIJING = "\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd"
"""Beijing is the capital of China, in eight letters."""


def sentences(count: int, least: int = 2) -> list[tuple[str, str]]:
    """Pairs of random ASCII sentences that share words."""
    source = random.Random(1)
    vocabulary = ["cat", "Dog", "a", "the", "it's", "x_y", "3.5", "No!", "re-do", "mat"]

    def one() -> str:
        return " ".join(source.choices(vocabulary, k=source.randint(least, 15)))

    return [(one(), one()) for _ in range(count)]


class TestEditSimilarity:
    def test_by_hand(self):
        # kitten -> sitting takes three edits, of seven letters.
        assert scorers.edit_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
        assert scorers.edit_similarity("", "") == 1.0
        assert scorers.edit_similarity("abc", "") == 0.0
        assert scorers.edit_similarity("ABC", "abc", ignore_case=True) == 1.0
        assert scorers.edit_similarity("cat", ["dog", "cart"]) == 0.75
        assert scorers.edit_similarity("cat", None) is None


class TestTokenF1:
    def test_by_hand(self):
        # Two of three words of the output, two of four expected: P 2/3, R 1/2.
        score = scorers.token_f1("the big red ball", "red ball of wool")
        assert score.value == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
        assert score.evidence == {"precision": pytest.approx(2 / 3), "recall": 0.5}

    def test_it_equals_squads_script(self):
        def normalize(text: str) -> list[str]:
            bare = "".join(letter for letter in text.lower() if letter not in string.punctuation)
            return re.sub(r"\b(a|an|the)\b", " ", bare).split()

        for output, expected in sentences(1000):
            # The script joins what punctuation parts, ours takes it apart: none of it here.
            output, expected = (re.sub(r"[^A-Za-z ]", "", text) for text in (output, expected))
            found, wanted = normalize(output), normalize(expected)
            same = sum((Counter(found) & Counter(wanted)).values())
            theirs = 2 * same / (len(found) + len(wanted)) if same else float(found == wanted)
            assert scorers.token_f1(output, expected).value == pytest.approx(theirs, abs=1e-9)

    def test_articles_count_when_they_are_asked_for(self):
        assert scorers.token_f1("the cat", "a cat").value == 1.0
        assert scorers.token_f1("the cat", "a cat", articles=True).value == 0.5

    def test_nothing(self):
        assert scorers.token_f1("", "").value == 1.0
        assert scorers.token_f1("", "cat").value == 0.0
        assert scorers.token_f1("cat", None) is None


class TestRouge:
    def test_they_equal_rouge_score_for_ascii(self):
        theirs = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
        for output, expected in sentences(1000):
            scores = theirs.score(expected, output)
            assert scorers.rouge_n(output, expected, n=1).value == pytest.approx(
                scores["rouge1"].fmeasure, abs=1e-9
            )
            if min(len(words_of(output)), len(words_of(expected))) > 1:
                assert scorers.rouge_n(output, expected).value == pytest.approx(
                    scores["rouge2"].fmeasure, abs=1e-9
                )
            ours = scorers.rouge_l(output, expected)
            assert ours.value == pytest.approx(scores["rougeL"].fmeasure, abs=1e-9)
            if ours.evidence:
                assert ours.evidence["recall"] == pytest.approx(scores["rougeL"].recall, abs=1e-9)

    @pytest.mark.parametrize(
        "text",
        [
            BEIJING,
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e",
            "\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e",
        ],
        ids=["Chinese", "Hindi", "Thai"],
    )
    def test_a_text_in_any_script_is_like_itself(self, text):
        assert scorers.rouge_l(text, text).value == 1.0
        assert scorers.rouge_n(text, text).value == 1.0
        assert rouge_scorer.RougeScorer(["rougeL"]).score(text, text)["rougeL"].fmeasure == 0.0

    def test_texts_without_spaces_can_be_partly_alike(self):
        # Seven of eight letters, in their order.
        assert scorers.rouge_l(BEIJING[1:], BEIJING).value == pytest.approx(2 * 7 / 15)

    def test_the_best_of_several_counts(self):
        assert scorers.rouge_l("the cat sat", ["a dog", "the cat sat"]).value == 1.0
        assert scorers.rouge_l("the cat", []) is None

    def test_texts_too_short_for_runs_are_equal_or_not(self):
        assert scorers.rouge_n("yes", "Yes.").value == 1.0
        assert scorers.rouge_n("yes", "no").value == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.5_x, re-do!", ["it", "s", "3", "5", "x", "re", "do"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", ["\u0939\u093f\u0928\u094d\u0926\u0940"]),
        ("\u5317\u4eac 2008", ["\u5317", "\u4eac", "2008"]),
        (
            "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440",
            ["\u043f\u0440\u0438\u0432\u0435\u0442", "\u043c\u0438\u0440"],
        ),
        ("cafe\u0301", ["caf\u00e9"]),
        ("", []),
    ],
)
def test_words_of_any_script(text, words):
    assert words_of(text) == words
    # A letter that is not ASCII takes the other way through the same rules.
    assert words_of(f"{text} \u00e9") == [*words, "\u00e9"]


class TestEmbeddingSimilarity:
    async def test_meaning_is_nearer_than_chance(self):
        pytest.importorskip("wordllama")
        near = await scorers.embedding_similarity("The cat sleeps.", "A kitten is sleeping.")
        far = await scorers.embedding_similarity("The cat sleeps.", "Interest rates rose again.")
        assert -1 <= far < near <= 1
        same = await scorers.embedding_similarity("The cat sleeps.", "The cat sleeps.")
        assert same == pytest.approx(1.0)
        assert await scorers.embedding_similarity("x", ["y", "x"]) == pytest.approx(1.0)

    async def test_nothing_has_no_meaning(self):
        assert await scorers.embedding_similarity("", "The cat sleeps.") == 0.0
        assert await scorers.embedding_similarity("x", None) is None

    @pytest.mark.usefixtures("quick")
    def test_rows_ask_side_by_side_and_each_once(self):
        rows = [{"id": place, "output": f"text {place}", "expected": "one text"} for place in range(20)]
        with ProviderSimulator(latency=0.2) as provider:
            address = provider.openai_base_url
            embedder = Embedder("openai:text-embedding-3-small", base_url=address, api_key="any")
            scorer = scorers.embedding_similarity(embedder=embedder)
            first = evaluate(rows, scorers=[scorer]).metrics["embedding_similarity"]
            asked = provider.requests
            assert (first.n, provider.peak_in_flight > 1) == (20, True)
            again = evaluate(rows, scorers=[scorer]).metrics["embedding_similarity"]
            assert (again.mean, provider.requests) == (first.mean, asked)


class TestSacrebleu:
    def test_all_rows_together_are_the_corpus(self):
        pairs = sentences(50, least=5)
        outputs, references = [one for one, _ in pairs], [[other for _, other in pairs]]
        for made, theirs in (
            (scorers.bleu, sacrebleu.corpus_bleu(outputs, references)),
            (scorers.chrf, sacrebleu.corpus_chrf(outputs, references)),
        ):
            scores = [made(output, expected) for output, expected in pairs]
            assert made.aggregate(scores)["corpus"] == pytest.approx(theirs.score, abs=1e-9)

    def test_several_translations_may_be_right(self):
        outputs = ["the cat sat on the mat", "it rains"]
        references = [["a cat sat on the mat", "the cat sits on a mat"], ["it is raining", "it rains today"]]
        by_reference = [list(column) for column in zip(*references, strict=True)]
        for made, theirs in (
            (scorers.bleu, sacrebleu.corpus_bleu(outputs, by_reference)),
            (scorers.chrf, sacrebleu.corpus_chrf(outputs, by_reference)),
        ):
            scores = [made(*pair) for pair in zip(outputs, references, strict=True)]
            assert made.aggregate(scores)["corpus"] == pytest.approx(theirs.score, abs=1e-9)

    def test_a_sentence_is_of_100(self):
        same = scorers.bleu("the cat sat on the mat", "the cat sat on the mat")
        assert same.value == pytest.approx(100.0)
        assert "version:" in same.evidence["signature"]
        assert scorers.chrf("", "text").value == 0.0
        assert scorers.bleu("text", None) is None
        assert scorers.bleu.aggregate([]) == {"corpus": None}


def test_libraries_are_loaded_when_a_scorer_needs_them():
    code = "\n".join(
        [
            "import sys",
            "from latent.evals import scorers",
            "for name in scorers.__all__: getattr(scorers, name)",
            "assert scorers.exact_match('a', 'A').value",
            "heavy = {'numpy', 'scipy', 'rapidfuzz', 'jsonschema', 'sacrebleu', 'py3langid', 'prefect'}",
            "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()",
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True)

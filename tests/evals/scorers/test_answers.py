"""What became of an answer, and what it took."""

from __future__ import annotations

import pytest

from latent.errors import MissingExtraError, ScorerError
from latent.evals import Abstain, scorers
from latent.evals.scorers import answers


@pytest.mark.parametrize(
    ("output", "refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("Sorry, I can\u2019t assist with that request.", True),
        ("As an AI language model, I am unable to provide legal advice.", True),
        ("I cannot fulfill this request.", True),
        ("I must decline.", True),
        ("Unfortunately, I cannot provide that.", True),
        ("I'm not able to discuss this.", True),
        ("Sure! I can't wait to help.", False),
        ("I cannot stress enough how nice it is.", False),
        ("I don't know.", False),
        ("The model said: I can't help with that.", False),
        ("", False),
    ],
)
def test_refusals_are_told_by_how_they_begin(output, refusal):
    assert scorers.refused(output).value is refusal


def test_the_provider_knows_best():
    assert scorers.refused("Paris", "refusal").value is True
    assert scorers.refused("Paris", "stop").value is False


def test_cut_and_empty():
    assert scorers.cut("length") is True
    assert scorers.cut("stop") is False
    assert scorers.cut(None) is None
    assert scorers.empty(" \n") is True
    assert scorers.empty(None) is True
    assert scorers.empty("x") is False


class TestLanguage:
    @pytest.mark.parametrize(
        ("output", "code"),
        [
            ("Das ist ein kurzer Satz auf Deutsch.", "de"),
            ("C'est une phrase fran\u00e7aise assez courte.", "fr"),
            ("\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059", "ja"),
        ],
    )
    def test_sentences_have_one(self, output, code):
        score = scorers.language(output, code)
        assert (score.value, score.answer) == (True, code)
        assert scorers.language(output, "en").value is False
        assert scorers.language(expected_language=f"{code.upper()}-XX")(output).value is True

    @pytest.mark.parametrize("output", ["42", "", "Oui", "\U0001f642"])
    def test_too_little_text_has_none(self, output):
        with pytest.raises(Abstain, match="Too little text"):
            scorers.language(output, "en")

    def test_an_unknown_language_is_an_error_and_none_expected_is_not_applicable(self):
        with pytest.raises(ScorerError, match="'english' is not an ISO 639 code"):
            scorers.language("This is a sentence.", "english")
        assert scorers.language("This is a sentence.", None) is None

    def test_without_the_extra_it_says_how_to_get_it(self, monkeypatch):
        answers._identifier.cache_clear()
        monkeypatch.setitem(__import__("sys").modules, "py3langid.langid", None)
        monkeypatch.setitem(__import__("sys").modules, "py3langid", None)
        with pytest.raises(MissingExtraError, match="Languages of answers need py3langid"):
            scorers.language("This is a sentence.", "en")


def test_what_an_answer_took():
    assert scorers.latency(1.5) == 1.5
    assert scorers.cost(None) is None
    assert scorers.tokens(12) == 12
    assert scorers.length("It's three words") == 4
    assert (scorers.latency.unit, scorers.latency.higher_is_better, scorers.latency.scale) == (
        "s",
        False,
        None,
    )
    assert scorers.length.higher_is_better is None


@pytest.mark.parametrize("name", scorers.__all__)
def test_every_scorer_says_what_it_does_its_unit_and_its_version(name):
    made = getattr(scorers, name)
    if name == "not_":
        return
    assert made.name == name
    assert made.revision == 1
    text = " ".join((made.__doc__ or "").split())
    if made.unit is None:
        assert "Unit: " in text, "says what its numbers count"
    better = {True: "higher is better", False: "lower is better", None: "neither end is better"}
    assert better[made.higher_is_better] in text.lower()

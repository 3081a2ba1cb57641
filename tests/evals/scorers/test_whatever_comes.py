"""Outputs of any kind: a score, or an outcome that says why there is none, and never an accident."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.errors import ScorerError
from latent.evals import Abstain, Score, scorers

NASTY = Path(__file__).parents[4] / "shared" / "data" / "nasty"

PLAIN = {
    # Scorers of an output and what was expected, with the options that they need.
    "contains": {},
    "contains_all": {},
    "edit_similarity": {},
    "ends_with": {},
    "exact_match": {},
    "json_fields": {},
    "multiple_choice": {},
    "numeric": {},
    "regex_answer": {"pattern": "(a|b)"},
    "rouge_l": {},
    "rouge_n": {"n": 3},
    "starts_with": {},
    "token_f1": {},
    "classification": {},
    "bleu": {},
    "chrf": {},
}
LOOKING_FOR = {"json_fields", "multiple_choice", "numeric", "regex_answer"}
"""Those of texts that hold something of a certain form."""
ALONE = {
    "empty": {},
    "json_schema": {"schema": {"type": "object"}},
    "json_valid": {},
    "length": {},
    "refused": {},
    "regex": {"pattern": "a+"},
}
TEXTS = st.text(st.characters(exclude_categories=()), max_size=40)
OUTPUTS = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.lists(TEXTS, max_size=3),
    st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.none()), max_size=3),
)


def values(scored: object) -> list[object]:
    if isinstance(scored, dict):
        return [value for each in scored.values() for value in values(each)]
    return [scored.value if isinstance(scored, Score) else scored]


def check(name: str, *arguments: object, **options: object) -> None:
    made = getattr(scorers, name)
    try:
        scored = made.fn(*arguments, **options)
    except (Abstain, ScorerError) as error:
        assert str(error)
        return
    for value in values(scored):
        assert value is None or isinstance(value, bool | int | float | str)
        if isinstance(value, int | float) and made.scale is not None:
            assert made.scale[0] <= value <= made.scale[1]
            assert not math.isnan(value)


@pytest.mark.parametrize("name", PLAIN)
@given(output=OUTPUTS, expected=OUTPUTS)
@settings(max_examples=80, deadline=None)
def test_any_output_against_anything_expected(name, output, expected):
    check(name, output, expected, **PLAIN[name])


@pytest.mark.parametrize("name", sorted(PLAIN.keys() - LOOKING_FOR))
@given(text=TEXTS.filter(str.strip))
@settings(max_examples=40, deadline=None)
def test_a_text_is_never_less_like_itself_than_like_nothing(name, text):
    made = getattr(scorers, name)
    scored = made.fn(text, text, **PLAIN[name])
    against_nothing = made.fn("", text, **PLAIN[name])
    assert float(values(scored)[0]) >= float(values(against_nothing)[0])


@pytest.mark.parametrize("name", ALONE)
@given(output=OUTPUTS)
@settings(max_examples=80, deadline=None)
def test_any_output_alone(name, output):
    check(name, output, **ALONE[name])


@pytest.mark.parametrize("name", [*PLAIN, *ALONE])
def test_broken_and_odd_files(name):
    if not NASTY.is_dir():
        pytest.skip("nasty files do not lie in ../shared/data")
    options = {**PLAIN, **ALONE}[name]
    for path in sorted(NASTY.rglob("*")):
        # Long lines and odd encodings, as an answer might hold them; those of a megabyte are cut.
        if path.is_file():
            text = path.read_bytes()[:20_000].decode("utf-8", "surrogateescape")
            check(name, text, *([text[:2_000]] if name in PLAIN else []), **options)


@pytest.mark.parametrize("name", sorted(PLAIN.keys() - {"bleu", "chrf"}))
def test_time_does_not_grow_faster_than_the_output(name):
    started = time.process_time()
    for text in (
        "." * 200_000,
        "1,111" * 40_000,
        "a " * 100_000,
        "(A" * 100_000,
        '"' * 200_000,
        "[" * 200_000,
    ):
        check(name, text, "a short answer", **PLAIN[name])
    assert time.process_time() - started < 10  # what grows with the square takes minutes

"""Whether an answer is what was expected, or holds it."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from latent.errors import ScorerError, ScoringError
from latent.evals.recipes import remade
from latent.evals.scorers.words import folded_text, holds_words, normalized, references_of, text_of
from latent.evals.scoring import Score, Scorer, scorer

_Test = Callable[[str, str], bool]


@scorer(kind="binary", revision=1)
def exact_match(output: Any, expected: Any, *, strict: bool = False) -> Score | None:
    """
    Whether the output is the expected text, or one of a list of them.

    Case, kinds of spaces, quotes around it and a full stop at its end do not count; with `strict`,
    everything does.

    Source: the exact match of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250), which also takes away
    articles and all punctuation: that would make -5 equal to 5. Unit: share of rows, higher is better.
    """
    if not (accepted := references_of(expected)):
        return None
    found = text_of(output)
    if strict:
        return Score(found in accepted, answer=found)
    answer = normalized(found)
    return Score(answer in {normalized(each) for each in accepted}, answer=answer)


@scorer(kind="binary", revision=1)
def contains(
    output: Any, expected: Any, *, ignore_case: bool = True, whole_words: bool = False
) -> Score | None:
    """
    Whether the expected text stands in the output; of a list, any of its texts.

    `contains(expected="yes")` looks for the same in every row. `whole_words` does not find `cat` in
    `category`. Unit: share of rows, higher is better.
    """
    return _any_found(output, expected, _finder(ignore_case, whole_words), every=False)


@scorer(kind="binary", revision=1)
def contains_all(
    output: Any, expected: Any, *, ignore_case: bool = True, whole_words: bool = False
) -> Score | None:
    """Whether all texts of the expected list stand in the output. Unit: share of rows, higher is better."""
    return _any_found(output, expected, _finder(ignore_case, whole_words), every=True)


@scorer(kind="binary", revision=1)
def starts_with(output: Any, expected: Any, *, ignore_case: bool = True) -> Score | None:
    """
    Whether the output begins with the expected text, or one of a list; spaces before it do not count.

    Unit: share of rows, higher is better.
    """
    return _any_found(output, expected, _at_end(str.startswith, ignore_case), every=False)


@scorer(kind="binary", revision=1)
def ends_with(output: Any, expected: Any, *, ignore_case: bool = True) -> Score | None:
    """
    Whether the output ends with the expected text, or one of a list; spaces behind it do not count.

    Unit: share of rows, higher is better.
    """
    return _any_found(output, expected, _at_end(str.endswith, ignore_case), every=False)


@scorer(kind="binary", revision=1)
def regex(output: Any, *, pattern: str, ignore_case: bool = False) -> Score:
    """
    Whether a regular expression of Python's `re` matches anywhere in the output; says what matched.

    Unit: share of rows, higher is better.
    """
    found = _compiled("regex", pattern, ignore_case).search(text_of(output))
    return Score(found is not None, answer=found and found.group())


@scorer(kind="binary", revision=1)
def regex_answer(
    output: Any, expected: Any, *, pattern: str, group: int | str = 1, ignore_case: bool = False
) -> Score | None:
    """
    Whether what a group of a regular expression takes from the output is the expected text.

    It is compared as `exact_match` does. Where the expression matches several times, the last counts, since
    answers stand at the end; where it does not match, the answer is wrong.

    Unit: share of rows, higher is better.
    """
    if not (accepted := references_of(expected)):
        return None
    matches = [*_compiled("regex_answer", pattern, ignore_case).finditer(text_of(output))]
    try:
        answer = matches[-1].group(group) if matches else None
    except IndexError:
        raise ScorerError("regex_answer", f"its pattern has no group {group!r}.") from None
    if answer is None:
        return Score(False, reason="The pattern does not match.")
    return Score(normalized(answer) in {normalized(each) for each in accepted}, answer=answer)


@remade
def not_(inner: Scorer) -> Scorer:
    """
    A scorer that is right where another is wrong: `not_(contains(expected="sorry"))`.

    It is called `not_contains`; of the built-in ones, each is there by such a name too:
    `scorers.not_contains`.

    Raises:
        ScorerError: The scores of the other are not binary.
    """
    if inner.kind not in (None, "binary"):
        raise ScorerError(
            inner.name, f"its scores are {inner.kind}: only those of binary scores have an opposite."
        )
    name = f"not_{inner.name}"

    @functools.wraps(inner.fn)
    def opposite(*args: Any, **given: Any) -> Any:
        return _opposite(inner.fn(*args, **given), name)

    @functools.wraps(inner.fn)
    async def opposite_async(*args: Any, **given: Any) -> Any:
        return _opposite(await inner.fn(*args, **given), name)

    fn = opposite_async if inspect.iscoroutinefunction(inner.fn) else opposite
    revision = None if inner.revision is None else f"not {inner.revision}"
    return replace(inner, fn=fn, name=name, kind="binary", higher_is_better=True, revision=revision)


def _opposite(scored: Any, name: str) -> Any:
    value = scored.value if isinstance(scored, Score) else scored
    if value is None:
        return scored
    if value not in (True, False):
        raise ScoringError(name, f"only True and False have an opposite, and the score was {value!r:.100}")
    return replace(scored, value=not value) if isinstance(scored, Score) else not value


def _compiled(name: str, pattern: str, ignore_case: bool) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0)  # `re` remembers it
    except re.error as error:
        raise ScorerError(name, f"its pattern {pattern!r} is not a regular expression: {error}.") from error


def _any_found(output: Any, expected: Any, test: _Test, *, every: bool) -> Score | None:
    if not (wanted := references_of(expected)):
        return None
    found = [text for text in wanted if test(text_of(output), text)]
    if every:
        missing = [text for text in wanted if text not in found]
        reason = f"Missing: {', '.join(map(repr, missing))}." if missing else None
        return Score(not missing, reason=reason)
    return Score(bool(found), answer=found[0] if found else None)


def _finder(ignore_case: bool, whole_words: bool) -> _Test:
    fold = folded_text if ignore_case else str

    def test(text: str, wanted: str) -> bool:
        if not whole_words:
            return fold(wanted) in fold(text)
        return holds_words(fold(text), fold(wanted))

    return test


def _at_end(test: Callable[[str, str], bool], ignore_case: bool) -> _Test:
    fold = folded_text if ignore_case else str.strip
    return lambda text, wanted: test(fold(text), fold(wanted))

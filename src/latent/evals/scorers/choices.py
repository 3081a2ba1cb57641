"""Which letter of a multiple-choice question an answer chose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from latent.errors import ScorerError
from latent.evals.scorers.words import holds_words, normalized, text_of
from latent.evals.scoring import Abstain, Score, scorer

_BARE = (
    # An A, as an article, begins more: "Answer: A river". Small letters count only where nothing follows.
    r"(?:[B-HJ-Z](?![\w'\u2019])|[AI](?![\w'\u2019])(?!\s+(?!because|since|as\b)[a-z])|"
    r"[a-z](?=[)\]}]|[*_\"'`]*\s*(?:[.,;\n]|$)))"
)
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i:answer|choice|option|antwort|réponse|respuesta|答案)\s*(?i:is|ist|est|es|是)?\s*[:\uff1a]?\s*"
        rf"[(\[*_\"'`{{]*({_BARE})",
        rf"\\boxed\{{(?:\\text\{{)?\(?({_BARE})",
        r"^\s*[(\[*_]*([A-Z])[)\].:*_]",
    )
)


@scorer(kind="binary", revision=1)
def multiple_choice(output: Any, expected: Any, choices: Sequence[str] | None = None) -> Score | None:
    r"""
    Whether the letter that the output chose is the expected one.

    Looked for in this order: a letter alone; the last after "answer is" or "answer:", or in \boxed{}; a
    letter with a bracket, stop or colon at the beginning; the only letter before a bracket; and with the
    column `choices` the only text of a choice that stands in the output. An output that chooses none, or
    several, is wrong.

    Args:
        expected: The letter; its number from 0; or, with `choices`, the text of the right one.
        choices: The texts of all choices; without them, A to Z can be chosen.

    Source: the rules of lm-evaluation-harness and Inspect, joined. Unit: share of rows, higher is better.
    """
    if expected is None:
        return None
    if isinstance(choices, str):
        raise ScorerError("multiple_choice", f"`choices` is a list of texts, not the text {choices!r:.80}.")
    letters = ascii_uppercase[: len(choices)] if choices else ascii_uppercase
    wanted = _wanted(expected, letters, choices)
    answer = chosen_letter(text_of(output), letters, choices)
    return Score(answer == wanted, answer=answer, reason=None if answer else "The output chooses no letter.")


def chosen_letter(
    text: str, letters: str = ascii_uppercase, choices: Sequence[str] | None = None
) -> str | None:
    """The letter that a text chooses; None if it chooses none or several."""
    bare = normalized(text).strip("()[]{} ").upper()
    if len(bare) == 1 and bare in letters:
        return bare
    for pattern in _PATTERNS:
        if found := [each.upper() for each in pattern.findall(text) if each.upper() in letters]:
            return str(found[-1])
    bracketed = {each for each in re.findall(r"(?<!\w)\(?([A-Z])\)", text) if each in letters}
    if len(bracketed) == 1:
        return str(bracketed.pop())
    return _by_text(text, letters, choices)


def _by_text(text: str, letters: str, choices: Sequence[str] | None) -> str | None:
    folded = normalized(text)
    named = [
        (letter, normalized(str(choice)))
        for letter, choice in zip(letters, choices or (), strict=False)
        if holds_words(folded, normalized(str(choice)))
    ]
    # "New York City" also holds "New York": what is part of a longer one that was named does not count.
    longest = [one for one in named if not any(one[1] != other and one[1] in other for _, other in named)]
    return longest[0][0] if len(longest) == 1 else None


def _wanted(expected: Any, letters: str, choices: Sequence[str] | None) -> str:
    if isinstance(expected, int) and not isinstance(expected, bool) and 0 <= expected < len(letters):
        return letters[expected]
    for letter, choice in zip(letters, choices or (), strict=False):
        if normalized(str(choice)) == normalized(text_of(expected)):
            return letter
    bare = normalized(text_of(expected)).strip("()[] ").upper()
    if len(bare) == 1 and bare in letters:
        return bare
    raise Abstain(
        f"The expected answer {text_of(expected)!r:.80} is not among the choices {', '.join(letters)}."
    )

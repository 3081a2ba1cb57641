"""Whether the number of an answer is the expected one."""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from typing import Any

from latent.evals.scorers.words import text_of
from latent.evals.scoring import Abstain, Score, scorer

_MARKER = "####"
"""What GSM8K's worked solutions write before the answer."""
_NUMBER = re.compile(
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?", re.IGNORECASE
)
_SIGN = re.compile(r"(?<![\w.)%])-(?:[$€£¥]\s?)?$|[$€£¥]\s?-$")
"""What stands before a negative number; a minus between two numbers or inside a word is not a sign."""
_THIN_SPACES = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3})")
_ASCII = str.maketrans("\u2212\u2012\u2013\ufe63\uff0d\uff0c\uff0e", "-----,.")
"""For other minus signs, and signs of full width; digits of any script are numbers to Python."""

_EXACT = Context(prec=1_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
"""Numbers of any size compare: what is beyond even that is infinite, and equal to nothing."""
_SHOWN = 30
"""Digits that are written out."""


@scorer(kind="binary", revision=1)
def numeric(output: Any, expected: Any, *, tolerance: float = 0.0, relative: float = 0.0) -> Score | None:
    """
    Whether the last number of the output is the expected one.

    GSM8K's rule (Cobbe et al. 2021, arXiv:2110.14168): the number behind the last `####` where there is
    one, else the last of the text. Thousands separators, currency signs and units do not count; `1.5e3` is
    1500, and 50 % is 50. An output without a number is wrong; an expected answer without one cannot be
    scored.

    Args:
        tolerance: How far off it may be.
        relative: The same as a share of the expected number; the wider of both counts.

    Unit: share of rows, higher is better.
    """
    if expected is None:
        return None
    wanted = last_number(expected)
    if wanted is None:
        raise Abstain(f"The expected answer {text_of(expected)!r:.80} holds no number.")
    found = last_number(output)
    if found is None:
        return Score(False, reason="There is no number in the output.")
    with localcontext(_EXACT):
        allowed = max(Decimal(str(tolerance)), Decimal(str(relative)) * abs(wanted))
        return Score(abs(found - wanted) <= allowed, answer=_shown(found))


def last_number(output: Any) -> Decimal | None:
    """The number that a text ends on, exactly; None if it holds none."""
    if isinstance(output, int | float) and not isinstance(output, bool):
        found = Decimal(str(output))
        return found if found.is_finite() else None
    text = _THIN_SPACES.sub("", text_of(output)).translate(_ASCII)
    _, marker, behind = text.rpartition(_MARKER)
    if marker and (first := _NUMBER.search(behind)):
        return _decimal(behind, first)
    numbers = [*_NUMBER.finditer(text)]
    return _decimal(text, numbers[-1]) if numbers else None


def _shown(number: Decimal) -> str:
    return f"{number:f}" if -_SHOWN < number.adjusted() < _SHOWN else f"{number:.6g}"


def _decimal(text: str, number: re.Match[str]) -> Decimal:
    value = _EXACT.create_decimal(number.group().replace(",", ""))
    return -value if _SIGN.search(text[max(number.start() - 4, 0) : number.start()]) else value

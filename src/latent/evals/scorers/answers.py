"""What became of an answer, and what it took: refused, cut, empty; its language, time, cost and length."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from latent.errors import ScorerError
from latent.evals.scorers.words import folded_text, text_of, words_of
from latent.evals.scoring import Abstain, Score, scorer

_REFUSALS = re.compile(
    r"""
    ^(?:(?:i'm[ ]|i[ ]am[ ])?(?:so[ ]|very[ ]|really[ ])?sorry|i[ ]apologi[sz]e|my[ ]apologies|unfortunately)?
    [,.!:;]*\s*(?:but[ ])?
    (?:as[ ]an?[ ](?:ai|large[ ]language[ ]model|language[ ]model|assistant)[^.]*,[ ])?
    (?:i|we)(?:[ ]|'m[ ]|'re[ ])
    (?:
        (?:can(?:no|')?t|(?:can|will|must|do)[ ]not|won't|don't|(?:am[ ]|are[ ])?(?:unable|not[ ]able)[ ]to)
        [ ]
        (?:help|assist|comply|fulfill?|provide|answer|create|generate|write|engage|support|discuss|share|give|do|
           continue|participate)\b
        |(?:must[ ]|have[ ]to[ ]|need[ ]to[ ])?(?:decline|refuse)\b
    )
    """,
    re.VERBOSE,
)
_CONFIDENT = 0.5


@scorer(kind="binary", higher_is_better=False, revision=1)
def refused(output: Any, finish_reason: str | None = None) -> Score:
    """
    Whether the model would not answer: it or its provider says so.

    True where the finish reason is `refusal`, or the output begins with an English sentence of refusal
    ("I'm sorry, but I can't help with that"). The second is a rule of thumb: refusals in other words or
    other languages are not seen, and half an answer is not seen as a refusal. Unit: share of rows, lower is
    better.
    """
    if finish_reason == "refusal":
        return Score(True, reason="The finish reason is 'refusal'.")
    found = _REFUSALS.match(folded_text(text_of(output)).replace("\u2019", "'"))
    return Score(found is not None, answer=found and found.group())


@scorer(kind="binary", higher_is_better=False, revision=1)
def cut(finish_reason: str | None) -> bool | None:
    """Whether the limit on tokens cut the answer (`length`). Unit: share of rows, lower is better."""
    return None if finish_reason is None else finish_reason == "length"


@scorer(kind="binary", higher_is_better=False, revision=1)
def empty(output: Any) -> bool:
    """Whether the output holds nothing but spaces. Unit: share of rows, lower is better."""
    return not text_of(output).strip()


@scorer(kind="binary", revision=1)
def language(output: Any, expected_language: str) -> Score | None:
    """
    Whether the output is in a language: `language(expected_language="de")`, or a column of that name.

    Told by py3langid (Lui and Baldwin 2012), which needs the extra `language`, for some 130 languages by
    their ISO 639 codes. What it is not at least half sure of abstains: single words, numbers and code have
    no language. Unit: share of rows, higher is better.
    """
    if not expected_language:
        return None
    found, probability = _identifier().classify(text_of(output))
    wanted = expected_language.lower().replace("_", "-").partition("-")[0]
    if wanted not in _identifier().labels:
        raise ScorerError(
            "language", f"{expected_language!r} is not an ISO 639 code that py3langid knows, as `en`."
        )
    if probability < _CONFIDENT or found == "zxx":
        raise Abstain(f"Too little text to tell its language (likeliest {found}, {probability:.2f}).")
    return Score(found == wanted, answer=found, evidence={"probability": round(float(probability), 4)})


@scorer(kind="continuous", higher_is_better=False, unit="s", revision=1)
def latency(latency_seconds: float | None) -> float | None:
    """
    Seconds from the last request to the whole answer, without failed attempts and waiting for a limit.

    A remembered answer has the latency it had when it was made: nothing is measured again. Lower is better.
    """
    return latency_seconds


@scorer(kind="continuous", higher_is_better=False, unit="USD", revision=1)
def cost(cost_usd: float | None) -> float | None:
    """
    Dollars that the answer cost when it was made.

    Not applicable where the price is unknown, which is not free. A remembered answer has the cost it had,
    though nothing is paid again. Lower is better.
    """
    return cost_usd


@scorer(kind="continuous", higher_is_better=None, unit="tokens", revision=1)
def tokens(output_tokens: int | None) -> int | None:
    """Tokens of the answer as the provider counts them, reasoning included. Neither end is better."""
    return output_tokens


@scorer(kind="continuous", higher_is_better=None, unit="words", revision=1)
def length(output: Any) -> int:
    """Words of the output; in scripts without spaces, its letters. Neither end is better."""
    return len(words_of(text_of(output)))


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from latent.config import import_extra

    langid = import_extra("py3langid.langid", extra="language", purpose="Languages of answers")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)

"""
Scorers that need no model: functions that can be called, and that `evaluate` maps over answers.

| does the answer ... | scorer |
|---|---|
| equal what was expected | `exact_match` |
| hold it, begin or end with it | `contains`, `contains_all`, `starts_with`, `ends_with` |
| match a pattern | `regex`, `regex_answer` |
| end on the number, choose the letter | `numeric`, `multiple_choice` |
| keep to a form | `json_valid`, `json_schema`, `json_fields` |
| come near | `edit_similarity`, `token_f1`, `rouge_l`, `rouge_n`, `embedding_similarity`, `bleu`, `chrf` |
| name the right label | `classification` |
| find the right passages | `retrieval` |
| call the right tools | `tool_calls` |
| fail to answer | `refused`, `cut`, `empty`, `language` |
| take long, cost much, run on | `latency`, `cost`, `tokens`, `length` |

`not_(scorer)` is the opposite of a binary one, and `not_contains`, `not_regex`, ... are there by name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.evals.scorers.answers import cost as cost
    from latent.evals.scorers.answers import cut as cut
    from latent.evals.scorers.answers import empty as empty
    from latent.evals.scorers.answers import language as language
    from latent.evals.scorers.answers import latency as latency
    from latent.evals.scorers.answers import length as length
    from latent.evals.scorers.answers import refused as refused
    from latent.evals.scorers.answers import tokens as tokens
    from latent.evals.scorers.choices import multiple_choice as multiple_choice
    from latent.evals.scorers.labels import classification as classification
    from latent.evals.scorers.matching import contains as contains
    from latent.evals.scorers.matching import contains_all as contains_all
    from latent.evals.scorers.matching import ends_with as ends_with
    from latent.evals.scorers.matching import exact_match as exact_match
    from latent.evals.scorers.matching import not_ as not_
    from latent.evals.scorers.matching import regex as regex
    from latent.evals.scorers.matching import regex_answer as regex_answer
    from latent.evals.scorers.matching import starts_with as starts_with
    from latent.evals.scorers.numbers import numeric as numeric
    from latent.evals.scorers.retrieval_by_id import retrieval as retrieval
    from latent.evals.scorers.similarity import edit_similarity as edit_similarity
    from latent.evals.scorers.similarity import embedding_similarity as embedding_similarity
    from latent.evals.scorers.similarity import rouge_l as rouge_l
    from latent.evals.scorers.similarity import rouge_n as rouge_n
    from latent.evals.scorers.similarity import token_f1 as token_f1
    from latent.evals.scorers.structured import json_fields as json_fields
    from latent.evals.scorers.structured import json_schema as json_schema
    from latent.evals.scorers.structured import json_valid as json_valid
    from latent.evals.scorers.tools import tool_calls as tool_calls
    from latent.evals.scorers.translation import bleu as bleu
    from latent.evals.scorers.translation import chrf as chrf

_HOME = {
    "bleu": "translation",
    "chrf": "translation",
    "classification": "labels",
    "contains": "matching",
    "contains_all": "matching",
    "cost": "answers",
    "cut": "answers",
    "edit_similarity": "similarity",
    "embedding_similarity": "similarity",
    "empty": "answers",
    "ends_with": "matching",
    "exact_match": "matching",
    "json_fields": "structured",
    "json_schema": "structured",
    "json_valid": "structured",
    "language": "answers",
    "latency": "answers",
    "length": "answers",
    "multiple_choice": "choices",
    "not_": "matching",
    "numeric": "numbers",
    "refused": "answers",
    "regex": "matching",
    "regex_answer": "matching",
    "retrieval": "retrieval_by_id",
    "rouge_l": "similarity",
    "rouge_n": "similarity",
    "starts_with": "matching",
    "token_f1": "similarity",
    "tokens": "answers",
    "tool_calls": "tools",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if name.startswith("not_") and name.removeprefix("not_") in _HOME:
        inner = __getattr__(name.removeprefix("not_"))
        return import_module(f"{__name__}.matching").not_(inner)
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)

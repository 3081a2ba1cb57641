"""JSON that providers send: what they wrote carelessly was paid for all the same, and is read."""

from __future__ import annotations

import json
from typing import Any

import orjson

from latent.llm.surrogates import mended

_MOST_DIGITS = 18
"""Integers of up to so many digits have 64 bits; longer ones become floats, as with orjson."""


def document_in(body: bytes) -> Any:
    """
    The JSON document that a body holds.

    A lone surrogate, where a limit on tokens cut an emoji, becomes U+FFFD. NaN and Infinity are floats.

    Raises:
        ValueError: It holds none, or not a whole one.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # The standard library takes lone surrogates, NaN, and control characters inside of strings.
    text = body.decode("utf-8-sig", errors="replace")
    try:
        return mended(json.loads(text, strict=False, parse_int=_number))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)

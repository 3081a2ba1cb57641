"""A string with a lone surrogate has no UTF-8: it cannot be sent, nor stored when it comes in an answer."""

from __future__ import annotations

import re
from typing import Any

from latent.errors import BrokenTextError

_LONE_SURROGATES = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
"""Surrogates without their other half: two that belong together are one character, also in JSON."""


def check_whole(spec: str, name: str, text: str) -> None:
    """
    Refuse a string with a lone surrogate in it, as names of files in no encoding hold them.

    Args:
        name: What the string is called: `the prompt`, `texts[3]`.

    Raises:
        BrokenTextError: It holds one.
    """
    if not text.isascii() and (half := _LONE_SURROGATES.search(text)) is not None:
        raise BrokenTextError(spec, name, half[0], half.start())


def mended(value: Any) -> Any:
    """JSON data with U+FFFD in the place of each lone surrogate."""
    if isinstance(value, str):
        return value if value.isascii() else _LONE_SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [mended(each) for each in value]
    if isinstance(value, dict):
        return {mended(name): mended(each) for name, each in value.items()}
    return value

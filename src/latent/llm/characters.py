"""Whether a text can be sent at all: half a character has no UTF-8, and no provider takes its JSON."""

from __future__ import annotations

import re

from latent.errors import BrokenTextError

_HALVES = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
"""Surrogates without their other half: two that belong together are one character, also in JSON."""


def check_whole(spec: str, name: str, text: str) -> None:
    """
    Refuse a text with half a character in it, as names of files in no encoding hold them.

    Args:
        name: What the text is called: `the prompt`, `texts[3]`.

    Raises:
        BrokenTextError: It holds one.
    """
    if not text.isascii() and (half := _HALVES.search(text)) is not None:
        raise BrokenTextError(spec, name, half[0], half.start())

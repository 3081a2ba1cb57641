"""
What the page's script reads: JSON, deflated, in base64, in blocks that are unpacked when they are needed.

One block holds what the table shows of all rows, in columns; blocks of `BLOCK_ROWS` rows hold the details.
Long texts that stand in several places, as retrieved passages do, stand in a block of their own, once:
deflate looks back 32 kB only.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

BLOCK_ROWS = 250
SHOWN_CHARS = 160
"""Of inputs and outputs in the table, which is also what the search looks at."""
ASKED = ("question", "prompt", "query", "input")
COMPRESSION = 6
"""The highest level takes twice the time for a hundredth of the size."""
LONG_CHARS = 200
"""Texts of this length that stand in several places are kept once."""
JOINED = "$joined"
"""In a detail: a text made of pieces, of which each may be a shared one."""

Mask = Callable[[str], str]
Detail = Mapping[str, Any] | None
"""What is shown of one row when it is opened; None where it is left out."""


def packed(table: Mapping[str, Any], details: Sequence[Detail], mask: Mask) -> dict[str, str]:
    """
    The blocks by name: `table`, `shared`, and `rows-0` and so on.

    Args:
        mask: Takes secrets out of texts.
    """
    shared = _Shared(details)
    blocks = [details[at : at + BLOCK_ROWS] for at in range(0, len(details), BLOCK_ROWS)]
    found = {"table": _pack({"size": BLOCK_ROWS, **table}, mask)}
    found |= {f"rows-{number}": _pack(shared.replaced(block), mask) for number, block in enumerate(blocks)}
    found["shared"] = _pack(shared.texts, mask)
    return found


def _pack(content: Any, mask: Mask) -> str:
    try:
        text = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # half characters, which UTF-8 has no form for
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(mask(text).encode("utf-8", "replace"), COMPRESSION)).decode()


def one_line(values: Mapping[str, Any]) -> str:
    """A row's columns in a line: what is asked first, and without a name, as a single one is."""
    asked = next((name for name in ASKED if isinstance(values.get(name), str)), None)
    if asked is not None:
        values = {asked: values[asked], **values}
    texts = [
        text_of(value) if name == asked or len(values) == 1 else f"{name}: {text_of(value)}"
        for name, value in values.items()
    ]
    return " · ".join(texts)[:SHOWN_CHARS]


def text_of(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def in_pieces(text: str, values: Mapping[str, Any]) -> Any:
    """A text taken apart where it holds long ones of `values`, as prompts hold passages, to share those."""
    pieces = [text]
    for long in sorted(set(_long_texts(values)), key=len, reverse=True):
        pieces = [piece for each in pieces for piece in _split(each, long)]
    return text if len(pieces) == 1 else {JOINED: [piece for piece in pieces if piece]}


def _split(text: str, part: str) -> list[str]:
    """The text without a part that it holds, and the part in between."""
    if text == part or part not in text:
        return [text]
    before, _, after = text.partition(part)
    return [before, part, after]


class _Shared:
    """Long texts that stand in several places: each once, and a reference where they stood."""

    def __init__(self, details: Sequence[Detail]) -> None:
        counts = Counter(text for detail in details for text in _long_texts(detail))
        self.texts = [text for text, count in counts.items() if count > 1]
        self._places = {text: place for place, text in enumerate(self.texts)}

    def replaced(self, value: Any) -> Any:
        if isinstance(value, str):
            place = self._places.get(value) if len(value) >= LONG_CHARS else None
            return value if place is None else {"$shared": place}
        if isinstance(value, dict):
            return {name: self.replaced(inner) for name, inner in value.items()}
        return [self.replaced(inner) for inner in value] if isinstance(value, list) else value


def _long_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= LONG_CHARS:
            yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, str | dict | list):
                yield from _long_texts(inner)

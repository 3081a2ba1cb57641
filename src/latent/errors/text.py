"""
Parts of error messages: the name that was meant, places in a list, the cause that several share.

The command line imports it at each start, so that libraries are imported where they are used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def toml_key(name: str) -> str:
    """`name` as a key of a TOML table: quoted where it holds more than letters, digits, dashes."""
    import json

    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most likely meant by `name`; None when nothing comes close."""
    from difflib import get_close_matches

    matches = get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint for an unknown `name`: the nearest known one, else the sentence `otherwise`."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else otherwise


def first_few(indices: Sequence[int]) -> str:
    """Places in a list `texts`, the first five of them: `texts[0], texts[3] and 1,200 more`."""
    shown = ", ".join(f"texts[{index}]" for index in indices[:5])
    return shown + (f" and {len(indices) - 5:,} more" if len(indices) > 5 else "")


def file_line(file: str, line: int | None) -> str:
    """A place in a file, as editors and terminals read it: `flow.py:12`."""
    return f"{file}:{line}" if line else file


def as_sentence(reason: str) -> str:
    """`reason` with a full stop, where it does not end a sentence already."""
    return reason if reason.endswith((".", "?")) else f"{reason}."


def text_of(error: BaseException) -> str:
    """What an error says; some raise when they are asked."""
    try:
        return str(error)
    except Exception as broken:
        return f"<no message: {type(error).__qualname__}.__str__ raised {type(broken).__qualname__}>"


def cause_of(message: str) -> str:
    """
    What messages of one cause have in common: numbers and ids become `#`, white space one blank.

    The status of an HTTP answer stays: 429 and 500 are two causes.
    """
    text = " ".join(message[:_CAUSE_CHARS].split())
    return re.sub(_CHANGING, lambda found: found[0] if found.lastgroup == "kept" else "#", text, flags=_FLAGS)


_CAUSE_CHARS = 500
_FLAGS = re.VERBOSE | re.IGNORECASE
# Compiled, and kept, by `re` when it is first used: most commands never need it.
_CHANGING = r"""
    (?P<kept>\b(?:status|code|http|http/[\d.]+|error)[^\w]{0,3}[1-5]\d\d\b)
    | \b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b              # UUIDs
    | \b0x[0-9a-f]+\b
    | \b(?=[a-z_-]*\d)(?=[\d_-]*[a-z])[\w-]{10,}\b                  # ids of requests: req_011CSHoEeqs5C35K
    | (?<![\w.])[+-]?\d+(?:[.,:]\d+)*(?![\w])
    | \d+
    """

"""Markdown and reStructuredText: the text as it stands, its title, and what front matter says."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from latent.rag.load.decoding import cleaned

_FRONT_MATTER = re.compile(
    r"\A---[ \t]*\n(?P<yaml>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_TOML_FRONT_MATTER = re.compile(
    r"\A\+\+\+[ \t]*\n(?P<toml>.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*\s*$|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t](?P<atx>.*)$|^(?P<setext>\S.*)\n(?:=+|-+)[ \t]*$", re.MULTILINE)
_RST_TITLE = re.compile(r"^(?P<title>\S.*)\n(?P<mark>[!-/:-@\[-`{-~])(?P=mark){2,}[ \t]*$", re.MULTILINE)
_MARKUP = re.compile(r"[*`]|!?\[([^\]]*)\]\([^)]*\)")
_LOOKED_THROUGH = 20_000
"""Characters at the beginning of a text in which a title is looked for."""


class Parts(NamedTuple):
    """A Markdown file, taken apart."""

    body: str
    title: str | None
    metadata: dict[str, Any]


def markdown_parts(text: str) -> Parts:
    """
    The text below the front matter, the title, and what the front matter says: YAML, or TOML between `+++`.

    Front matter that is neither stays a part of the text, and `front_matter_error` says why.
    """
    match, read = _FRONT_MATTER.match(text), _yaml_values
    if match is None:
        match, read = _TOML_FRONT_MATTER.match(text), _toml_values
    if match is None:
        return Parts(text, markdown_title(text), {})
    try:
        values = _plain_values(read(match[1]))
    except ValueError as error:
        return Parts(text, markdown_title(text[match.end() :]), {"front_matter_error": str(error)})
    body = text[match.end() :]
    title = values.pop("title", None)
    return Parts(body, str(title) if title else markdown_title(body), values)


def markdown_title(text: str) -> str | None:
    """The first heading, without its markup; None when there is none."""
    match = _HEADING.search(_FENCE.sub("", text[:_LOOKED_THROUGH]))
    if match is None:
        return None
    return _plain(match["setext"] or _without_closing(match["atx"].strip()))


def _without_closing(heading: str) -> str:
    """A heading without the `#` that may close it: a blank is before it, unlike in a name such as `C#`."""
    bare = heading.rstrip("#")
    return bare.rstrip() if not bare or bare[-1].isspace() else heading


def rst_title(text: str) -> str | None:
    """The first heading of a reStructuredText; None when there is none."""
    for match in _RST_TITLE.finditer(text[:_LOOKED_THROUGH]):
        if not re.match(r"([!-/:-@\[-`{-~])\1*[ \t]*$", match["title"]):
            return _plain(match["title"])
    return None


def _plain(heading: str) -> str | None:
    return _MARKUP.sub(lambda match: match[1] or "", heading).strip() or None


def _plain_values(values: Any) -> dict[str, Any]:
    """
    What front matter says, as JSON; dates are text.

    Raises:
        ValueError: It is not a mapping.
    """
    if not isinstance(values, dict):
        raise ValueError("front matter: it is not a mapping of the form `key: value`.")
    plain: dict[str, Any] = json.loads(cleaned(json.dumps(values, default=_as_text, ensure_ascii=False)))
    return plain


def _as_text(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _toml_values(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("front matter: nested too deeply to be read.") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"front matter: no TOML: {error}.") from error


def _yaml_values(text: str) -> Any:
    """
    What YAML says, each value by its own type.

    What parameters refuse as ambiguous (`draft: no`, `zip: 01234`) is taken as it is written.
    """
    from latent.config.yaml_files import parse_yaml

    return parse_yaml(text, "front matter", is_strict=False) if text.strip() else {}

"""The commented `latent.toml`: every setting with what it does, written from the model itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from textwrap import wrap
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from latent.config.durations import duration_text
from latent.config.schema import is_model, type_under, without_none
from latent.config.section import Section
from latent.config.settings import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_WIDTH = 90
_HEAD = """\
Settings of this workspace. Lines that are commented out show the defaults.
An environment variable wins over this file: LATENT_ENVIRONMENT=dev, LATENT_TASKS__RETRIES=5.
"""


def settings_template(
    settings: type[Section] = Settings, *, examples: Mapping[str, str] = MappingProxyType({}), **values: Any
) -> str:
    """
    The text of a `latent.toml` in which every setting stands with its meaning, commented out at its default.

    Args:
        settings: The model to describe.
        examples: What stands for settings without a default, by their names: a flow that the workspace has.
        values: Top-level settings to write as set rather than commented out, such as `environment="dev"`.
    """
    tables = {name: _table(name, field) for name, field in settings.model_fields.items()}
    plain = {name: field for name, field in settings.model_fields.items() if tables[name] is None}
    lines = [*_comment(_HEAD), *_settings(plain, values, examples)]
    for heading, section in filter(None, tables.values()):
        lines += [
            "",
            "",
            *_comment(section.__doc__ or ""),
            heading,
            *_settings(section.model_fields, {}, examples),
        ]
    return "\n".join(lines) + "\n"


def _table(name: str, field: FieldInfo) -> tuple[str, type[BaseModel]] | None:
    """How the table of a section begins; commented out where a user gives names or numbers to several."""
    annotation = without_none(field.annotation)
    if is_model(annotation):
        return f"[{name}]", annotation
    inner = type_under(annotation, "")
    if not is_model(inner):
        return None
    return (f"# [[{name}]]" if get_origin(annotation) in (list, tuple) else f"# [{name}.NAME]"), inner


def _settings(
    fields: Mapping[str, FieldInfo], values: Mapping[str, Any], examples: Mapping[str, str]
) -> Iterator[str]:
    for name, field in fields.items():
        yield ""
        yield from _comment(_described(field))
        if name in values:
            yield f"{name} = {_toml(values[name])}"
        else:
            default = field.get_default(call_default_factory=True)
            if default is PydanticUndefined and field.examples:
                default = examples.get(name, field.examples[0])
            # TOML has no null: what is unset by default stands without a value.
            unset = default is PydanticUndefined or default is None
            yield f"# {name} =" + ("" if unset else f" {_toml(default)}")


def _described(field: FieldInfo) -> str:
    """What a setting does, and which values it takes."""
    annotation = without_none(field.annotation)
    description = field.description or ""
    if get_origin(annotation) is Literal:
        return f"{description} One of {', '.join(_toml(choice) for choice in get_args(annotation))}."
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    words = {"Ge": "at least", "Gt": "more than", "Le": "at most", "Lt": "less than"}
    said = [
        f"{word} {getattr(bounds[kind], kind.lower()):,}" for kind, word in words.items() if kind in bounds
    ]
    return f"{description} {' and '.join(said).capitalize()}." if said else description


def _comment(text: str) -> Iterator[str]:
    for paragraph in text.strip().splitlines():
        yield from (f"# {line}" for line in wrap(paragraph.strip(), _WIDTH))


def _toml(value: Any) -> str:
    """A default as TOML writes it; JSON's texts, numbers, truth values and lists are TOML's, too."""
    return json.dumps(duration_text(value) if isinstance(value, timedelta) else value, ensure_ascii=False)

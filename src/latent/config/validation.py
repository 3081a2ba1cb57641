"""What pydantic refuses, as one line per field that says what was given and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.config.schema import accepted_names, is_model, type_under
from latent.config.secrets import MASK, Masker, looks_secret
from latent.error_text import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_NOTHING = object()
_LONGEST_VALUE = 80
_LISTS = ("list_type", "tuple_type", "set_type", "frozen_set_type")


@dataclass(frozen=True)
class Problem:
    """One value that cannot be used."""

    where: str
    """The dotted key, as a user writes it."""
    message: str
    type: str
    """pydantic's name for the kind of error, which its documentation explains."""
    given: object = _NOTHING
    source: str = ""
    """The file, variable or override that the value came from."""
    hint: str = ""
    """What to do, where the message does not say it."""

    def line(self) -> str:
        """`batch_size: Input should be greater than 0 (type=greater_than, got -1, from FILE)`."""
        details = [f"type={self.type}"]
        if self.given is not _NOTHING:
            details.append(f"got {_shown(self.where, self.given)}")
        if self.source:
            details.append(f"from {self.source}")
        if self.hint:
            details.append(self.hint)
        return Masker().text(f"{self.where}: {self.message} ({', '.join(details)})")


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    source_of: Callable[[tuple[str, ...]], str],
    if_missing: str = "",
) -> list[Problem]:
    """
    The problems that pydantic found in a value for `model`.

    Args:
        error: What `model_validate` raised.
        model: Tells which names would have been valid in place of an unknown one.
        source_of: Where the value under a key path came from; an empty text when nowhere.
        if_missing: What to do about a required value that nobody gave.
    """
    return [_problem(detail, model, source_of, if_missing) for detail in error.errors(include_url=False)]


def unknown_key(path: tuple[str, ...], known: Iterable[str], source: str) -> Problem:
    """The problem of a key that no schema has, with the nearest name that one has."""
    names = sorted(known)
    hint = did_you_mean(path[-1], names, f"known here: {', '.join(names) or 'nothing'}")
    return Problem(".".join(path), f"unknown key, {hint}", type="unknown_key", source=source)


def _problem(
    detail: Any, model: type[BaseModel], source_of: Callable[[tuple[str, ...]], str], if_missing: str
) -> Problem:
    path = tuple(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return unknown_key(path, _names_beside(path, model), source_of(path))
    if detail["type"] == "missing":
        return Problem(".".join(path), detail["msg"], type="missing", hint=if_missing)
    given = detail["input"] if path else _NOTHING  # the whole configuration would drown the message
    hint = f"write [{given}] for a list" if detail["type"] in _LISTS and isinstance(given, str) else ""
    return Problem(
        ".".join(path) or "configuration", detail["msg"], detail["type"], given, source_of(path), hint
    )


def _names_beside(path: tuple[str, ...], model: type[BaseModel]) -> Iterable[str]:
    """The names that could have stood in place of the last part of `path`."""
    inner: Any = model
    for part in path[:-1]:
        inner = type_under(inner, part)
    return accepted_names(inner) if is_model(inner) else ()


def _shown(where: str, value: object) -> str:
    """A short `repr` in which no secret stands."""
    if looks_secret(where.rpartition(".")[2]):
        return MASK
    text = repr(Masker().data(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text)} characters)"

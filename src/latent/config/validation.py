"""Values against a pydantic schema: validated, completed by defaults, refused with a line for each field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, RootModel, ValidationError

from latent.config.merging import KeyPath, Layers, source_of
from latent.config.schema import accepted_names, is_model, type_under
from latent.config.secrets import MASK, Masker, looks_secret
from latent.errors import ConfigValidationError
from latent.errors.text import did_you_mean

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


MustFit = Callable[[KeyPath], bool]


def validate(
    flow_name: str, layers: Layers, schema: type[BaseModel], *, must_fit: MustFit, if_missing: str
) -> tuple[dict[str, Any], dict[str, str], BaseModel]:
    """
    The merged values as `schema` understands them, where each came from, and the model itself.

    Args:
        flow_name: Named in the error.
        layers: The merged values and their sources.
        schema: The flow's `config_schema`.
        must_fit: Whether the schema has to have what stands under a key path; else it is passed by.
        if_missing: What to do about a required value that nobody gave.

    Raises:
        ConfigValidationError: With a line for every value and key that does not fit.
    """
    names = accepted_names(schema)
    is_open = schema.model_config.get("extra") == "allow"
    strangers = [key for key in layers.values if key not in names and must_fit((str(key),))]
    wanted = {*names, *strangers} if is_open else {*names}
    taken = {key: value for key, value in layers.values.items() if key in wanted}
    problems = [] if is_open else [_unknown((str(key),), names, layers) for key in strangers]
    try:
        model = schema.model_validate(taken)
    except ValidationError as error:
        # Not chained: pydantic's own message would show the values that ours masks.
        problems += problems_of(error, schema, lambda path: source_of(path, layers.sources), if_missing)
        raise ConfigValidationError(flow_name, tuple(problem.line() for problem in problems)) from None
    problems += _unknown_inside(model, taken, (), must_fit, layers)
    if problems:
        raise ConfigValidationError(flow_name, tuple(problem.line() for problem in problems))
    rest = {key: value for key, value in layers.values.items() if key not in taken}
    # A value given under an alias stands under its field's name from here on.
    aliased = {
        name: source_of((key,), layers.sources) for key, name in names.items() if key in taken and key != name
    }
    return {**rest, **plain(model)}, {**layers.sources, **aliased, **dict(_defaults(model, ()))}, model


def plain(value: Any) -> Any:
    """
    Models as mappings of their fields' values, at any depth; every other value as it is.

    Unlike `model_dump` it runs no serializer, so that a flow sees the value which was validated.
    """
    if isinstance(value, RootModel):
        return plain(value.root)
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {name: plain(part) for name, part in (fields | (value.model_extra or {})).items()}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def _unknown(path: KeyPath, known: Mapping[str, str], layers: Layers) -> Problem:
    return unknown_key(path, known, source_of(path, layers.sources))


def _unknown_inside(
    value: Any, given: Any, path: KeyPath, must_fit: MustFit, layers: Layers
) -> Iterator[Problem]:
    """The keys in `given` that the models in `value`, made from it, have passed over."""
    if isinstance(value, RootModel):
        value = value.root
    for key, inner, inner_given in _pairs(value, given):
        yield from _unknown_inside(inner, inner_given, (*path, key), must_fit, layers)
    if path and isinstance(value, BaseModel) and isinstance(given, Mapping):
        names = accepted_names(type(value))
        if type(value).model_config.get("extra") != "allow":
            strangers = [(*path, str(key)) for key in given if key not in names]
            yield from (_unknown(stranger, names, layers) for stranger in strangers if must_fit(stranger))


def _pairs(value: Any, given: Any) -> Iterator[tuple[str, Any, Any]]:
    """What stands under the same key of a validated value and of what was given for it."""
    if isinstance(value, BaseModel) and isinstance(given, Mapping):
        for key, name in accepted_names(type(value)).items():
            if key in given:
                yield key, getattr(value, name), given[key]
    elif isinstance(value, Mapping) and isinstance(given, Mapping):
        for key in given:
            if key in value:
                yield str(key), value[key], given[key]
    elif isinstance(value, list) and isinstance(given, list):
        for position, (inner, inner_given) in enumerate(zip(value, given, strict=False)):
            yield str(position), inner, inner_given


def _defaults(model: BaseModel, parents: KeyPath) -> Iterator[tuple[str, str]]:
    for name in type(model).model_fields:
        path = (*parents, name)
        if name not in model.model_fields_set:
            yield ".".join(path), f"default of {type(model).__name__}"
        elif isinstance(inner := getattr(model, name), BaseModel):
            yield from _defaults(inner, path)

"""Questions to the fields of a pydantic model: which names it reads, and what type stands under a key."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeGuard, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel

from latent.config.merging import find


def accepted_names(model: type[BaseModel], *, whole: bool = False) -> dict[str, str]:
    """
    Every top-level key that `model` reads, aliases included, and the field that it fills.

    Args:
        whole: Only keys whose whole value is the field's.
    """
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    names: dict[str, str] = {}
    for field_name, field in model.model_fields.items():
        alias = field.validation_alias or field.alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        for choice in choices:
            if isinstance(choice, str):
                names[choice] = field_name
            elif choice is not None and not whole:  # an AliasPath begins with the key that it reads
                names[str(choice.path[0])] = field_name
        if alias is None or by_name:
            names[field_name] = field_name
    return names


def respelled(layer: Mapping[Any, Any], values: Any, annotation: Any) -> dict[Any, Any]:
    """
    A mapping of type `annotation` with the spelling of `values`, which it will be laid over.

    A field may be named by itself or by an alias. Of two names for it in one mapping, a model takes the one
    that it prefers, and not the one that was laid over the other.
    """
    names = accepted_names(annotation, whole=True) if is_model(annotation) else {}
    known = {names[key]: key for key in values if key in names} if isinstance(values, Mapping) else {}
    spelled = {}
    for key, value in layer.items():
        same = known.get(names[key], key) if key in names else key
        if isinstance(value, Mapping):
            value = respelled(value, find(values, (str(same),)), type_under(annotation, str(key)))
        spelled[same] = value
    return spelled


def type_under(annotation: Any, key: str) -> Any:
    """The type of what stands under `key` in a value of type `annotation`; Any when that says nothing."""
    annotation = without_none(annotation)
    if is_model(annotation):
        field = annotation.model_fields.get(accepted_names(annotation).get(key, ""))
        return without_none(field.annotation) if field else Any
    arguments = get_args(annotation)
    if get_origin(annotation) is dict and len(arguments) == 2:
        return without_none(arguments[1])
    if get_origin(annotation) in (list, tuple) and arguments:
        return without_none(arguments[0])
    return Any


def without_none(annotation: Any) -> Any:
    """`X` for `X | None`; any other type as it is."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether `annotation` is a pydantic model rather than any other type."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)

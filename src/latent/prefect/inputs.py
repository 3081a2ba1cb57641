"""Which parameters of a function the catalog fills, and what Prefect sees of its signature."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any

from latent.errors import RegistryError
from latent.errors.text import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
"""Kinds of parameters that take any number of arguments."""

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def dataset_names(declared: str | Sequence[str] | None) -> tuple[str, ...]:
    """`input=` and `output=` as they are written (nothing, one name, several) as a tuple of names."""
    if declared is None:
        return ()
    if isinstance(declared, str):
        return (declared,)
    names = tuple(declared)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise RegistryError(f"Dataset names are strings, got {wrong[0]!r} in {list(names)!r}.")
    return names


def signature_of(fn: Callable[..., Any]) -> Signature:
    """The signature of `fn`; one that accepts anything for built-in functions that do not tell theirs."""
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **kwargs: None)


def name_of(fn: Callable[..., Any]) -> str:
    """The name of a function; of a partial or another callable object, its class's."""
    return str(getattr(fn, "__name__", type(fn).__name__))


def match_inputs(owner: str, signature: Signature, datasets: Sequence[str]) -> dict[str, str]:
    """
    The dataset that fills each parameter: by name where names match, the others in order.

    A function without parameters receives nothing. `upstream.orders` matches a parameter called `orders`.

    Raises:
        RegistryError: More datasets are declared than the function has parameters.
    """
    names = [p.name for p in signature.parameters.values() if p.kind in _NAMED and p.name != "self"]
    if not names:
        return {}
    by_name = {d.rpartition(".")[2]: d for d in datasets if d.rpartition(".")[2] in names}
    others = [d for d in datasets if d not in by_name.values()]
    free = [name for name in names if name not in by_name]
    if len(others) > len(free):
        raise RegistryError(
            f"{owner} declares {len(datasets)} input datasets, but its function has {len(names)} parameters: "
            f"add a parameter for {others[len(free)]!r} or take it off `input`."
        )
    return by_name | dict(zip(free, others, strict=False))


@dataclass(frozen=True)
class Binder:
    """How calls of one function become arguments by name, and the other way round."""

    label: str
    """How messages name the function."""
    signature: Signature
    fills: Mapping[str, str]
    """The dataset that fills a parameter, by the parameter's name."""

    @classmethod
    def of(cls, label: str, fn: Callable[..., Any], datasets: Sequence[str]) -> Binder:
        """The binder of `fn`, whose parameters `datasets` fill."""
        signature = signature_of(fn)
        return cls(label, signature, match_inputs(label, signature, datasets))

    def bind(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        defaults: bool = True,
        options: Sequence[str] = (),
    ) -> dict[str, Any]:
        """
        The arguments by parameter name; those that the catalog fills may be missing.

        Args:
            options: Other names that the call could have meant, for the error's hint.

        Raises:
            ParameterBindError: The call does not fit the function (a `TypeError`, Prefect's own).
        """
        try:
            bound = self.signature.bind_partial(*args, **kwargs)
        except TypeError as error:
            raise _unbound(f"{self.label}: {error}{self._nearest(kwargs, options)}") from None
        arguments = dict(bound.arguments)
        absent = [
            p
            for name, p in self.signature.parameters.items()
            if name not in arguments and name not in self.fills
        ]
        if missing := [p.name for p in absent if p.default is Parameter.empty and p.kind not in VARIADIC]:
            raise _unbound(self._missing(missing, arguments))
        if defaults:
            arguments |= {p.name: p.default for p in absent if p.default is not Parameter.empty}
        return arguments

    def positional(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments by name in the form in which the function takes them."""
        in_order = {name: arguments[name] for name in self.signature.parameters if name in arguments}
        bound = inspect.BoundArguments(self.signature, OrderedDict(in_order))
        return bound.args, bound.kwargs

    def _nearest(self, given: Mapping[str, Any], options: Sequence[str]) -> str:
        known = [*self.signature.parameters, *options]
        meant = [nearest(name, known) for name in given if name not in known]
        return next((f"; did you mean {name!r}?" for name in meant if name), "")

    def _missing(self, names: list[str], given: Mapping[str, Any]) -> str:
        text = f"{self.label} is missing {', '.join(map(repr, names))}."
        if displaced := [name for name in self.fills if name in given]:
            text += (
                f" The value for {displaced[0]!r} replaced its dataset {self.fills[displaced[0]]!r}: "
                "pass the other arguments by keyword to have it loaded."
            )
        return text


def _unbound(message: str) -> TypeError:
    from prefect.exceptions import ParameterBindError

    return ParameterBindError(message)


def without(signature: Signature, names: Mapping[str, str]) -> Signature:
    """The signature that callers and deployments need: without the parameters that the catalog fills."""
    kept = [p for p in signature.parameters.values() if p.name not in names]
    return signature.replace(parameters=_in_valid_order(kept))


def evaluated(signature: Signature, fn: Callable[..., Any]) -> Signature:
    """
    The signature with its written annotations (`"Order"`, `from __future__ import annotations`) as types.

    They are read where the function stands: what Prefect runs in its place stands elsewhere. One that names
    what is not defined, or not yet, stays as it is written.
    """
    names = getattr(inspect.unwrap(fn), "__globals__", {})
    return signature.replace(
        parameters=[p.replace(annotation=_type_of(p, names)) for p in signature.parameters.values()]
    )


def _type_of(parameter: Parameter, names: dict[str, Any]) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        return eval(parameter.annotation, names)  # noqa: S307  # as `inspect.signature(eval_str=True)` does
    except Exception:
        return parameter.annotation


def keyword_only(signature: Signature) -> Signature:
    """The same parameters, all by name and none of them variadic: the form in which Prefect calls a task."""
    return signature.replace(
        parameters=[
            Parameter(p.name, Parameter.KEYWORD_ONLY, default=None) for p in signature.parameters.values()
        ]
    )


def _in_valid_order(parameters: list[Parameter]) -> list[Parameter]:
    """What follows a removed parameter may have lost its required neighbours; Python wants defaults last."""
    seen_default, ordered = False, []
    for parameter in parameters:
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD:
            if seen_default and parameter.default is Parameter.empty:
                parameter = parameter.replace(kind=Parameter.KEYWORD_ONLY)
            seen_default = seen_default or parameter.default is not Parameter.empty
        ordered.append(parameter)
    return sorted(ordered, key=lambda p: p.kind)

"""`params`: the running flow's parameters; what is computed from them is noted to depend on what was read."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from latent.errors import ConfigError, NotInRunError, ParameterNotFoundError
from latent.errors.text import did_you_mean
from latent.prefect.run import MISSING, NAMES, Missing, Run, current_run
from latent.prefect.scope import record_read

if TYPE_CHECKING:
    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")


class ParameterSection(dict[str, Any]):
    """A nested mapping of parameters: a dict whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            hint = did_you_mean(name, self, f"it has {', '.join(map(repr, self)) or 'no keys'}.")
            raise ParameterNotFoundError(f"This section of the parameters has no {name!r}: {hint}") from None


class Params(Mapping[str, Any]):
    """
    The parameters of the running flow.

    `params.batch_size`, `params["batch_size"]` and `params.get("timeout", 30)` read the flow's own; with a
    `config_schema`, the validated values. `params.get("other_flow.key", default)` reads another flow's.

    What a task reads here belongs to what it depends on: its remembered results are reused only while those
    values are unchanged. Reading a section depends on the whole section, `params.get("section.key")` on that
    key alone.

    Raises:
        NotInRunError: No flow is running.
        ParameterNotFoundError: The flow has no such parameter; also a `KeyError` and an `AttributeError`.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself asks for (copying, pickling) is not a parameter
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        run = _run()
        if name not in run.parameter_names():
            record_read({name: run.parameter_fingerprint(name)})  # that it is missing can decide a result
            raise ParameterNotFoundError(_not_found(run, name))
        return _read(run, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter `name`, nested as `section.key`, of another flow as `flow.key`; else `default`."""
        value = _read(_run(), name)
        return default if value is MISSING else value

    def as_model(self, model: type[Model]) -> Model:
        """
        The parameters as the flow's own `config_schema`, typed for editors and type checkers.

        Raises:
            ConfigError: The flow's schema is another one.
        """
        run = _run()
        if not isinstance(run.parameters.model, model):
            declared = type(run.parameters.model).__name__ if run.parameters.model is not None else "none"
            raise ConfigError(
                f"Flow {run.flow_name!r} has config_schema {declared}, not {model.__name__}: "
                f"declare it with @flow({run.flow_name!r}, config_schema={model.__name__})."
            )
        record_read({name: run.parameter_fingerprint(name) for name in [NAMES, *run.parameter_names()]})
        return run.parameters.model.model_copy(deep=True)

    def __iter__(self) -> Iterator[str]:
        return iter(_names(_run()))

    def __len__(self) -> int:
        return len(_names(_run()))

    def __contains__(self, name: object) -> bool:
        # Whether a parameter exists can decide a result just as its value can.
        return isinstance(name, str) and _read(_run(), name) is not MISSING

    def __repr__(self) -> str:
        run = current_run()
        return f"<params of flow {run.flow_name!r}>" if run else "<params, outside of a run>"


def _run() -> Run:
    if (run := current_run()) is not None:
        return run
    raise NotInRunError(
        "`params` was read outside of a run: parameters belong to a running flow. "
        "Read them inside a flow or task, or start the flow with `latent run FLOW`; "
        "in a unit test, call the flow, or pass values as arguments."
    )


def _names(run: Run) -> list[str]:
    record_read({NAMES: run.parameter_fingerprint(NAMES)})
    return run.parameter_names()


def _read(run: Run, name: str) -> Any:
    """A copy of a parameter's value, so that nobody changes it for others; the read is written down."""
    record_read({name: run.parameter_fingerprint(name)})
    value = run.parameter(name)
    if isinstance(value, dict):
        return _section(value)
    return value if isinstance(value, _FIXED) else copy.deepcopy(value)


_FIXED = (str, int, float, bool, type(None), Missing)
"""What nobody can change, so that no copy is needed."""


def _section(values: Mapping[str, Any]) -> ParameterSection:
    return ParameterSection(
        (name, _section(value) if isinstance(value, dict) else copy.deepcopy(value))
        for name, value in values.items()
    )


def _not_found(run: Run, name: str) -> str:
    flow_name, _, key = name.partition(".")
    folders = run.workspace.flow_folders()
    if flow_name in folders:
        read = f'params.get("{flow_name}.{key or "key"}")'
        return f"Flow {run.flow_name!r} has no {name!r}: another flow's parameters are read with {read}."
    if key:
        return f'Flow {run.flow_name!r} has no {name!r}: nested keys are read with params.get("{name}").'
    where = f"flows/{run.flow_name}/parameters.yaml" if run.flow_name in folders else "config/global.yaml"
    hint = did_you_mean(
        name, run.parameters.values, f"add it to {where}, or read it with params.get({name!r}, default)."
    )
    return f"Flow {run.flow_name!r} has no parameter {name!r}: {hint}"


params = Params()
"""The parameters of the running flow."""

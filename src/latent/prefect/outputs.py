"""What a flow or task returns, saved to the datasets that it declares as `output`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from latent.errors import OutputMismatchError

if TYPE_CHECKING:
    from latent.prefect.run import Run


def split_outputs(names: tuple[str, ...], value: Any, owner: str) -> dict[str, Any]:
    """
    The value of each declared dataset.

    With one name the returned value is the dataset, even a dict. With several, a tuple in order or a mapping
    by name.

    Raises:
        OutputMismatchError: Nothing was returned, or not exactly one value for each name.
    """
    if value is None:
        raise OutputMismatchError(
            f"{owner} declares output {_listed(names)}, but returned None. "
            "Return the data, or take `output` off."
        )
    if len(names) == 1:
        return {names[0]: value}
    if isinstance(value, Mapping):
        return _by_name(names, value, owner)
    if not isinstance(value, tuple):
        raise OutputMismatchError(
            f"{owner} declares {len(names)} outputs ({_listed(names)}), but returned one "
            f"{type(value).__name__}. Return a tuple in that order, or a mapping by name."
        )
    if len(value) != len(names):
        raise OutputMismatchError(
            f"{owner} declares {len(names)} outputs ({_listed(names)}), but returned a tuple of {len(value)}."
        )
    return _refuse_none(dict(zip(names, value, strict=True)), owner)


def check_outputs(run: Run, names: tuple[str, ...]) -> None:
    """
    Find out before the work that its result could not be saved.

    Raises:
        DatasetNotFoundError: The catalog does not define one of the datasets.
        DatasetConfigError: Its definition cannot be used.
    """
    for name in names:
        _ = run.catalog.dataset(name).path


def save_outputs(run: Run, names: tuple[str, ...], value: Any, *, owner: str) -> dict[str, str]:
    """Save what was returned, unless anything does not fit; the fingerprint of each dataset."""
    values = split_outputs(names, value, owner)
    if run.cost_plan is not None and not run.cost_plan.is_empty:
        return {}  # what a plan leaves out is missing in it
    return {name: _save(run, name, data) for name, data in values.items()}


def restore_outputs(
    run: Run, names: tuple[str, ...], value: Any, known: Mapping[str, str], *, owner: str
) -> None:
    """Save only those datasets that do not hold what they held when the result was remembered."""
    values = split_outputs(names, value, owner)
    stale = [
        name
        for name in values
        if not run.catalog.exists(name) or run.catalog.fingerprint(name) != known.get(name)
    ]
    for name in stale:
        _save(run, name, values[name])


def count_rows(*values: Any) -> int | None:
    """How many rows the first countable value has (a frame, table or list); None when none can be counted."""
    for value in values:
        if isinstance(value, (list, tuple, set, frozenset)):
            return len(value)
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and shape and isinstance(shape[0], int):
            return shape[0]
    return None


def _save(run: Run, name: str, data: Any) -> str:
    run.catalog.save(name, data)
    fingerprint = run.catalog.fingerprint(name)
    if run.recorder is not None:
        path = run.catalog.dataset(name).path
        run.recorder.dataset(name, "output", fingerprint=fingerprint, path=path, rows=count_rows(data))
    return fingerprint


def _by_name(names: tuple[str, ...], value: Mapping[str, Any], owner: str) -> dict[str, Any]:
    missing = [name for name in names if name not in value]
    surplus = [str(name) for name in value if name not in names]
    if missing or surplus:
        lacks = f" It lacks {_listed(missing)}." if missing else ""
        extra = f" {_listed(surplus)} is not declared." if surplus else ""
        raise OutputMismatchError(
            f"{owner} declares outputs {_listed(names)}; the mapping it returned does not fit.{lacks}{extra}"
        )
    return _refuse_none({name: value[name] for name in names}, owner)


def _refuse_none(values: dict[str, Any], owner: str) -> dict[str, Any]:
    if empty := [name for name, value in values.items() if value is None]:
        raise OutputMismatchError(
            f"{owner} returned None for its output {_listed(empty)}. Nothing was saved."
        )
    return values


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(repr, names))

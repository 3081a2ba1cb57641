"""Mappings laid over one another, with a note of where each value came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latent.errors import UsageError

KeyPath = tuple[str, ...]


class Layers:
    """
    Nested mappings merged into one, the later layer winning key by key.

    Mappings are merged at every depth; anything else, lists included, replaces what was there.
    """

    def __init__(
        self, values: Mapping[str, Any] | None = None, sources: Mapping[str, str] | None = None
    ) -> None:
        self.values: dict[str, Any] = _copied(values or {})
        self.sources: dict[str, str] = dict(sources or {})
        """The source of every value that is not a mapping, by its dotted key."""

    def add(self, layer: Mapping[str, Any], source: str) -> None:
        """Lay `layer`, which came from `source`, over what is there."""
        self._merge(self.values, layer, source, ())

    def override(self, meant: Mapping[Any, Any], source: str) -> None:
        """As `add`, for what `as_meant` gives: whole numbers are elements where a list stands."""
        self._override(self.values, meant, source, ())

    def _override(self, into: Any, layer: Mapping[Any, Any], source: str, parents: KeyPath) -> None:
        for key, value in layer.items():
            path = (*parents, str(key))
            inner = find(into, (_written(key),))
            if isinstance(value, Mapping) and value and isinstance(inner, dict | list) and inner:
                self._override(inner, value, source, path)
            elif isinstance(into, list):
                into[key] = _copied(value)
                self.sources[".".join(path)] = source
            else:
                self._merge(into, {key: value}, source, parents)

    def _merge(self, into: dict[Any, Any], layer: Mapping[Any, Any], source: str, parents: KeyPath) -> None:
        for key, value in layer.items():
            path = (*parents, str(key))
            if isinstance(value, Mapping) and value:
                if not isinstance(into.get(key), dict):
                    self._forget(path)
                    into[key] = {}
                self._merge(into[key], value, source, path)
            else:
                self._forget(path)
                into[key] = _copied(value)
                self.sources[".".join(path)] = source

    def _forget(self, path: KeyPath) -> None:
        name = ".".join(path)
        for known in [known for known in self.sources if known == name or known.startswith(f"{name}.")]:
            del self.sources[known]


def source_of(path: KeyPath, sources: Mapping[str, str]) -> str:
    """The source of the value under `path`: its own, or that of the nearest value around or inside it."""
    for length in range(len(path), 0, -1):
        name = ".".join(path[:length])
        if name in sources:
            return sources[name]
        inside = {source for known, source in sources.items() if known.startswith(f"{name}.")}
        if inside:
            return " and ".join(sorted(inside))
    return ""


NOTHING = object()
"""Stands for a value that is not there."""


def find(value: Any, path: Sequence[str]) -> Any:
    """
    What stands under `path` in nested mappings and lists, or `NOTHING`.

    A list is entered by position, a pydantic model by its fields. The parts are strings, keys need not be:
    `0` is the key 0 where there is no key "0". A key with dots in it takes several parts.
    """
    if not path:
        return value
    if path[0] in getattr(type(value), "model_fields", ()):
        return find(getattr(value, path[0]), path[1:])
    for length in range(1, len(path) + 1):
        key = _key_in(value, ".".join(path[:length]))
        if key is not NOTHING and (found := find(value[key], path[length:])) is not NOTHING:
            return found
    return NOTHING


def holds(value: Any, path: KeyPath) -> bool:
    """Whether something stands under `path`, as `find` reads it."""
    return find(value, path) is not NOTHING


def as_meant(
    layer: Mapping[str, Any], values: Any, where: KeyPath = (), *, keeps_lists: bool = False
) -> dict[Any, Any]:
    """
    Overrides with the keys that `values` has, where they are written otherwise on a command line.

    A number is a key that is a number, or an element of a list, where there is one. A dot may be in a key.

    Args:
        keeps_lists: Whether a string may not take the place of a list.

    Raises:
        UsageError: A list has no such element, or would be replaced.
    """
    meant: dict[Any, Any] = {}
    for key, value in layer.items():
        name = _written(key)
        if isinstance(value, Mapping):
            longer = {f"{name}.{rest}": inner for rest, inner in value.items()}
            longer = {each: inner for each, inner in longer.items() if _begins_a_key(values, each)}
            meant |= as_meant(longer, values, where, keeps_lists=keeps_lists) if longer else {}
            value = {rest: inner for rest, inner in value.items() if f"{name}.{rest}" not in longer}
            if longer and not value:
                continue
        meant.update([_as_meant(name, value, values, where, keeps_lists)])
    return meant


def _as_meant(name: str, value: Any, values: Any, where: KeyPath, keeps_lists: bool) -> tuple[Any, Any]:
    path, place = ".".join((*where, name)), ".".join(where)
    if (key := _key_in(values, name)) is NOTHING:
        if isinstance(values, list):
            raise UsageError(
                f"{path} cannot be set: {place} is a list, whose elements are {place}.0 to "
                f"{place}.{len(values) - 1}; `{place}=[...]` sets all of it."
            )
        return _like_others(values, name), value
    there = values[key]
    if isinstance(value, Mapping) and isinstance(there, list | Mapping) and there:
        return key, as_meant(value, there, (*where, name), keeps_lists=keeps_lists)
    if keeps_lists and isinstance(value, str) and isinstance(there, list):
        raise UsageError(
            f"{path} is a list, and {value!r} is a string: write {path}=[{value}] (in a shell, in quotes)."
        )
    return key, value


def _key_in(value: Any, name: str) -> Any:
    """The key or position in a mapping or list that is written as `name`; `NOTHING` when there is none."""
    if isinstance(value, list):
        return int(name) if name.isdecimal() and int(name) < len(value) else NOTHING
    if not isinstance(value, Mapping):
        return NOTHING
    if name in value:
        return name
    return next((key for key in value if not isinstance(key, str) and _written(key) == name), NOTHING)


def _written(key: Any) -> str:
    """A key as YAML has it."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _begins_a_key(values: Any, name: str) -> bool:
    """Whether a mapping has this key, or one that goes on behind a dot."""
    return isinstance(values, Mapping) and any(f"{_written(key)}.".startswith(f"{name}.") for key in values)


def _like_others(values: Any, name: str) -> Any:
    """A new key: a whole number where all others are."""
    others = list(values) if isinstance(values, Mapping) else []
    all_numbers = others and all(type(key) is int for key in others)
    return int(name) if all_numbers and str(name).lstrip("-").isdecimal() else name


def nested(path: KeyPath, value: Any, into: dict[str, Any]) -> None:
    """
    Put `value` under `path` of the nested mappings `into`.

    Raises:
        UsageError: A value stands where the path needs a mapping, or the other way round.
    """
    table = into
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UsageError(
                f"{'.'.join(path)} is set inside {part}, which is set to a single value as well."
            )
    if isinstance(table.get(path[-1]), dict) and not isinstance(value, Mapping):
        raise UsageError(f"{'.'.join(path)} is set to a single value, and keys inside it are set as well.")
    table[path[-1]] = value


def _copied(value: Any) -> Any:
    """A copy of the mappings and lists in `value`, so that no layer shares them."""
    if isinstance(value, Mapping):
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value

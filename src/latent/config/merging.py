"""Mappings laid over one another, with a note of where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
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


def holds(value: Any, path: KeyPath) -> bool:
    """Whether something stands under `path` in nested mappings and lists; a list is entered by position."""
    for part in path:
        if isinstance(value, list):
            value = dict(enumerate(value))
        found = [key for key in value if str(key) == part] if isinstance(value, Mapping) else []
        if not found:
            return False
        value = value[found[0]]
    return True


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

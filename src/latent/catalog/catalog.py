"""
The catalog of a flow: names, and the datasets they stand for.

Of Kedro's interpolation, `${_name}` and `${globals:name}` are known; what Kedro takes from elsewhere is
refused by name, since a path with a dollar sign in it is never meant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.catalog.dataset import Dataset, DatasetInfo
from latent.catalog.definitions import entries, is_pattern, spelled_out
from latent.config import load_yaml
from latent.config.merging import NOTHING, find
from latent.errors import ConfigError, DatasetConfigError, DatasetNotFoundError
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from latent.config import Workspace

_EXPRESSION = re.compile(r"\$(?P<literal>\$)?\{(?P<what>[^${}\n]*)\}")
_GLOBAL = re.compile(r"globals *: *([^,]*[^, ]) *(?:, *(.*))?")
_FILE = "config/globals.yml"
_DEEPEST = 20
"""Templates that name each other go no deeper."""


class Interpolation:
    """
    Fills in the expressions of one catalog.

    Args:
        templates: What stands under names that begin with an underscore.
        read_globals: Gives what Kedro's `globals.yml` holds.
    """

    def __init__(self, templates: Mapping[str, Any], read_globals: Callable[[], Mapping[str, Any]]) -> None:
        self._templates, self._read_globals = templates, read_globals

    def filled(self, name: str, file: str, value: Any, depth: int = 0) -> Any:
        """
        `value` with the expressions in its strings replaced; one that is a whole string may be of any type.

        Raises:
            DatasetConfigError: An expression stands for nothing, or is none that is known here.
        """
        if isinstance(value, Mapping):
            return {key: self.filled(name, file, inner, depth) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(name, file, inner, depth) for inner in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if depth > _DEEPEST:
            raise DatasetConfigError(name, file, f"{value!r} stands for itself, or is nested too deeply.")

        def fill(match: re.Match[str]) -> Any:
            if match["literal"]:
                return match[0][1:]
            try:
                found = self._found(match["what"].strip())
            except (LookupError, ConfigError) as error:
                raise DatasetConfigError(name, file, f"{match[0]}: {error.args[0]}") from error
            return self.filled(name, file, deepcopy(found), depth + 1)

        if whole := _EXPRESSION.fullmatch(value):
            return fill(whole)
        return _EXPRESSION.sub(lambda match: _text(name, file, match[0], fill(match)), value)

    def _found(self, expression: str) -> Any:
        if expression.startswith("_"):
            found = find(self._templates, expression.split("."))
            found = os.environ.get(expression, NOTHING) if found is NOTHING else found
            if found is NOTHING:
                hint = did_you_mean(
                    expression, self._templates, "write it into the catalog, at the top level."
                )
                raise LookupError(f"there is no {expression!r} in the catalog: {hint}")
            return found
        if match := _GLOBAL.fullmatch(expression):
            known = self._read_globals()
            found = find(known, match[1].split("."))
            if found is not NOTHING:
                return found
            if match[2] is not None:
                from latent.config.yaml_files import parse_yaml

                return parse_yaml(match[2], "the default")
            hint = did_you_mean(match[1], map(str, known), "add it there, or write a default behind a comma.")
            raise LookupError(f"there is no {match[1]!r} in {_FILE}: {hint}")
        raise LookupError(
            "of Kedro's interpolation, only ${_name} and ${globals:name} are supported here. Write an "
            "environment variable, as in ${NAME:default}, or the value itself; $${...} is plain text."
        )


def _text(name: str, file: str, expression: str, value: Any) -> str:
    if isinstance(value, Mapping | list):
        raise DatasetConfigError(
            name, file, f"{expression} stands for a {type(value).__name__}, which has no place in a text."
        )
    return str(value)


def resolve(name: str, entries: Mapping[str, tuple[str, Any]]) -> tuple[str, Any] | None:
    """
    The entry for `name`, placeholders filled in, and the file that holds it; None when none fits.

    An entry of that name comes first, then the factory with the most letters outside its braces, and last
    the one that takes any name.

    Raises:
        DatasetConfigError: A factory's entry has a placeholder that its name lacks, or two take any name.
    """
    if name in entries:
        return entries[name]
    patterns = {pattern: entry for pattern, entry in entries.items() if is_pattern(pattern)}
    if not patterns or is_pattern(name):
        return None
    from kedro.io.catalog_config_resolver import CatalogConfigResolver
    from kedro.io.core import DatasetError

    file = next(iter(patterns.values()))[0]
    try:
        # A short-form entry is a path; the resolver wants mappings.
        forms = {pattern: {"entry": deepcopy(entry)} for pattern, (_, entry) in patterns.items()}
        resolver = CatalogConfigResolver(forms, default_runtime_patterns={})
        pattern = resolver.match_dataset_pattern(name) or resolver.match_user_catch_all_pattern(name)
        if pattern is None:
            return None
        # Not `resolve_pattern`, which warns of every name that a catch-all takes.
        filled = resolver._resolve_dataset_config(name, pattern, deepcopy(forms[pattern]))
    except DatasetError as error:
        raise DatasetConfigError(name, file, str(error)) from error
    return patterns[pattern][0], filled["entry"]


_FILES = ("catalog.yaml", "catalog.yml")


class Catalog:
    """
    The datasets a flow may name: its own, those all flows share, and other flows' as `flow.name`.

    Loading one reads YAML and nothing else; a dataset's class is imported when its data is asked for.
    Safe to use from many threads; sent to another process, it is read from its files again.
    """

    def __init__(
        self,
        workspace: Workspace,
        flow_name: str,
        folder: Path | None,
        entries: Mapping[str, tuple[str, Any]],
        file: str,
        inherited: Catalog | None = None,
    ) -> None:
        """
        Args:
            entries: By name, the catalog file that holds the entry and the entry as it is written.
            file: How messages name the file in which a missing dataset belongs.
        """
        self.flow_name = flow_name
        self._workspace, self._folder, self._file = workspace, folder, file
        self._entries = entries
        self._inherited = inherited
        self._datasets: dict[str, Dataset] = {}
        self._others: dict[str, Catalog] = {}
        self._lock = Lock()

    @classmethod
    def load(
        cls,
        workspace: Workspace,
        *,
        flow_name: str,
        folder: Path | None,
        inherited: Catalog | None = None,
    ) -> Catalog:
        """
        The catalog of a flow: `catalog.yaml` of its folder over that of `config/`.

        Args:
            folder: The flow's own folder; None when it has none.
            inherited: The catalog of the run that a flow without a folder is called in.

        Raises:
            ConfigError: A catalog file is not YAML.
            DatasetConfigError: An entry is neither a path nor a mapping.
        """
        found: dict[str, tuple[str, Any]] = {}
        templates: dict[str, Any] = {}
        for place in (workspace.config_dir, folder):
            file = None if place is None else _catalog_file(place, workspace)
            if file is not None:
                label = workspace.label(file)
                raw = load_yaml(file, label, keeps_kedro=True)
                templates |= {name: value for name, value in raw.items() if str(name).startswith("_")}
                found |= {name: (label, entry) for name, entry in entries(raw, label).items()}
        fill = Interpolation(templates, lambda: _globals(workspace)).filled
        found = {name: (label, fill(name, label, entry)) for name, (label, entry) in found.items()}
        home = folder if folder is not None else workspace.config_dir
        belongs = inherited._file if inherited and folder is None else workspace.label(home / _FILES[0])
        return cls(workspace, flow_name, folder, found, belongs, inherited if folder is None else None)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The entries as they are written, variables filled in, secrets masked; inherited ones included."""
        from latent.config import masker_for

        own = {name: entry for name, (_, entry) in self._entries.items()}
        masked: dict[str, Any] = masker_for(self._workspace).data(own)
        return {**(self._inherited.config if self._inherited else {}), **masked}

    def names(self) -> list[str]:
        """The datasets with a name of their own, in alphabetical order; no factories, no other flows'."""
        own = {name for name in self._entries if not is_pattern(name)}
        return sorted(own.union(self._inherited.names() if self._inherited else ()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def load_data(self, name: str) -> Any:
        """
        The data of the dataset `name`; "flow.name" is another flow's unless this catalog has such a name.

        Raises:
            DatasetNotFoundError: No catalog defines it.
            DatasetConfigError: Its definition cannot be used.
            DatasetLoadError: Its data cannot be read.
        """
        return self.dataset(name).load()

    def save(self, name: str, value: Any) -> None:
        """
        Save `value` as the dataset `name`; a single local file is replaced in one step.

        Raises:
            DatasetNotFoundError: No catalog defines it.
            DatasetConfigError: Its definition cannot be used.
            DatasetSaveError: It cannot be written; what was there before is untouched.
        """
        self.dataset(name).save(value)

    def exists(self, name: str) -> bool:
        """Whether the dataset `name` holds data."""
        return self.dataset(name).exists()

    def fingerprint(self, name: str) -> str:
        """32 hex characters that change with the content of `name`, or with the way it is read."""
        return self.dataset(name).fingerprint()

    def describe(self, name: str) -> DatasetInfo:
        """What `latent catalog show` tells of the dataset `name`."""
        return self.dataset(name).describe()

    def dataset(self, name: str) -> Dataset:
        """
        The dataset itself.

        Raises:
            DatasetNotFoundError: No catalog defines it; with the nearest name that one does.
        """
        if (found := self._find(name)) is not None:
            return found
        flow, _, rest = name.partition(".")
        other = self._other(flow) if rest else None
        raise (other or self)._not_found(rest if other else name)

    def _not_found(self, name: str) -> DatasetNotFoundError:
        known = [*self.names()]
        if "." not in name:
            known += [
                f"{flow}.{name}" for flow, catalog in self._neighbours().items() if name in catalog._entries
            ]
        return DatasetNotFoundError(name, tuple(known), self._file)

    def _find(self, name: str) -> Dataset | None:
        """Own names first, then those of the run around, then other flows', then factories."""
        if name in self._entries:
            return self._bound(name)
        if self._inherited is not None and (found := self._inherited._find(name)) is not None:
            return found
        flow, _, rest = name.partition(".")
        if rest and (other := self._other(flow)) is not None and (found := other._find(rest)) is not None:
            return found
        return self._bound(name)

    def _bound(self, name: str) -> Dataset | None:
        with self._lock:
            if (known := self._datasets.get(name)) is not None:
                return known
            if (found := resolve(name, self._entries)) is None:
                return None
            file, entry = found
            dataset = self._datasets[name] = Dataset(
                name=name,
                flow=self.flow_name,
                file=file,
                config=spelled_out(name, entry, file),
                workspace=self._workspace,
                credentials=self._credentials,
            )
            return dataset

    def _other(self, flow: str) -> Catalog | None:
        """The catalog of another flow; None when there is no such flow."""
        if flow == self.flow_name:
            return self
        if (folder := self._workspace.flow_folder(flow)) is None:
            return None
        with self._lock:
            if flow not in self._others:
                self._others[flow] = Catalog.load(self._workspace, flow_name=flow, folder=folder)
            return self._others[flow]

    def _neighbours(self) -> dict[str, Catalog]:
        found = {flow: self._other(flow) for flow in self._workspace.flow_folders() if flow != self.flow_name}
        return {flow: catalog for flow, catalog in found.items() if catalog is not None}

    def _credentials(self) -> Mapping[str, Any]:
        file = self._workspace.credentials_file
        return load_yaml(file, self._workspace.label(file))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reloaded, (self._workspace, self.flow_name, self._folder, self._inherited)


def _reloaded(
    workspace: Workspace, flow_name: str, folder: Path | None, inherited: Catalog | None
) -> Catalog:
    return Catalog.load(workspace, flow_name=flow_name, folder=folder, inherited=inherited)


def _globals(workspace: Workspace) -> Mapping[str, Any]:
    """What Kedro's own file of values for all catalogs holds; nothing where there is none."""
    found: dict[str, Any] = {}
    for name in ("globals.yml", "globals.yaml"):
        file = workspace.config_dir / name
        found |= load_yaml(file, workspace.label(file))
    return found


def _catalog_file(folder: Path, workspace: Workspace) -> Path | None:
    found = [folder / name for name in _FILES if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(workspace.label(file) for file in found)
        raise ConfigError(f"Datasets stand in {names}: move them into one file.")
    return found[0] if found else None

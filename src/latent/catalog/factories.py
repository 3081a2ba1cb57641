"""Kedro's dataset factories: one entry, say `{region}_sales`, for many names."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from latent.catalog.definitions import is_pattern
from latent.errors import DatasetConfigError


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

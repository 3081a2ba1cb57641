"""What the rows of one map have in common: fingerprinted and loaded once, however many rows there are."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.cache.code import code_identity
from latent.cache.keys import argument_hashes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from latent.catalog import Catalog


class Shared:
    """
    Arguments and datasets that several calls share; safe in threads.

    All rows get the same loaded object, as they do of an `unmapped(...)` value.
    """

    def __init__(self, root: Path, values: Iterable[Any] = ()) -> None:
        self._root = root
        self._values = {id(value): value for value in values}
        self._hashes: dict[int, tuple[str, frozenset[type]]] = {}
        self._fingerprints: dict[str, str] = {}
        self._loaded: dict[str, Any] = {}
        self.has_changed = False
        """Whether a dataset was replaced between its fingerprint and its loading: then a key would lie."""
        self._lock = Lock()

    def hash_of(self, name: str, value: Any) -> str:
        """
        The stable hash of an argument.

        Raises:
            UnhashableError: It has none; the message names it.
        """
        return self.look_at(name, value)[0]

    def look_at(self, name: str, value: Any) -> tuple[str, frozenset[type]]:
        """As `hash_of`, with the user's own classes in it, whose code counts as well."""
        if (known := self._hashes.get(id(value))) is None:
            identify = code_identity(self._root)
            known = argument_hashes({name: value}, identify)[name], frozenset(identify.classes)
            if id(value) in self._values:
                self._hashes[id(value)] = known
        return known

    def fingerprint(self, catalog: Catalog, dataset: str) -> str:
        """The dataset's fingerprint when the first of the calls asked for it."""
        if (known := self._fingerprints.get(dataset)) is None:
            known = self._fingerprints[dataset] = catalog.fingerprint(dataset)
        return known

    @property
    def fingerprints(self) -> dict[str, str]:
        """What was asked for so far, by dataset."""
        return dict(self._fingerprints)

    def load(self, catalog: Catalog, dataset: str) -> Any:
        """The dataset's data, loaded for the first call that runs."""
        with self._lock:
            if dataset not in self._loaded:
                self._loaded[dataset] = catalog.load_data(dataset)
                known = self._fingerprints.get(dataset)
                self.has_changed |= known is not None and catalog.fingerprint(dataset) != known
            return self._loaded[dataset]

    # Another process loads for itself, once for each call that it gets.

    def __reduce__(self) -> tuple[Any, ...]:
        return Shared, (self._root,)

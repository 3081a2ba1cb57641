"""What the rows of one map have in common: fingerprinted and loaded once, however many rows there are."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from latent.cache.code import code_identity
from latent.cache.keys import argument_hashes
from latent.prefect.changed_arguments import hash_now, is_fixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from latent.catalog import Catalog

LOOK_SHARE = 50
"""Looking whether shared values have changed takes at most one part in so many of the time."""


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
        """Whether a dataset was replaced before it was loaded, or a value was changed: keys would lie."""
        self.private: frozenset[str] = frozenset()
        """Arguments that were made for the rows, so that nobody else sees what becomes of them."""
        self._lock = Lock()
        self._looked_at, self._look_seconds = 0.0, 0.0

    def unwatched(self, arguments: Mapping[str, Any]) -> set[str]:
        """Those of a call's arguments that are not looked at after the call: private or shared ones."""
        shared = {name for name, value in arguments.items() if id(value) in self._values}
        return {*shared, *self.private}

    def changed_values(self, *, at_once: bool = False) -> set[int]:
        """
        The ids of values that the calls share and that were changed in place since their hash was made.

        A large one takes time to look at, so it is not looked at after each row; `at_once`, it is.
        """
        now = monotonic()
        if not at_once and now - self._looked_at < self._look_seconds * LOOK_SHARE:
            return set()
        changed = {
            key
            for key, value in self._values.items()
            if key in self._hashes and not is_fixed(value)
            if hash_now(value, self._root) != self._hashes[key][0]
        }
        self._looked_at = monotonic()
        self._look_seconds = self._looked_at - now
        self.has_changed |= bool(changed)
        return changed

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

"""An index as `latent run --plan` sees it: it can be read, and nothing that is written lands anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from latent.errors import StoreNotFoundError
from latent.rag.stores.opening import open_store


class PlannedIndex:
    """
    What an ingestion finds when it is only planned; an index that would be made is empty.

    Args:
        options: As `open_store` takes them.
    """

    def __init__(self, name: str, index_name: str, **options: Any) -> None:
        self.name, self.index_name = name, index_name
        self._manifest: dict[str, str] = {}
        try:
            index = open_store(name, index_name, **options | {"create": False})
        except StoreNotFoundError:
            return
        try:
            self._manifest = index.read_manifest()
        finally:
            index.close()

    def read_manifest(self, names: Sequence[str] | None = None) -> dict[str, str]:
        """The lines, as they are."""
        return {name: line for name, line in self._manifest.items() if names is None or name in names}

    def write_manifest(self, lines: Mapping[str, str | None]) -> None:
        """Does nothing."""

    def delete(self, ids: Iterable[str]) -> None:
        """Does nothing."""

    def lock(self) -> AbstractContextManager[None]:
        """Whoever changes the index need not wait for a plan."""
        return nullcontext()

    def tidy(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Nothing is open."""

"""An index as `latent run --plan` sees it: it can be read, and nothing that is written lands anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from latent.errors import StoreNotFoundError
from latent.rag.stores.opening import open_store

if TYPE_CHECKING:
    from latent.rag.stores.records import Store


class PlannedIndex:
    """
    What an ingestion finds when it is only planned; an index that would be made is empty.

    Args:
        options: As `open_store` takes them.
    """

    def __init__(self, name: str, index_name: str, **options: Any) -> None:
        self.name, self.index_name = name, index_name
        self._index: Store | None = None
        with suppress(StoreNotFoundError):
            self._index = open_store(name, index_name, **options | {"create": False})

    def read_manifest(self, names: Sequence[str] | None = None) -> dict[str, str]:
        """The lines, as they are."""
        return {} if self._index is None else self._index.read_manifest(names)

    def count(self) -> int:
        """How many records there are."""
        return 0 if self._index is None else self._index.count()

    def ids(self) -> list[str]:
        """The ids of all records."""
        return [] if self._index is None else self._index.ids()

    def write_manifest(self, lines: Mapping[str, str | None]) -> None:
        """Does nothing."""

    def delete(self, ids: Iterable[str]) -> None:
        """Does nothing."""

    def lock(self) -> AbstractContextManager[None]:
        """A plan holds no lock: other processes need not wait for it."""
        return nullcontext()

    def tidy(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        if self._index is not None:
            self._index.close()

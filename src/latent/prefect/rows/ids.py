"""The ids of a stream's rows: which of them have been there before, without keeping them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Run = tuple[np.ndarray, np.ndarray]


class KnownIds:
    """
    The ids of rows so far, in 16 bytes each.

    They are told apart by 64 bits: that any two of a million different ids are taken for one has a
    probability of 3e-8.
    """

    def __init__(self) -> None:
        self._runs: list[Run] = []
        """Hashes in order, and the row of each; every run is more than twice as long as the next one."""

    def add(self, ids: Sequence[str], first: int) -> tuple[int, int] | None:
        """
        Note the ids of the rows from `first` on, which differ among themselves.

        Returns:
            An earlier row and one of these, if they have the same id; then nothing is noted.
        """
        import numpy as np

        hashes = np.fromiter(map(_hash, ids), np.uint64, len(ids))
        order = np.argsort(hashes)
        run = hashes[order], order + first
        for known, rows in self._runs:
            places = np.minimum(np.searchsorted(known, run[0]), len(known) - 1)
            same = np.flatnonzero(known[places] == run[0])
            if len(same):
                return int(rows[places[same[0]]]), int(run[1][same[0]])
        self._keep(run)
        return None

    def _keep(self, run: Run) -> None:
        """Merge runs of like lengths: so there are few, and each row is merged seldom."""
        import numpy as np

        while self._runs and len(self._runs[-1][0]) <= 2 * len(run[0]):
            hashes, rows = (np.concatenate(pair) for pair in zip(self._runs.pop(), run, strict=True))
            order = np.argsort(hashes, kind="stable")
            run = hashes[order], rows[order]
        self._runs.append(run)


def _hash(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))

"""Who may be on the workers at a time: rows that may kill theirs are begun while no other row is there."""

from __future__ import annotations

from threading import Condition


class Turns:
    """
    The batches of a run's maps that are with worker processes.

    A dying worker takes along whatever else it works on. To know which row it was, a suspect is run alone.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._alone = False
        self._suspects = 0
        """Rows that wait for their turn alone: nothing else begins meanwhile, so that it comes."""
        self._changed = Condition()

    def begin(self, *, alone: bool) -> None:
        """Wait until the batch may be submitted."""
        with self._changed:
            if alone:
                self._suspects += 1
                self._changed.wait_for(lambda: not (self._alone or self._under_way))
                self._suspects -= 1
                self._alone = True
            else:
                self._changed.wait_for(lambda: not (self._alone or self._suspects))
                self._under_way += 1

    def end(self, *, alone: bool) -> None:
        """The batch has ended, or could not be submitted."""
        with self._changed:
            if alone:
                self._alone = False
            else:
                self._under_way -= 1
            self._changed.notify_all()

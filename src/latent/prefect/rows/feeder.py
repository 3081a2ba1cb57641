"""
Hands work to a task runner piece by piece: so many at a time, each once what it waits for is there.

Without it, ten thousand rows would be ten thousand threads of Prefect's default runner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from latent.prefect.futures import is_done

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

Done = Callable[[], None]
"""Called by a piece of work when it is over, so that the next one may begin."""


@dataclass(eq=False)
class Piece:
    """Something to submit."""

    start: Callable[[Done], None]
    """Begins the piece; never raises."""
    waits_for: Sequence[PrefectFuture[Any]] = ()


class Feeder:
    """Starts pieces of work in their order, those that wait for something as soon as it is there."""

    def __init__(self) -> None:
        self._places = 0
        self._under_way = 0
        self._ready: deque[Piece] = deque()
        self._blocked: set[Piece] = set()
        self._wake = Condition()
        self._context = copy_context()
        self._thread: Thread | None = None

    def feed(self, pieces: Sequence[Piece], width: int) -> None:
        """Start `width` pieces here; a thread sees to the others, so many at a time."""
        for piece in pieces:
            self._add(piece)
        self._places = width
        while (ready := self._next(wait=False)) is not None:
            ready.start(self._freed)
        if self._is_needed():
            self._thread = Thread(
                target=self._context.run, args=(self._run,), name="latent-feeder", daemon=True
            )
            self._thread.start()

    def drain(self) -> None:
        """Start everything that is left, whatever it waits for: a map that is stopped skips it at once."""
        with self._wake:
            left = [*self._ready, *self._blocked]
            self._ready.clear()
            self._blocked.clear()
            self._wake.notify_all()
        for piece in left:
            with self._wake:
                self._under_way += 1
            piece.start(self._freed)

    def wait(self) -> None:
        """Block until every piece is over, its task run included."""
        with self._wake:
            self._wake.wait_for(lambda: not (self._ready or self._blocked or self._under_way))

    @property
    def is_over(self) -> bool:
        """Whether every piece is over."""
        with self._wake:
            return not (self._ready or self._blocked or self._under_way)

    def _add(self, piece: Piece) -> None:
        unfinished = [future for future in piece.waits_for if not is_done(future)]
        if not unfinished:
            with self._wake:
                self._ready.append(piece)
            return
        left = len(unfinished)

        def one_done(_: Any) -> None:
            nonlocal left
            with self._wake:
                left -= 1
                if left == 0 and piece in self._blocked:
                    self._blocked.remove(piece)
                    self._ready.append(piece)
                    self._wake.notify_all()

        with self._wake:
            self._blocked.add(piece)
        for future in unfinished:
            future.add_done_callback(one_done)

    def _run(self) -> None:
        while (piece := self._next(wait=True)) is not None:
            piece.start(self._freed)

    def _next(self, *, wait: bool) -> Piece | None:
        with self._wake:
            while not (self._ready and self._places > 0):
                if not wait or not (self._ready or self._blocked):
                    return None
                self._wake.wait()
            self._places -= 1
            self._under_way += 1
            return self._ready.popleft()

    def _freed(self) -> None:
        with self._wake:
            self._places += 1
            self._under_way -= 1
            self._wake.notify_all()

    def _is_needed(self) -> bool:
        with self._wake:
            return bool(self._ready or self._blocked)

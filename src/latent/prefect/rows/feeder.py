"""
Hands work to a task runner piece by piece: so many at a time, each once what it waits for is there.

Without it, ten thousand rows would be ten thousand threads of Prefect's default runner. It works on a thread
of its own from the first piece on: Ctrl-C reaches the main thread at any moment, and a piece that it cut
short there would leave its rows without an end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from latent.prefect.upstream import is_done

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
        self._waiting: Sequence[Piece] = ()
        """What was loaded, until the thread or `drain` takes it."""
        self._ready: deque[Piece] = deque()
        self._blocked: set[Piece] = set()
        self._last: deque[Piece] = deque()
        """What begins once nothing else is left or under way, one piece after another."""
        self._runs = False
        """Whether the thread still looks for the next piece."""
        self._wake = Condition()
        self._context = copy_context()

    def load(self, pieces: Sequence[Piece], concurrency: int) -> None:
        """Take the pieces, `concurrency` of which may be under way at a time; none begins before `start`."""
        self._places, self._waiting = concurrency, pieces

    def start(self) -> None:
        """Begin."""
        if self._waiting:
            self._runs = True
            self._start_thread()

    def _start_thread(self) -> None:
        # A copy: a thread before this one may not have left the context yet.
        run = self._context.copy().run
        Thread(target=run, args=(self._run,), name="latent-feeder", daemon=True).start()

    def add(self, pieces: Sequence[Piece], *, last: bool = False) -> None:
        """
        Take further pieces; from a piece that is under way, before it is over.

        Args:
            last: Begin them once nothing else is left or under way, one after another.
        """
        if not pieces:
            return
        with self._wake:
            (self._last if last else self._ready).extend(pieces)
            starts, self._runs = not self._runs, True
            self._wake.notify_all()
        if starts:
            self._start_thread()

    def drain(self) -> None:
        """Start everything that is left, whatever it waits for: a map that is stopped skips it at once."""
        with self._wake:
            left = [*self._waiting, *self._ready, *self._blocked, *self._last]
            self._waiting = ()
            self._ready.clear()
            self._blocked.clear()
            self._last.clear()
            self._under_way += len(left)
            self._wake.notify_all()
        for piece in left:
            piece.start(self._freed)

    def wait(self) -> None:
        """Block until every piece is over, its task run included."""
        with self._wake:
            self._wake.wait_for(self._has_nothing)

    @property
    def is_over(self) -> bool:
        """Whether every piece is over."""
        with self._wake:
            return self._has_nothing()

    def _has_nothing(self) -> bool:
        return not (self._waiting or self._ready or self._blocked or self._last or self._under_way)

    def _run(self) -> None:
        self._sort()
        while (piece := self._next()) is not None:
            piece.start(self._freed)

    def _sort(self) -> None:
        """Tell the pieces that may begin from those that wait for something."""
        with self._wake:
            pieces, self._waiting = self._waiting, ()
            unfinished = {
                piece: [future for future in piece.waits_for if not is_done(future)]
                for piece in pieces
                if piece.waits_for
            }
            for piece in pieces:
                if unfinished.get(piece):
                    self._blocked.add(piece)
                else:
                    self._ready.append(piece)
        for piece, futures in unfinished.items():
            self._begin_after(piece, futures)

    def _begin_after(self, piece: Piece, futures: Sequence[PrefectFuture[Any]]) -> None:
        left = len(futures)

        def one_done(_: Any) -> None:
            nonlocal left
            with self._wake:
                left -= 1
                if left == 0 and piece in self._blocked:
                    self._blocked.remove(piece)
                    self._ready.append(piece)
                    self._wake.notify_all()

        for future in futures:
            future.add_done_callback(one_done)

    def _next(self) -> Piece | None:
        """The next piece, once it may begin; None when none is left."""
        with self._wake:
            while (queue := self._due()) is None:
                if not (self._ready or self._blocked or self._last):
                    self._runs = False
                    return None
                self._wake.wait()
            self._places -= 1
            self._under_way += 1
            return queue.popleft()

    def _due(self) -> deque[Piece] | None:
        """Where the next piece is to be taken from; None while none may begin."""
        if self._ready:
            return self._ready if self._places > 0 else None
        return self._last if self._last and not (self._blocked or self._under_way) else None

    def _freed(self) -> None:
        with self._wake:
            self._places += 1
            self._under_way -= 1
            self._wake.notify_all()

"""
Waits on an event loop that a `stop` event ends.

One timer looks at the event for all that wait by it on a loop: a timer for each of a thousand would keep a
good part of a processor busy.
"""

from __future__ import annotations

import asyncio
import threading

STOP_POLL_SECONDS = 0.1
"""How soon a waiting call notices that it need not wait any more."""


async def is_woken(future: asyncio.Future[bool], stop: threading.Event | None) -> bool:
    """What `future` is resolved to, by `wake`: True. False, soon, once `stop` is set."""
    if stop is None or future.done():
        return await future
    if stop.is_set():
        return False
    key = (future.get_loop(), stop)
    if (watch := _watches.get(key)) is None:
        watch = _watches[key] = _Watch(*key)
    watch.futures.add(future)
    try:
        return await future
    finally:
        watch.futures.discard(future)
        if not watch.futures and _watches.get(key) is watch:
            del _watches[key]
            watch.timer.cancel()


def wake(future: asyncio.Future[bool]) -> None:
    """Let what waits go on; to be called on the event loop."""
    if not future.done():
        future.set_result(True)


class _Watch:
    """What waits on one loop until one event is set; everything here happens on that loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        self._loop, self._stop = loop, stop
        self.futures: set[asyncio.Future[bool]] = set()
        self.timer = loop.call_later(STOP_POLL_SECONDS, self._look)

    def _look(self) -> None:
        if self._stop.is_set():
            for future in self.futures:
                if not future.done():
                    future.set_result(False)
        # Goes on also then: who is yet to wait by the same watch would not be ended by any other.
        self.timer = self._loop.call_later(STOP_POLL_SECONDS, self._look)


_watches: dict[tuple[asyncio.AbstractEventLoop, threading.Event], _Watch] = {}

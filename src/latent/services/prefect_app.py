"""
Prefect's app as `latent up` serves it, with garbage collected beside its event loop on Python 3.11.

Python collects garbage in whatever thread happens to allocate. In that of the event loop it may find a cursor
of SQLite that shares its statement with one at work. Up to 3.11 it waits for that one, which may wait for
the lock of another connection, whose transaction only the event loop can end. So the server answers nobody
until SQLite gives up, a minute later, and live runs look silent. A collector in a thread of its own can wait.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

_PAUSE_SECONDS = 0.1
_YOUNG, _MIDDLE, _ALL = range(3)


def create_app() -> FastAPI:
    """Prefect's app, for `uvicorn --factory`."""
    from prefect.server.api.server import create_app as prefects_app

    app = prefects_app()
    if sys.version_info < (3, 12):
        collect_garbage_aside()
    return app


def collect_garbage_aside() -> None:
    """Collect this process's garbage in a thread of its own, as often as Python would."""
    thresholds = gc.get_threshold()
    gc.disable()
    threading.Thread(target=_collect, args=(thresholds,), name="garbage", daemon=True).start()


def _collect(thresholds: tuple[int, int, int]) -> None:
    while True:
        time.sleep(_PAUSE_SECONDS)
        young, middle, old = (count > most for count, most in zip(gc.get_count(), thresholds, strict=True))
        if young:
            gc.collect(_ALL if middle and old else _MIDDLE if middle else _YOUNG)

"""Runs code against a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import SettingsContext, get_settings_context
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import Settings


@contextmanager
def on_the_server(settings: Settings) -> Iterator[None]:
    """While the block runs, Prefect talks to the server that the settings name; its events are dropped."""
    EventsWorker.set_client_override(NullEventsClient)
    try:
        with SettingsContext(profile=get_settings_context().profile, settings=settings):
            yield
    finally:
        EventsWorker.set_client_override(None)

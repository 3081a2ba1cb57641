"""
Make sure that Prefect has an API to talk to: the one that its settings name, else the workspace's own server
where `latent up` started one, else the in-memory one.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from latent.config import find_workspace
from latent.config.running_services import running_service, service_password
from latent.prefect.api.http import LoopbackServer
from latent.prefect.api.memory import MemoryApi
from latent.prefect.api.proxies import loopback_without_proxy
from latent.prefect.api.telemetry import keep_telemetry_off

if TYPE_CHECKING:
    from prefect.settings import Settings

    from latent.config import Workspace
    from latent.config.running_services import Service
    from latent.prefect.api.limits import GlobalLimit

# Every Prefect client loads a CA bundle when it is made, 70 ms for the usual one, although this API
# speaks plain HTTP. A bundle with one expired certificate of nobody loads in 1 ms.
NOBODY = Path(__file__).with_name("nobody.pem")

RETRIES = 6
"""How often Prefect's client tries a request again, where the user does not say: some two minutes in all."""


class _Running:
    """The in-memory API of this process while its server thread runs."""

    def __init__(self) -> None:
        self.memory = MemoryApi()
        self.password = f"latent:{secrets.token_urlsafe(32)}"
        token = base64.b64encode(self.password.encode()).decode()
        self.server = LoopbackServer(self.memory.answer, f"Basic {token}")
        self.pid = os.getpid()


class _InForce:
    """What is process-wide in Prefect while anybody in this process uses an API of ours."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._users = 0
        self._process_wide = ExitStack()
        self._lock = threading.Lock()

    def enter(self, settings: Settings, *, in_memory: bool) -> None:
        """Set what is process-wide, when the first user comes."""
        with self._lock:
            if self._users == 0:
                self._process_wide.enter_context(_process_wide(settings, in_memory=in_memory))
            self._users += 1

    def leave(self) -> None:
        """Undo what was process-wide, when the last user goes."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._process_wide.close()


_running: _Running | None = None
_in_force: _InForce | None = None
_starting = threading.Lock()


@contextmanager
def prefect_api(
    *, workspace: Workspace | None = None, limits: Iterable[GlobalLimit] = ()
) -> Iterator[str | None]:
    """
    Give Prefect an API for the time of the block, and yield the in-memory API's address.

    Yields None and changes nothing when Prefect's settings (environment, active profile, an
    enclosing settings context) already name a server. Yields None, too, where the workspace's own
    server runs, which the settings then name. The in-memory API is started on first use, lives as
    long as the process, and is known only to Prefect's settings, which Prefect hands to its task
    runners: no environment variable, no file, no port but one on loopback with a password.

    Args:
        workspace: Whose server is used where it runs; None: that of the current folder.
        limits: Global concurrency limits that exist from the start. A real server has its own.
    """
    from prefect.settings import get_current_settings

    keep_telemetry_off()
    current = get_current_settings()
    if current.api.url is not None:
        running = _this_process()
        ours = running is not None and current.api.url == running.server.url
        if running is not None and ours:
            running.memory.define_limits(limits)
        yield current.api.url if ours else None
        return
    workspace = workspace or find_workspace()
    if (service := running_service(workspace, "prefect")) is not None:
        with _used(_settings_for_service(current, service, service_password(workspace)), in_memory=False):
            yield None
        return
    running = _start()
    running.memory.define_limits(limits)
    with _used(_settings_for(current, running), in_memory=True):
        yield running.server.url


@contextmanager
def service_api(workspace: Workspace, service: Service) -> Iterator[None]:
    """Have Prefect use the server that `latent up` started, whatever its settings name."""
    from prefect.settings import get_current_settings

    keep_telemetry_off()
    with _settings_context(
        _settings_for_service(get_current_settings(), service, service_password(workspace))
    ):
        yield


@contextmanager
def _used(settings: Settings, *, in_memory: bool) -> Iterator[None]:
    """Hold the settings in force, for this context and for threads that have none of their own."""
    global _in_force
    with _starting:
        if _in_force is None or _in_force.pid != os.getpid():  # a forked child has none of its parent's users
            _in_force = _InForce()
            _send_logs_to_servers_only()
            _wait_before_telling_of_events()
        in_force = _in_force
    in_force.enter(settings, in_memory=in_memory)
    try:
        with _settings_context(settings):
            yield
    finally:
        in_force.leave()


def memory_api() -> MemoryApi | None:
    """Return the in-memory API of this process, or None when it was never needed."""
    running = _this_process()
    return running.memory if running is not None else None


def drop_events() -> None:
    """Have Prefect drop its events in a worker process of a run that has no server to take them."""
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker

    if EventsWorker._client_override is None:
        EventsWorker.set_client_override(NullEventsClient)


def is_in_memory() -> bool:
    """Whether Prefect talks to the in-memory API here, and not to a server."""
    from prefect.settings import get_current_settings

    running = _this_process()
    return running is not None and get_current_settings().api.url == running.server.url


def _this_process() -> _Running | None:
    # After a fork the parent's server thread does not exist here, though its variables do.
    return _running if _running is not None and _running.pid == os.getpid() else None


def _start() -> _Running:
    global _running
    with _starting:
        if (running := _this_process()) is None:
            running = _running = _Running()
        return running


def _settings_for_service(current: Settings, service: Service, password: str | None) -> Settings:
    """Return the current settings with the address of the workspace's own server, and its password."""
    from pydantic import SecretStr

    changes: dict[str, object] = {"url": f"{service.url}/api"}
    if password is not None and current.api.auth_string is None:
        changes["auth_string"] = SecretStr(f"latent:{password}")
    client, flows = current.client, current.flows
    if "max_retries" not in client.model_fields_set:
        # Prefect's five retries end about a minute after the server does; a restart may take longer.
        client = client.model_copy(update={"max_retries": RETRIES})
    if "heartbeat_frequency" not in flows.model_fields_set:
        # Runs send heartbeats of our own; at a run's end, Prefect waits up to a second for the thread of its.
        flows = flows.model_copy(update={"heartbeat_frequency": None})
    api = current.api.model_copy(update=changes)
    # Copied, not validated again: Prefect's `temporary_settings` spends 0.1 s on that.
    return current.model_copy(update={"api": api, "client": client, "flows": flows})


def _settings_for(current: Settings, running: _Running) -> Settings:
    """Return the current settings with the in-memory API in place of a server."""
    from pydantic import SecretStr

    def change(model: str, **values: object) -> object:
        return getattr(current, model).model_copy(update=values)

    server = current.server
    return current.model_copy(
        update={
            "api": change(
                "api",
                url=running.server.url,
                auth_string=SecretStr(running.password),
                key=None,
                ssl_cert_file=str(NOBODY),
                tls_insecure_skip_verify=False,
                enable_http2=False,
            ),
            # Both ask the server what is known here: that it is the same version, without CSRF tokens.
            "client": change(
                "client", csrf_support_enabled=False, server_version_check_enabled=False, custom_headers={}
            ),
            # Nobody listens to heartbeats, and their thread costs a second at the end of each flow.
            "flows": change("flows", heartbeat_frequency=None),
            "logging": change("logging", to_api=current.logging.to_api.model_copy(update={"enabled": False})),
            "server": server.model_copy(
                update={
                    "analytics_enabled": False,
                    "ephemeral": server.ephemeral.model_copy(update={"enabled": False}),
                }
            ),
        }
    )


@contextmanager
def without_retries() -> Iterator[None]:
    """Have Prefect's clients try each request once, in this context."""
    from prefect.settings import get_current_settings

    current = get_current_settings()
    client = current.client.model_copy(update={"max_retries": 0})
    with _settings_context(current.model_copy(update={"client": client})):
        yield


@contextmanager
def _settings_context(settings: Settings) -> Iterator[None]:
    from prefect.context import SettingsContext, get_settings_context

    with SettingsContext(profile=get_settings_context().profile, settings=settings):
        yield


@contextmanager
def _process_wide(settings: Settings, *, in_memory: bool) -> Iterator[None]:
    """
    Show the settings to threads without a context of their own, avoid proxies; without a server, drop events.

    A thread that user code starts sees only Prefect's root settings. Without this, `concurrency()`
    or an artifact in such a thread would make Prefect start a server of its own.
    """
    from prefect.context import SettingsContext, _temporary_global_settings_context, get_settings_context

    root = SettingsContext(profile=get_settings_context().profile, settings=settings)
    with _temporary_global_settings_context(root), loopback_without_proxy():
        if not in_memory:
            yield
            return
        with _without_events(), _no_link_to_a_page():
            yield


@contextmanager
def _without_events() -> Iterator[None]:
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker

    override = EventsWorker._client_override
    EventsWorker.set_client_override(NullEventsClient)
    try:
        yield
    finally:
        EventsWorker._client_override = override


@contextmanager
def _no_link_to_a_page() -> Iterator[None]:
    """Keep Prefect from naming the page of a run: the in-memory API has no pages."""

    def is_worth_reading(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("View at http://127.0.0.1:")

    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.engine")]
    for logger in loggers:
        logger.addFilter(is_worth_reading)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_worth_reading)


def _send_logs_to_servers_only() -> None:
    """
    Keep Prefect from starting a server of its own in order to send it a log line.

    That happens to a line that is logged outside of any flow, or at the very moment in which one ends.
    """
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import get_current_settings

    def has_a_server(record: logging.LogRecord) -> bool:
        return get_current_settings().api.url is not None

    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.extra"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, APILogHandler):
                handler.addFilter(has_a_server)


def _wait_before_telling_of_events() -> None:
    """
    Keep Prefect from warning at the end of each process that events are still being sent.

    It says so every four seconds, and the first time at once.
    """
    told: list[logging.LogRecord] = []

    def is_not_the_first(record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith("Still processing items"):
            return True
        told.append(record)
        return len(told) > 1

    logging.getLogger("EventsWorker").addFilter(is_not_the_first)

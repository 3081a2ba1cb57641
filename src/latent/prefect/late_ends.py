"""
Ends of runs that a Prefect server does not know yet, since it did not answer: kept on disk, and sent later.

A process of its own (`latent.prefect.reporter`) sends them as soon as the server is back; so does
`latent sync`, and `latent up` and the next run see that there is such a process.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from latent.config import ensure_private_dir
from latent.config.running_services import running_service
from latent.errors import WorkspaceError
from latent.files import FileLock, is_locked, read_json, replace_json
from latent.files.detached import start_detached

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from prefect.client.orchestration import SyncPrefectClient

    from latent.config import Workspace

SUCCESSOR_KEY = "latent-resumes-{}"
"""The idempotency key of the run that goes on for a crashed one: a server makes no second one."""

LOCK_SECONDS = 60.0
_EVENTS_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LateEnd:
    """How a run ended, for a server that did not answer at that time."""

    run_id: str
    run_name: str
    flow_name: str
    api_url: str
    is_own_server: bool
    """Whether it is the workspace's server, which may come back on another port."""
    state: dict[str, Any]
    force: bool
    events: list[dict[str, Any]] = field(default_factory=list)
    """What was to be told of the run's tasks, and was not."""

    @property
    def shown(self) -> str:
        return f"{self.flow_name} {self.run_name} ({self.state['name']})"


@dataclass(frozen=True, slots=True)
class Sent:
    """What a try to send late ends came to."""

    known: list[LateEnd] = field(default_factory=list)
    """Now the server knows them."""
    refused: list[tuple[LateEnd, str]] = field(default_factory=list)
    """Those that the server does not take, with the reason; they are forgotten."""
    waiting: list[tuple[LateEnd, str]] = field(default_factory=list)
    """Those that are still to be sent, with the reason."""


def folder(workspace: Workspace) -> Path:
    """Where late ends wait: one file each, in the order in which the runs ended."""
    return workspace.services_dir / "late_ends"


def lock_file(workspace: Workspace) -> Path:
    """Held by the process that waits for the server."""
    return workspace.services_dir / "reporter.lock"


def keep(workspace: Workspace, end: LateEnd) -> None:
    """
    Keep an end until the server knows it, and start the process that sends it.

    Raises:
        OSError: It cannot be written.
        WorkspaceError: As above.
    """
    place = ensure_private_dir(folder(workspace))
    written = {name: getattr(end, name) for name in LateEnd.__slots__}
    replace_json(place / f"{time.time_ns()}-{end.run_id}.json", written)
    ensure_reporter(workspace)


def late_ends(workspace: Workspace) -> list[tuple[Path, LateEnd]]:
    """All that wait, the oldest first; a file that cannot be read is passed over."""
    found = []
    for path in sorted(folder(workspace).glob("*.json")):
        with suppress(TypeError):
            found.append((path, LateEnd(**(read_json(path) or {}))))
    return found


_started: list[subprocess.Popen[bytes]] = []


def ensure_reporter(workspace: Workspace) -> None:
    """Start the process that sends late ends, unless there are none, or it lives."""
    if not folder(workspace).is_dir() or not late_ends(workspace) or is_locked(lock_file(workspace)):
        return
    with suppress(OSError, WorkspaceError):
        log = ensure_private_dir(workspace.logs_dir) / "reporter.log"
        started = start_detached("latent.prefect.reporter", workspace.root, log)
        started.returncode = 0  # it outlives us; without this, Python warns of a process left running
        _started.append(started)


def send(workspace: Workspace) -> Sent:
    """Send what waits to the servers that are there now; returns without waiting for others."""
    sent = Sent()
    with _alone(workspace) as is_alone:
        for path, end in late_ends(workspace):
            if not is_alone:
                sent.waiting.append((end, "another process is sending"))
                continue
            try:
                refusal = _send(workspace, end)
            except _NotNowError as error:
                sent.waiting.append((end, str(error)))
                continue
            path.unlink(missing_ok=True)
            if refusal is None:
                sent.known.append(end)
            else:
                sent.refused.append((end, refusal))
    return sent


class _NotNowError(Exception):
    """The server of an end is not there."""


@contextmanager
def _alone(workspace: Workspace) -> Iterator[bool]:
    if not late_ends(workspace):
        yield True
        return
    lock = FileLock(ensure_private_dir(workspace.services_dir) / "late_ends.lock")
    if not lock.acquire(LOCK_SECONDS):
        yield False
        return
    with lock:
        yield True


def _send(workspace: Workspace, end: LateEnd) -> str | None:
    """Tell the server; why it refuses, or None."""
    import httpx
    from prefect.exceptions import ObjectNotFound

    try:
        with impatient_client(workspace) as client:
            if client is None or not (end.is_own_server or _same(str(client.api_url), end.api_url)):
                raise _NotNowError(f"{end.api_url} is not the server that Prefect's settings name here")
            for at in range(0, len(end.events), _EVENTS_AT_ONCE):
                post_events(client, end.events[at : at + _EVENTS_AT_ONCE])
            _set_state(client, end)
    except ObjectNotFound:
        return "the server does not know the run"
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403, 408, 429) or error.response.is_server_error:
            raise _NotNowError(f"the server answers with status {error.response.status_code}") from error
        return f"the server answers with status {error.response.status_code}"
    except (httpx.HTTPError, RuntimeError) as error:  # Prefect's own word for a server that is not there
        raise _NotNowError(str(error) or type(error).__name__) from error
    return None


def _set_state(client: SyncPrefectClient, end: LateEnd) -> None:
    from prefect.client.schemas.actions import StateCreate
    from prefect.client.schemas.objects import State

    state: State[Any] = State.model_validate(StateCreate.model_validate(end.state).model_dump())
    there = client.read_flow_run(UUID(end.run_id)).state
    if there is not None and there.is_crashed() and (other := successor(client, end.run_id)) is not None:
        state = superseded_state(other)
    client.set_flow_run_state(UUID(end.run_id), state, force=end.force)


def successor(client: SyncPrefectClient, run_id: str) -> str | None:
    """The name of the run that goes on for the crashed run `run_id`; None when there is none."""
    from prefect.client.schemas import filters

    key = filters.FlowRunFilterIdempotencyKey(any_=[SUCCESSOR_KEY.format(run_id)])
    found = client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(idempotency_key=key), limit=1)
    return found[0].name if found else None


def superseded_state(successor_name: str) -> Any:
    """The state of a run that another one has taken the place of."""
    from prefect.states import Cancelled

    return Cancelled(
        name="Superseded", message=f"It counted as crashed, and run {successor_name!r} goes on in its place."
    )


@contextmanager
def impatient_client(workspace: Workspace) -> Iterator[SyncPrefectClient | None]:
    """A client that tries each request once; None where neither settings nor `latent up` name a server."""
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    from latent.prefect.api.session import prefect_api, without_retries

    if get_current_settings().api.url is None and running_service(workspace, "prefect") is None:
        yield None
        return
    with prefect_api(workspace=workspace), without_retries(), get_client(sync_client=True) as client:
        yield client


def post_events(client: SyncPrefectClient, events: Sequence[dict[str, Any]], **options: Any) -> None:
    """
    Send events at once; Prefect's own queue of events may be long, and says nothing of what arrived.

    Args:
        options: Those of httpx for the request, such as a `timeout` other than the client's.
    """
    client.request("POST", "/events", json=events, **options)


def _same(url: str, other: str) -> bool:
    return url.rstrip("/") == other.rstrip("/")

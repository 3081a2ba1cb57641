"""
Signs of life of the runs of this process, for a Prefect server that marks silent runs as crashed.

They are ours, and not those of Prefect's engine, for three reasons. However a run starts, it beats as often
as the automation on the server expects. Each is a request of its own, so that it waits behind no queue of
events and is known to have arrived. And each asks what the server thinks of the run, so that a run that was
held for too long (its machine slept, say) learns that another one has taken its place.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from latent.errors import RunSupersededError
from latent.prefect.late_ends import impatient_client, post_events, successor
from latent.prefect.logs import get_flow_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.client.orchestration import SyncPrefectClient

    from latent.prefect.run import Run

HEARTBEAT = "latent.flow-run.heartbeat"
"""The event of a run that lives; only runs that send it are ever marked as crashed for their silence."""

_RETRY_SECONDS = 1.0
"""A server that did not answer is asked again so soon: its return must not find a silent run."""

_ANSWER_SECONDS = 5.0
"""A heartbeat that is not answered is sent again: one that hangs must not silence those after it."""

_LAST_CHECK_SECONDS = 5.0
_GIVE_WAY_SECONDS = 5.0
"""A flow whose rows were stopped has so long to end by itself."""


@contextmanager
def beating(run: Run) -> Iterator[None]:
    """
    Send heartbeats for the run while the block runs.

    Raises:
        RunSupersededError: Another run has taken its place; the block was interrupted, or has just ended.
    """
    outermost = run.parent
    while outermost is not None and outermost.parent is not None:
        outermost = outermost.parent
    if outermost is not None:
        heart = _hearts.get(outermost.run_id)
        if heart is None:
            yield
            return
        heart.runs.append(run)
        try:
            yield
        finally:
            heart.runs.remove(run)
        return
    heart = _hearts[run.run_id] = _Heart(run)
    try:
        yield
        heart.check_before_end()
    except BaseException as error:
        if heart.successor is None:
            raise
        if isinstance(error, asyncio.CancelledError) and heart.task is not None:
            heart.task.uncancel()
        raise RunSupersededError(run.flow_name, str(run.flow_run.name), heart.successor) from error
    finally:
        heart.stop()
        del _hearts[run.run_id]


class _Heart:
    """The thread that beats for an outermost run and its subflows."""

    def __init__(self, run: Run) -> None:
        self.run, self.runs = run, [run]
        self.successor: str | None = None
        """The run that has taken the place of this one."""
        self.every_seconds = float(run.workspace.settings.services.heartbeat_seconds)
        self.task, self._loop = _current_task()
        self._stopped = threading.Event()
        self._checked_at = time.monotonic()
        self._checking = threading.Lock()
        # The settings that name the server stand in the context.
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._beat,), name="latent-heartbeats", daemon=True
        )
        thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def check_before_end(self) -> None:
        """
        Ask once more, when the last answer is so old that the run may count as crashed.

        Raises:
            RunSupersededError: It does, and another one goes on.
        """
        if self.successor is None and time.monotonic() - self._checked_at > 2 * self.every_seconds:
            asking = threading.Thread(
                target=contextvars.copy_context().run, args=(self._ask_once,), daemon=True
            )
            asking.start()
            asking.join(_LAST_CHECK_SECONDS)
        if self.successor is not None:
            raise RunSupersededError(self.run.flow_name, str(self.run.flow_run.name), self.successor)

    def _ask_once(self) -> None:
        with suppress(Exception), impatient_client(self.run.workspace) as client:
            if client is not None:
                self._check(client)

    def _beat(self) -> None:
        import httpx
        from prefect.exceptions import ObjectNotFound

        wait_seconds = 0.0
        while not self._stopped.wait(wait_seconds):
            try:
                with impatient_client(self.run.workspace) as client:
                    if client is None:
                        return
                    wait_seconds = 0.0
                    while not self._stopped.wait(wait_seconds):
                        events = [_event(run) for run in list(self.runs)]
                        post_events(client, events, timeout=_ANSWER_SECONDS)
                        self._check(client)
                        wait_seconds = self.every_seconds
            except ObjectNotFound:  # the run was deleted
                return
            except Exception as error:  # whatever the network says: the run goes on, and so does this
                is_refused = isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error
                wait_seconds = self.every_seconds if is_refused else _RETRY_SECONDS

    def _check(self, client: SyncPrefectClient) -> None:
        """See what the server thinks of the run: one that counts as dead is superseded, or says it lives."""
        with self._checking:
            state = client.read_flow_run(UUID(self.run.run_id)).state
            if state is None or not state.is_crashed() or self._stopped.is_set():
                pass
            elif (other := successor(client, self.run.run_id)) is not None:
                self._give_way(other)
            else:
                _say_that_it_lives(client, self.run)
            self._checked_at = time.monotonic()

    def _give_way(self, successor_name: str) -> None:
        """End the run: what is finished is kept, and the other one has taken it over."""
        if self.successor is not None:
            return
        self.successor = successor_name
        get_flow_logger().warning("The run counted as crashed, and %r goes on in its place.", successor_name)
        for run in self.runs:
            for mapped in run.mapped:
                mapped.stop(f"The run was superseded by {successor_name!r}.")
        if self.task is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self.task.cancel)
        # A flow that waits for its rows ends by itself by now, and its end is on its way to the server.
        elif not self._stopped.wait(_GIVE_WAY_SECONDS) and _is_process_of(self.run) and os.name != "nt":
            os.kill(os.getpid(), signal.SIGTERM)  # for which Prefect's engine raises an exception


def _is_process_of(run: Run) -> bool:
    """Whether this process is there for the run alone."""
    return os.environ.get("PREFECT__FLOW_RUN_ID") == run.run_id


_hearts: dict[str, _Heart] = {}


def _current_task() -> tuple[asyncio.Task[Any] | None, asyncio.AbstractEventLoop | None]:
    try:
        return asyncio.current_task(), asyncio.get_running_loop()
    except RuntimeError:
        return None, None


def _event(run: Run) -> dict[str, Any]:
    from prefect.events import Event, RelatedResource, Resource

    flow_run = run.flow_run
    related = [("flow", "flow", flow_run.flow_id), ("deployment", "deployment", flow_run.deployment_id)]
    event = Event(
        event=HEARTBEAT,
        resource=Resource(
            {
                "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
                "prefect.resource.name": str(flow_run.name),
            }
        ),
        related=[
            RelatedResource.model_validate(
                {"prefect.resource.id": f"prefect.{kind}.{each}", "prefect.resource.role": role}
            )
            for kind, role, each in related
            if each is not None
        ],
    )
    return event.model_dump(mode="json")


def _say_that_it_lives(client: SyncPrefectClient, run: Run) -> None:
    """Take back that the run crashed: the server was away for too long to hear of it."""
    from prefect.states import Running

    get_flow_logger().warning("The server took the run for dead, since it heard nothing of it. It goes on.")
    client.set_flow_run_state(
        run.flow_run.id, Running(message="It counted as crashed, since nothing was heard of it. It lives.")
    )

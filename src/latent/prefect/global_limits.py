"""
`[limits.NAME]` as Prefect's global concurrency limits, for `concurrency("NAME")` in user code.

With the in-memory API they exist from the start of a run. On a Prefect server they are made or changed when a
process first runs a flow there; besides, latent's own limiters then take their slots from the server, which
is how a limit holds on several machines.
"""

from __future__ import annotations

import contextvars
import math
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from logging import INFO, WARNING
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.files.forks import after_fork
from latent.limits import limiter_for
from latent.limits.upstream import SlotPool
from latent.prefect.api import prefect_api
from latent.prefect.api.limits import GlobalLimit
from latent.prefect.logs import get_flow_logger, warn_once
from latent.prefect.server_slots import ServerSlots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse

    from latent.config import Workspace
    from latent.config.settings import LimitSettings
    from latent.limits import Limiter
    from latent.prefect.run import Run, RunReference

PAGE = 200
"""Limits that are read from a server at a time: the most that it gives."""

_agreed: set[tuple[str, tuple[GlobalLimit, ...]]] = set()
_agreeing = Lock()


def global_limits(limits: Mapping[str, LimitSettings]) -> tuple[GlobalLimit, ...]:
    """The global concurrency limits that say the same as the settings, as far as Prefect can say it."""
    made = (_global_limit(name, settings) for name, settings in sorted(limits.items()))
    return tuple(limit for limit in made if limit is not None)


def _global_limit(name: str, settings: LimitSettings) -> GlobalLimit | None:
    """
    Slots for `concurrency("NAME")`; without a `concurrency`, a rate for `rate_limit("NAME")`.

    Prefect's limits are one or the other: slots of a rate free themselves. None: the settings leave it all to
    what is learned.
    """
    if settings.concurrency is not None:
        return GlobalLimit(name, settings.concurrency)
    if settings.requests_per_minute is not None:
        per_second = settings.requests_per_minute / 60
        return GlobalLimit(name, settings.burst or max(1, math.ceil(per_second)), per_second)
    if settings.tokens_per_minute is not None:
        # Taken as `rate_limit("NAME", occupy=tokens)`.
        return GlobalLimit(name, math.ceil(settings.tokens_per_minute), settings.tokens_per_minute / 60)
    return None


@contextmanager
def shared_limits(run: Run) -> Iterator[None]:
    """While the block runs, the limits of the run's workspace are Prefect's too, wherever its API is."""
    limits = global_limits(run.workspace.settings.limits)
    if not limits:
        yield
        return
    with prefect_api(limits=limits) as in_memory:
        run.shares_limits = in_memory is None and _agree(limits)
        with _bindings.during(run.workspace, limits) if run.shares_limits else nullcontext():
            yield


def attached(reference: RunReference) -> Run:
    """The run that a worker process works for, with the limits that it shares."""
    run = reference.attach()
    if run.shares_limits:
        _bindings.join(run.workspace, global_limits(run.workspace.settings.limits))
    return run


def _agree(limits: tuple[GlobalLimit, ...]) -> bool:
    """Make the server's limits those of the settings, once per process; False when that fails."""
    from prefect.client.orchestration import get_client

    key = (_server(), limits)
    with _agreeing:
        if key in _agreed:
            return True
        try:
            with get_client(sync_client=True) as client:
                for change in limit_changes(client, limits):
                    change.apply(client)
                    get_flow_logger().log(WARNING if change.before else INFO, "%s", change)
        except Exception as error:  # a server that is too old, too strict or not there: the run goes on
            warn_once(
                f"global-limits:{key[0]}",
                f"The limits of latent.toml could not be made on the Prefect server at {key[0]}, so they "
                f"hold on this machine only ({type(error).__name__}: {error}).",
            )
            return False
        _agreed.add(key)
        return True


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A limit that the server does not have, or has with other numbers than the settings."""

    wanted: GlobalLimit
    before: str | None
    """What it has, for people; None: nothing."""

    def apply(self, client: SyncPrefectClient) -> None:
        """Make the server's limit that of the settings."""
        from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate

        numbers: dict[str, Any] = {
            "limit": self.wanted.limit,
            "slot_decay_per_second": self.wanted.slot_decay_per_second,
        }
        if self.before is None:
            made = GlobalConcurrencyLimitCreate(name=self.wanted.name, **numbers)
            client.create_global_concurrency_limit(made)
        else:
            changed = GlobalConcurrencyLimitUpdate(active=True, **numbers)
            client.update_global_concurrency_limit(self.wanted.name, changed)

    def __str__(self) -> str:
        limit = f"the global concurrency limit {self.wanted.name!r} ({self.wanted.numbers})"
        if self.before is None:
            return f"Made {limit} on the Prefect server."
        return f"Changed {limit} on the Prefect server, as latent.toml says; it was {self.before}."


def limit_changes(client: SyncPrefectClient, limits: Iterable[GlobalLimit]) -> list[LimitChange]:
    """What has to be done so that the server has these limits."""
    known = server_limits(client)
    changes = []
    for wanted in limits:
        there = known.get(wanted.name)
        if there is None:
            changes.append(LimitChange(wanted, None))
        elif not _is_the_same(wanted, there):
            before = GlobalLimit(there.name, there.limit, there.slot_decay_per_second).numbers
            changes.append(LimitChange(wanted, before if there.active else f"{before}, switched off"))
    return changes


def server_limits(client: SyncPrefectClient) -> dict[str, GlobalConcurrencyLimitResponse]:
    """The global concurrency limits of a server by name; those of tags are called `tag:TAG`."""
    known: dict[str, GlobalConcurrencyLimitResponse] = {}
    while True:
        page = client.read_global_concurrency_limits(limit=PAGE, offset=len(known))
        known |= {each.name: each for each in page}
        if len(page) < PAGE:
            return known


def _is_the_same(wanted: GlobalLimit, there: GlobalConcurrencyLimitResponse) -> bool:
    return (
        there.active
        and there.limit == wanted.limit
        and math.isclose(there.slot_decay_per_second, wanted.slot_decay_per_second)
    )


class _Bindings:
    """Which limiters of this process take their slots from a server, and how many runs want it so."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing is bound: the limiters of a forked child have let go of its parent's pools."""
        self._lock = Lock()
        self._pools: dict[tuple[str, Limiter], tuple[SlotPool, int]] = {}

    @contextmanager
    def during(self, workspace: Workspace, limits: tuple[GlobalLimit, ...]) -> Iterator[None]:
        """Bind the limiters while the block runs, or as long as another run wants it."""
        keys = [(_server(), limiter_for(workspace, limit.name)) for limit in limits]
        for key, limit in zip(keys, limits, strict=True):
            self._enter(key, limit)
        try:
            yield
        finally:
            for key in keys:
                self._leave(key)

    def join(self, workspace: Workspace, limits: tuple[GlobalLimit, ...]) -> None:
        """Bind the limiters of a worker process for good; what they hold is given back when it is idle."""
        for limit in limits:
            key = (_server(), limiter_for(workspace, limit.name))
            if key not in self._pools:
                self._enter(key, limit)

    def _enter(self, key: tuple[str, Limiter], limit: GlobalLimit) -> None:
        with self._lock:
            pool, users = self._pools.get(key, (None, 0))
            if pool is None:
                pool = SlotPool(ServerSlots(limit, contextvars.copy_context()))
                key[1].bind(pool)
            self._pools[key] = (pool, users + 1)

    def _leave(self, key: tuple[str, Limiter]) -> None:
        with self._lock:
            if key not in self._pools:
                return  # forked in the middle of a run: it is the parent that gives back
            pool, users = self._pools[key]
            if users > 1:
                self._pools[key] = (pool, users - 1)
                return
            del self._pools[key]
            key[1].bind(None)
        pool.close()


_bindings = _Bindings()


def _reset_after_fork() -> None:
    # Another thread of the parent may have held the lock.
    global _agreeing
    _agreeing = Lock()
    _bindings.reset()


after_fork(_reset_after_fork)


def _server() -> str:
    from prefect.settings import get_current_settings

    return str(get_current_settings().api.url)

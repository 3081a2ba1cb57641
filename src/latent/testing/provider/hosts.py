"""Where a simulator runs: on a thread of this process, or in whatever else does as `Host` says."""

from __future__ import annotations

from typing import Protocol

from latent.testing.loopback import LoopbackServer
from latent.testing.provider.behaviour import Behaviour
from latent.testing.provider.record import Record
from latent.testing.provider.service import Service


class Host(Protocol):
    """Where a simulator runs."""

    @property
    def port(self) -> int:
        """The port it listens on."""

    def record(self) -> Record:
        """A copy of what it has seen."""

    def clear(self) -> None:
        """Forget what was counted."""

    def change(self, behaviour: Behaviour) -> None:
        """Behave in another way from now on."""

    def stop(self) -> Record:
        """End, and break all connections; what it has seen."""


class ThreadHost:
    """A simulator on a thread of this process."""

    def __init__(self, behaviour: Behaviour, port: int) -> None:
        self._service = Service(behaviour)
        self._server = LoopbackServer(self._service, port=port)

    @property
    def port(self) -> int:
        return self._server.port

    def record(self) -> Record:
        return self._server.call(lambda: self._service.record.copy())

    def clear(self) -> None:
        self._server.call(self._service.clear)

    def change(self, behaviour: Behaviour) -> None:
        self._server.call(lambda: self._service.change(behaviour))

    def stop(self) -> Record:
        self._server.stop()
        return self.record()

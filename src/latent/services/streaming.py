"""Both servers' logs on one terminal, line by line, until it is interrupted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from latent.config.running_services import running_service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from latent.config import Workspace
    from latent.config.running_services import Service

_POLL_SECONDS = 0.2


def stream_logs(workspace: Workspace, services: Sequence[Service], say: Callable[[str], None]) -> None:
    """
    Hand on each new line of the servers' logs, with the server's name in front, until all have ended.

    `say` is called in this thread; an exception in it, or a Ctrl-C, ends the stream.
    """
    followed = [(service, _Tail(workspace.root / service.log)) for service in services]
    while followed:
        for service, tail in followed:
            for line in tail.lines():
                say(f"{service.name:8} {line}")
        followed = [each for each in followed if running_service(workspace, each[0].name) is not None]
        time.sleep(_POLL_SECONDS)


class _Tail:
    """The lines that are added to a file from now on; it may be replaced by a new one meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def lines(self) -> list[str]:
        try:
            if self.path.stat().st_size < self._at:
                self._at = 0
            with self.path.open("rb") as file:
                file.seek(self._at)
                added = file.read()
        except OSError:
            return []
        self._at += len(added)
        *whole, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

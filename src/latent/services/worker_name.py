"""A worker's name on Prefect's server: it has no other place for the versions that the worker runs."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from importlib.metadata import version

from latent import __version__

_NAME = re.compile(r".* \(latent (?P<latent>\S+), prefect (?P<prefect>\S+)\)")


@dataclass(frozen=True, slots=True)
class Versions:
    """What a worker runs."""

    latent: str
    prefect: str

    def __str__(self) -> str:
        return f"latent {self.latent}, prefect {self.prefect}"


def installed_versions() -> Versions:
    """Those of this process."""
    return Versions(__version__, version("prefect"))


def worker_name() -> str:
    """The name of a worker in this process, when the user gives it none: host, process and versions."""
    # Prefect's server takes a name as part of a path.
    host = re.sub(r"[/%]", "-", socket.gethostname())
    return f"{host} {os.getpid()} ({installed_versions()})"


def versions_in(name: str) -> Versions | None:
    """The versions in a worker's name; None in one that its user gave it, or Prefect."""
    found = _NAME.fullmatch(name)
    return Versions(found["latent"], found["prefect"]) if found else None

"""
Which servers run for a workspace: what `latent up` wrote down, as far as it still holds.

A server that `up` started inherits a locked file, which the operating system frees when the server ends,
however it ends: after a reboot or `kill -9` the record is stale, and no stranger's process is taken for it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from latent.files import is_locked, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from latent.config.workspace import Workspace

ServiceName = Literal["prefect", "mlflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One server, as it was started."""

    name: ServiceName
    url: str
    """Where people and programs reach it, without a path and without credentials."""
    pid: int
    """Of the first process, and the number of its process group."""
    port: int
    started_at: float
    """Unix seconds."""
    version: str
    store: str
    """Where it keeps its data, as shown to people: a file, or a database without its password."""
    log: str
    """The file that it writes to."""
    is_shared: bool = False
    """Whether its data lie in a database that other workspaces and machines use too."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def state_file(workspace: Workspace) -> Path:
    """What `latent up` writes down of the servers; private to the user."""
    return workspace.services_dir / "state.json"


def lock_file(workspace: Workspace, name: ServiceName) -> Path:
    """Locked for as long as the server lives."""
    return workspace.services_dir / f"{name}.lock"


def recorded_services(workspace: Workspace) -> dict[str, Service]:
    """The servers that were started last, whether they live or not; none when the record cannot be read."""
    content = read_json(state_file(workspace)) or {}
    known = {field.name for field in fields(Service)}
    found: dict[str, Service] = {}
    for name, record in (content.get("services") or {}).items():
        try:
            found[name] = Service(**{key: value for key, value in record.items() if key in known})
        except (TypeError, AttributeError):  # written by another version, or by hand
            continue
    return found


def running_service(workspace: Workspace, name: ServiceName) -> Service | None:
    """The server `name` of the workspace; None when none was started, or it has ended since."""
    if not lock_file(workspace, name).exists():  # as in nearly every workspace: one look at the disk
        return None
    return recorded_services(workspace).get(name) if is_locked(lock_file(workspace, name)) else None


def auth_file(workspace: Workspace) -> Path:
    """The secrets that `latent up --host` made; private to the user."""
    return workspace.services_dir / "auth.json"


def service_password(workspace: Workspace) -> str | None:
    """The password of the user `latent` on both servers; None when they ask for none."""
    password = (read_json(auth_file(workspace)) or {}).get("password")
    return password if isinstance(password, str) else None

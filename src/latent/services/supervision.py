"""What keeps servers and workers running: systemd units, and a `compose.yaml`; for the user to install."""

from __future__ import annotations

import platform
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from latent import __version__
from latent.config.extras import distribution_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latent.config import Workspace

DRAIN_SECONDS = 60
"""What the worker of a unit is given to end its runs."""

_UNIT = """\
# /etc/systemd/system/{name}.service, or ~/.config/systemd/user/{name}.service
[Unit]
Description={description}
After=network-online.target{after}
Wants=network-online.target

[Service]
Type=exec
WorkingDirectory={folder}
Environment=LATENT_WORKSPACE={root}
ExecStart={python} -P -m latent {command}
KillSignal={signal}
KillMode=mixed
TimeoutStopSec={stop_seconds}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


def server_unit(workspace: Workspace, *, host: str | None = None) -> str:
    """A systemd unit for both servers of this workspace, with this Python."""
    return _unit(
        workspace,
        name=_unit_name(workspace),
        what="Prefect's and MLflow's servers",
        command=("up", "--foreground", *(("--host", host) if host else ())),
        signal="SIGINT",
        stop_seconds=30,
    )


def worker_unit(workspace: Workspace, *, pool: str = "default") -> str:
    """A systemd unit for a worker of this workspace; it starts after the servers where they have units."""
    return _unit(
        workspace,
        name=f"{_unit_name(workspace)}-worker",
        what="A worker",
        command=("worker", "--pool", pool, "--drain", f"{DRAIN_SECONDS}s"),
        signal="SIGTERM",
        stop_seconds=DRAIN_SECONDS + 30,
        after=f" {_unit_name(workspace)}.service",
    )


def _unit(
    workspace: Workspace,
    *,
    name: str,
    what: str,
    command: Sequence[str],
    signal: str,
    stop_seconds: int,
    after: str = "",
) -> str:
    root = str(workspace.root)
    return _UNIT.format(
        name=name,
        description=f"{what} for the workspace {_label(workspace)}",
        after=after,
        folder=root.replace("%", "%%"),  # the rest of this line is taken as it is
        root=_escaped(root),
        python=_escaped(sys.executable),
        # systemd reads quotes as a shell does, and puts variables and specifiers in their place.
        command=shlex.join(command).replace("%", "%%").replace("$", "$$"),
        signal=signal,
        stop_seconds=stop_seconds,
    )


def compose_file() -> str:
    """A `compose.yaml` with both servers on PostgreSQL and a worker, of the versions installed here."""
    text = Path(__file__).with_name("compose.yaml").read_text(encoding="utf-8")
    python = ".".join(platform.python_version_tuple()[:2])
    for name, value in {
        "DISTRIBUTION": distribution_name(),
        "VERSION": __version__,
        "PYTHON": python,
    }.items():
        text = text.replace(f"@{name}@", value)
    return text


def _label(workspace: Workspace) -> str:
    """The workspace's name, of letters and digits: what an image, a unit and a description may hold."""
    letters = (letter if letter.isascii() and letter.isalnum() else "-" for letter in workspace.root.name)
    return "".join(letters).strip("-") or "workspace"


def _unit_name(workspace: Workspace) -> str:
    return f"latent-{_label(workspace)}"


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace("%", "%%").replace(" ", "\\x20")

"""systemd units that keep the servers of a workspace running: printed, for the user to install."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.config import Workspace

_UNIT = """\
# /etc/systemd/system/latent-{name}.service, or ~/.config/systemd/user/latent-{name}.service
[Unit]
Description=Prefect's and MLflow's servers for the workspace {name}
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
WorkingDirectory={root}
Environment=LATENT_WORKSPACE={root}
ExecStart={python} -P -m latent up --foreground{options}
KillSignal=SIGINT
KillMode=mixed
TimeoutStopSec=30
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


def systemd_units(workspace: Workspace, *, host: str | None = None) -> str:
    """The unit's text for this workspace and this Python, paths escaped as systemd wants."""
    root = _escaped(str(workspace.root))
    options = f" --host {shlex.quote(host)}" if host else ""
    name = (
        "".join(letter if letter.isalnum() else "-" for letter in workspace.root.name).strip("-")
        or "workspace"
    )
    return _UNIT.format(name=name, root=root, python=_escaped(sys.executable), options=options)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace("%", "%%").replace(" ", "\\x20")

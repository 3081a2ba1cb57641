"""One server process: started apart from the terminal, recognised later, stopped with all that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from latent.config import ensure_private_dir
from latent.config.running_services import lock_file
from latent.errors import ServiceError
from latent.files import FileLock, is_locked
from latent.services.exposure import LOOPBACK
from latent.services.servers import process_environment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from latent.config import Workspace
    from latent.config.running_services import Service, ServiceName
    from latent.services.servers import Server

STOP_SECONDS = 4.0
"""A server that has not ended so long after SIGTERM is killed."""

_POLL_SECONDS = 0.05
_LOG_BYTES = 5_000_000


def log_file(workspace: Workspace, name: ServiceName) -> Path:
    """Where a server writes what it has to say."""
    return workspace.logs_dir / f"{name}-server.log"


def start(workspace: Workspace, server: Server, port: int, mark: str) -> subprocess.Popen[bytes]:
    """
    Start a server in a session of its own, so that a Ctrl-C or the end of a terminal does not reach it.

    It inherits a locked file, which tells that it lives.

    Raises:
        ServiceError: One runs already, or a process that it left behind still does.
    """
    if sys.platform == "win32":
        raise ServiceError(
            server.name, "`latent up` cannot start it on Windows; docs/services.md says what to do."
        )
    lock = FileLock(lock_file(workspace, server.name))
    ensure_private_dir(lock.path.parent)
    if not lock.acquire(1.0):
        raise ServiceError(
            server.name,
            f"A process of an earlier one still runs: {lock.path} is locked. `latent down` ends it; where "
            f"state.json beside it was lost, `fuser -k {lock.path}` does.",
        )
    log = log_file(workspace, server.name)
    ensure_private_dir(log.parent)
    with suppress(OSError):
        if log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603  # our own interpreter, and a module of Prefect's or MLflow's
            server.command(port, mark),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=workspace.services_dir,  # neither server is to find, or leave, files in the user's folder
            env=process_environment(server, port),
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    finally:
        os.close(output)
        lock.forget()


def free_port(preferred: int, host: str = LOOPBACK) -> int:
    """`preferred` when nobody listens there, else one that the system picks."""
    for port in (preferred, 0):
        with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((host, port))
                return int(probe.getsockname()[1])
    raise ServiceError(
        None, f"No port of {host!r} can be had: is it an address of this machine, and is any port free?"
    )


def stop(workspace: Workspace, services: Iterable[Service]) -> list[Service]:
    """
    End servers and all that they started; those that there was anything of to end.

    A process that only has a server's number by now is left alone.

    Raises:
        ServiceError: A process does not end even when it is killed.
    """
    ended = remaining = [service for service in services if _left_behind(service)]
    for way in (signal.SIGTERM, signal.SIGKILL):
        for service in remaining:
            with suppress(ProcessLookupError):
                os.killpg(service.pid, way)
        deadline = time.monotonic() + STOP_SECONDS
        while (remaining := [each for each in remaining if _is_there(workspace, each)]) and (
            time.monotonic() < deadline
        ):
            time.sleep(_POLL_SECONDS)
    for service in remaining:
        raise ServiceError(service.name, f"It cannot be ended: try `kill -9 -- -{service.pid}`.")
    return ended


def _is_there(workspace: Workspace, service: Service) -> bool:
    _reap(service.pid)
    return is_locked(lock_file(workspace, service.name)) or bool(_left_behind(service))


def _reap(pid: int) -> None:
    """Take note of the end of a child: until then it counts as a process."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _left_behind(service: Service) -> list[int]:
    """
    The processes of a server's group; none when the group has become a stranger's, or is gone.

    A number is given to another process once the whole group has ended, so one member that was started as our
    server is enough to know it.
    """
    listed = subprocess.run(
        # -ww: whole command lines, also where COLUMNS is set.
        ["ps", "-A", "-ww", "-o", "pid=,pgid=,stat=,args="],  # noqa: S607  # wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    members = {
        int(row[0]): row[3]
        for row in rows
        if len(row) == 4 and int(row[1]) == service.pid and not row[2].startswith("Z")
    }
    is_ours = any(f"--port {service.port}" in arguments for arguments in members.values())
    return list(members) if is_ours else []

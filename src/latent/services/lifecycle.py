"""`up` and `down`: see that both servers of a workspace run, exactly once, and end them without a trace."""

from __future__ import annotations

import logging
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from latent.config import ensure_private_dir
from latent.config.running_services import (
    Service,
    ServiceName,
    recorded_services,
    running_service,
    state_file,
)
from latent.errors import ServiceError, ServiceStartError
from latent.files import FileLock, replace_json
from latent.services import process
from latent.services.exposure import Exposure
from latent.services.servers import MARK, mlflow_server, prefect_server
from latent.services.stores import Stores
from latent.tracking import ensure_writer, has_unsent_runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from latent.config import Workspace
    from latent.services.servers import Server

logger = logging.getLogger("latent.services")

NAMES: tuple[ServiceName, ...] = ("prefect", "mlflow")
START_SECONDS = 180.0
"""A server that does not answer by then has failed: MLflow's takes up to a minute on a slow disk."""

LOCK_SECONDS = 2 * START_SECONDS
_POLL_SECONDS = 0.05
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Report:
    """What `up` or `status` found of one server."""

    service: Service
    became: Literal["started", "reused", "stopped"]
    seconds: float = 0.0
    """From the start until it answered."""


def up(workspace: Workspace, *, host: str | None = None, database_url: str | None = None) -> list[Report]:
    """
    See that both servers run and answer; what runs already is left as it is.

    Args:
        host: The address to listen on; None: this machine alone. Any other asks everybody for a password.
        database_url: PostgreSQL for both, in the place of the setting `services.database_url`.

    Raises:
        ServiceStartError: A server ended, or does not answer; the others go on.
        ServiceError: The database cannot be used, or another `up` takes too long.
    """
    with _alone(workspace):
        found = {name: running_service(workspace, name) for name in NAMES}
        exposure = Exposure.of(workspace, host)
        running = [service for service in found.values() if service is not None]
        _refuse_other_hosts(running, exposure)
        reports = [Report(service, "reused") for service in running]
        missing = [name for name in NAMES if found[name] is None]
        if missing:
            _clear(workspace, missing)
            stores = Stores.of(workspace, database_url)
            with stores.migrating():
                reports += _start_all(workspace, missing, stores, exposure)
        return sorted(reports, key=lambda report: NAMES.index(report.service.name))


def down(workspace: Workspace) -> list[Report]:
    """End the servers that `up` started; those that run no longer are only forgotten."""
    with _alone(workspace):
        ended = process.stop(workspace, recorded_services(workspace).values())
        state_file(workspace).unlink(missing_ok=True)
        return [Report(service, "stopped") for service in ended]


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    lock = FileLock(ensure_private_dir(workspace.services_dir) / "up.lock")
    if not lock.acquire(LOCK_SECONDS):
        raise ServiceError(None, "Another `latent up` or `latent down` of this workspace does not end.")
    with lock:
        yield


def _refuse_other_hosts(running: Sequence[Service], exposure: Exposure) -> None:
    for service in running:
        if exposure.password is not None and service.url != exposure.address(service.port):
            raise ServiceError(
                service.name,
                f"It runs already, at {service.url}: `latent down` first, then "
                f"`latent up --host {exposure.host}`.",
            )


def _clear(workspace: Workspace, names: Sequence[ServiceName]) -> None:
    """End what a server that was killed has left behind: it would keep its port and its database."""
    process.stop(workspace, [each for each in recorded_services(workspace).values() if each.name in names])


def _start_all(
    workspace: Workspace, names: Sequence[ServiceName], stores: Stores, exposure: Exposure
) -> list[Report]:
    """Start the servers side by side, and wait for both."""
    starting: list[_Starting] = []
    if "prefect" in names:  # the quicker one to prepare
        starting.append(_Starting(workspace, prefect_server(workspace, stores, exposure), exposure))
    if "mlflow" in names:
        stores.prepare_mlflow()
        starting.append(_Starting(workspace, mlflow_server(workspace, stores, exposure), exposure))
    reports, failed = [], []
    for each in starting:
        try:
            reports.append(each.wait())
        except ServiceStartError as error:
            failed.append(error)
        else:
            if each.server.name == "prefect":  # MLflow's takes longer to start: nobody waits for this
                _settle_in(workspace, each.service)
            elif has_unsent_runs(workspace):
                ensure_writer(workspace)
    if failed:
        raise failed[0]
    return reports


def _settle_in(workspace: Workspace, prefect: Service) -> None:
    """Have a server that was started mark crashed runs, and tell it how runs ended while it was away."""
    import httpx

    from latent.prefect.late_ends import ensure_reporter
    from latent.services.crashes import install_on

    try:
        install_on(prefect, workspace)
    except httpx.HTTPError as error:
        logger.warning("Prefect's server will not notice runs whose process is gone: %s", error)
    ensure_reporter(workspace)


class _Starting:
    """A server between its start and its first answer."""

    def __init__(self, workspace: Workspace, server: Server, exposure: Exposure) -> None:
        self.workspace, self.server, self.exposure = workspace, server, exposure
        self.began = time.time()
        # Where it was before: runs that go on without it look for it there.
        before = recorded_services(workspace).get(server.name)
        preferred = server.preferred_port if before is None else before.port
        self._begin(process.free_port(preferred, exposure.host))

    def _begin(self, port: int) -> None:
        self.log_from = _size(process.log_file(self.workspace, self.server.name))
        self.mark = secrets.token_hex(8)
        self.process = process.start(self.workspace, self.server, port, self.mark)
        self.service = Service(
            name=self.server.name,
            url=self.exposure.address(port),
            pid=self.process.pid,
            port=port,
            started_at=time.time(),
            version=self.server.version,
            store=self.server.store,
            log=self.workspace.label(process.log_file(self.workspace, self.server.name)),
            is_shared=self.server.is_shared,
        )
        # Written down before it answers: if this process is killed while waiting, the server can be found.
        services = recorded_services(self.workspace) | {self.server.name: self.service}
        replace_json(
            state_file(self.workspace),
            {"version": 1, "services": {name: each.as_dict() for name, each in services.items()}},
        )

    def wait(self) -> Report:
        """Wait until the server answers; where its port was taken meanwhile, start it once more elsewhere."""
        has_moved = False
        while time.time() - self.began < START_SECONDS:
            who = who_answers(f"{self.service.url}{self.server.health_path}")
            if who == self.mark:
                _let_go(self.process)
                return Report(self.service, "started", time.time() - self.began)
            has_ended = self.process.poll() is not None
            if has_ended and "address already in use" not in self._said().lower():
                break
            if has_ended or who is not None:  # another process has the port, or will have it
                if has_moved:
                    break
                has_moved = True
                process.stop(self.workspace, [self.service])
                _let_go(self.process)
                self._begin(process.free_port(0, self.exposure.host))
            time.sleep(_POLL_SECONDS)
        code = self.process.poll()
        process.stop(self.workspace, [self.service])
        _let_go(self.process)
        what = (
            f"ended with exit code {code}"
            if code is not None
            else f"does not answer after {START_SECONDS:.0f} s"
        )
        lines = "\n".join(self._said().splitlines()[-_LOG_LINES:])
        raise ServiceStartError(self.server.name, what, self.service.log, lines)

    def _said(self) -> str:
        """What this start has written to the log."""
        with process.log_file(self.workspace, self.server.name).open("rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")


def answers(url: str) -> bool:
    """Whether a server says at `url` that it is well."""
    return who_answers(url) is not None


def is_reachable(url: str, *, seconds: float = 2.0) -> bool:
    """Whether anything at all is answered at `url`; True for an address that is not of HTTP."""
    if not url.startswith(("http://", "https://")):
        return True
    try:
        urllib.request.urlopen(url, timeout=seconds).close()  # noqa: S310  # through proxies, as flows do
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, ValueError):
        return False
    return True


def who_answers(url: str, *, seconds: float = 2.0) -> str | None:
    """The mark of the server that says at `url` that it is well, empty for a stranger's; None: none does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
    try:
        with opener.open(url, timeout=seconds) as answer:
            return str(answer.headers.get(MARK, "")) if answer.status == 200 else None
    except urllib.error.HTTPError as error:
        # It asks who we are: it answers.
        return str(error.headers.get(MARK, "")) if error.code in (401, 403) else None
    except (OSError, ValueError):
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _let_go(started: subprocess.Popen[bytes]) -> None:
    """A server outlives us, or was ended as a group; without this, Python warns of a process left running."""
    started.returncode = 0

"""The two servers of a workspace, Prefect's and MLflow's: how each is started, and tuned."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from latent.config import ensure_private_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latent.config import Workspace
    from latent.config.running_services import ServiceName
    from latent.services.exposure import Exposure
    from latent.services.stores import Stores

MARK = "x-latent-server"
"""The header that tells a server's answers from those of another one that listens on the same port."""

HEALTH_PATHS: dict[ServiceName, str] = {"prefect": "/api/health", "mlflow": "/health"}
"""Where each server says that it is well."""

SETTINGS: dict[ServiceName, dict[str, tuple[str, str]]] = {
    "prefect": {
        # Each task run is an event; one at a time, a server is minutes behind a run of some thousand.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": ("200", "task runs are written in batches"),
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": ("200", "and read in batches"),
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": ("1", "a second late at most"),
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": ("200", "events are written in batches"),
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": ("200", "and read in batches"),
        "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": ("200", "automations read events in batches"),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": (
            "events,flow_runs",
            "old runs are deleted, not only events",
        ),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem",
            "who holds a limit outlives a restart",
        ),
        "PREFECT_SERVER_ANALYTICS_ENABLED": ("false", "nothing is reported"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": ("false", "no advertisement"),
        "DO_NOT_TRACK": ("1", "nothing is reported"),
    },
    "mlflow": {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": ("false", "no job runner: twelve processes less"),
        "MLFLOW_DISABLE_TELEMETRY": ("true", "nothing is reported"),
        "DO_NOT_TRACK": ("true", "nothing is reported"),
    },
}
"""Environment variables of each server, with the reason; what the user has set in the environment wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How one server is started, and where it is asked whether it answers."""

    name: ServiceName
    preferred_port: int
    command: Callable[[int, str], list[str]]
    """The command line for a port, and the mark that the server puts on its answers."""
    environment: Callable[[int], Mapping[str, str]]
    """What is added to the user's environment for a port."""
    health_path: str
    version: str
    store: str
    """Where it keeps its data, without a password."""
    is_shared: bool = False
    hidden: frozenset[str] = field(default_factory=frozenset)
    """Variables of the user's environment that mean clients, not this server."""


def prefect_server(workspace: Workspace, stores: Stores, exposure: Exposure) -> Server:
    """Prefect's API, scheduler and pages in one process: what `prefect server start` runs itself."""
    home = ensure_private_dir(workspace.services_dir / "prefect")

    def command(port: int, mark: str) -> list[str]:
        app = "latent.services.prefect_app:create_app"
        address = ["--host", exposure.host, "--port", str(port)]
        # -P keeps the current folder off the import path: a user's prefect.py must not be taken for Prefect.
        return [sys.executable, "-P", "-m", "uvicorn", "--factory", app, *address, "--log-level", "warning",
                "--timeout-keep-alive", "5", "--timeout-graceful-shutdown", "3",
                "--header", f"{MARK}:{mark}"]  # fmt: skip

    def environment(port: int) -> dict[str, str]:
        return {
            "PREFECT_HOME": str(home),
            "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
            "PREFECT_SERVER_API_HOST": exposure.host,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_UI_API_URL": f"{exposure.address(port)}/api",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(exposure.origins(port)),
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(
                workspace.settings.services.keep_days * 86_400
            ),
            **stores.prefect_environment,
            **exposure.prefect_environment,
        }

    return Server(
        name="prefect",
        preferred_port=workspace.settings.services.prefect_port,
        command=command,
        environment=environment,
        health_path=HEALTH_PATHS["prefect"],
        version=version("prefect"),
        store=stores.prefect_shown,
        is_shared=stores.is_shared,
        hidden=frozenset(
            {"PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE"}
        ),
    )


def mlflow_server(workspace: Workspace, stores: Stores, exposure: Exposure) -> Server:
    """MLflow's pages and API, with one worker process."""
    artifacts = ensure_private_dir(workspace.state_dir / "mlartifacts").absolute()

    def command(port: int, mark: str) -> list[str]:
        return [sys.executable, "-P", "-m", "mlflow", "server", "--host", exposure.host, "--port", str(port),
                "--workers", "1", "--artifacts-destination", artifacts.as_uri(), "--serve-artifacts",
                "--uvicorn-opts", f"--header {MARK}:{mark}",
                *exposure.mlflow_arguments(port)]  # fmt: skip

    return Server(
        name="mlflow",
        preferred_port=workspace.settings.services.mlflow_port,
        command=command,
        # Not on the command line, which everybody on the machine can read: the address may hold a password.
        environment=lambda port: {
            "MLFLOW_BACKEND_STORE_URI": stores.mlflow_url,
            **exposure.mlflow_environment,
        },
        health_path=HEALTH_PATHS["mlflow"],
        version=version("mlflow"),
        store=stores.mlflow_shown,
        is_shared=stores.is_shared,
        hidden=frozenset({"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}),
    )


def process_environment(server: Server, port: int) -> dict[str, str]:
    """The whole environment of a server: what the user set in ours wins over how we tune it."""
    kept = {name: value for name, value in os.environ.items() if name not in server.hidden}
    tuned = {name: value for name, (value, _) in SETTINGS[server.name].items()}
    return {**tuned, **kept, **server.environment(port)}

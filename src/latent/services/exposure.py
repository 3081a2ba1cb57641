"""Who reaches the servers: this machine alone, or, with a password, others too."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from latent.config import ensure_private_dir
from latent.config.extras import import_extra
from latent.config.running_services import auth_file
from latent.files import read_json, replace_file, replace_json

if TYPE_CHECKING:
    from latent.config import Workspace

LOOPBACK = "127.0.0.1"
USER = "latent"
_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  # recognised, not bound to unasked


@dataclass(frozen=True)
class Exposure:
    """The address that servers listen on, and the password that they ask for beyond this machine."""

    host: str = LOOPBACK
    secrets: dict[str, str] = field(default_factory=dict)
    """`password` and `secret_key`; empty on loopback, where no server asks for one."""
    auth_config: Path | None = None
    """MLflow's file with the administrator's first password."""

    @classmethod
    def of(cls, workspace: Workspace, host: str | None) -> Exposure:
        """
        Loopback when `host` is None or names it; otherwise with a password, made at the first call and kept.

        Raises:
            MissingExtraError: MLflow's users need a library that is not installed.
        """
        if host is None or is_loopback(host):
            return cls(host or LOOPBACK)
        import_extra("flask_wtf", extra="auth", purpose="Passwords of MLflow's server (`latent up --host`)")
        return cls(host, _secrets(workspace), _mlflow_auth_config(workspace))

    def address(self, port: int) -> str:
        """Where people and programs reach a server."""
        host = LOOPBACK if self.host in _EVERYWHERE else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def origins(self, port: int) -> list[str]:
        """The pages that may call a server from a browser: its own."""
        return list(
            dict.fromkeys([self.address(port), f"http://{LOOPBACK}:{port}", f"http://localhost:{port}"])
        )

    @property
    def password(self) -> str | None:
        return self.secrets.get("password")

    @cached_property
    def prefect_environment(self) -> dict[str, str]:
        if self.password is None:
            return {}
        credentials = f"{USER}:{self.password}"
        return {
            "PREFECT_SERVER_API_AUTH_STRING": credentials,
            "PREFECT_API_AUTH_STRING": credentials,
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        }

    def mlflow_arguments(self, port: int) -> list[str]:
        if self.password is None:
            return []
        hosts = ",".join(f"{host}:{port}" for host in dict.fromkeys([self.host, LOOPBACK, "localhost"]))
        origins = ",".join(self.origins(port))
        return ["--app-name", "basic-auth", "--allowed-hosts", hosts, "--cors-allowed-origins", origins]

    @cached_property
    def mlflow_environment(self) -> dict[str, str]:
        if self.password is None:
            return {}
        return {
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secrets["secret_key"],
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_AUTH_CONFIG_PATH": str(self.auth_config),
        }


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _secrets(workspace: Workspace) -> dict[str, str]:
    ensure_private_dir(workspace.services_dir)
    path = auth_file(workspace)
    known = read_json(path) or {}
    if {"password", "secret_key"} <= known.keys():
        return {name: str(known[name]) for name in ("password", "secret_key")}
    made = {"password": secrets.token_urlsafe(24), "secret_key": secrets.token_urlsafe(32)}
    replace_json(path, {"user": USER, **made})
    return made


def _mlflow_auth_config(workspace: Workspace) -> Path:
    """The file of MLflow's users: they stand in the current folder unless it says otherwise."""
    path = workspace.services_dir / "mlflow-auth.ini"
    users = (workspace.services_dir / "mlflow-users.db").absolute()
    text = f"""\
[mlflow]
default_permission = READ
database_uri = sqlite:///{users.as_posix()}
admin_username = {USER}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""
    replace_file(path, text.encode())
    return path

"""Where the two servers keep their data: files under `.latent/`, or one PostgreSQL for both."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from latent.config.extras import import_extra
from latent.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from latent.config import Workspace

_MIGRATION_LOCK = 0x6C6174656E74
"""PostgreSQL's advisory lock that one `latent up` holds at a time, on whatever machine: "latent" in ASCII."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The databases of the two servers."""

    workspace: Workspace
    prefect_shown: str
    mlflow_shown: str
    prefect_environment: dict[str, str] = field(repr=False)
    mlflow_url: str = field(repr=False)
    postgres: _Postgres | None = None

    @classmethod
    def of(cls, workspace: Workspace, database_url: str | None = None) -> Stores:
        """
        PostgreSQL where `database_url` or the settings name one, else SQLite in the workspace.

        Raises:
            ServiceError: The address is none of PostgreSQL's.
        """
        settings = workspace.settings.services
        if database_url is None and settings.database_url is not None:
            database_url = settings.database_url.get_secret_value()
        if database_url is not None:
            postgres = _Postgres.of(database_url, use_schemas=settings.use_schemas)
            return cls(
                workspace=workspace,
                prefect_shown=postgres.shown("prefect"),
                mlflow_shown=postgres.shown("mlflow"),
                prefect_environment=postgres.prefect_environment(),
                mlflow_url=postgres.mlflow_url(),
                postgres=postgres,
            )
        prefect = workspace.services_dir / "prefect" / "prefect.db"
        return cls(
            workspace=workspace,
            prefect_shown=workspace.label(prefect),
            mlflow_shown=workspace.label(workspace.mlflow_db),
            prefect_environment={
                "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{prefect.absolute().as_posix()}"
            },
            mlflow_url=f"sqlite:///{workspace.mlflow_db.absolute().as_posix()}",
        )

    @property
    def is_shared(self) -> bool:
        """Whether other workspaces and machines may use the same databases."""
        return self.postgres is not None

    def prepare_mlflow(self) -> None:
        """See that MLflow's tables are there where flows may write to them at this moment, too."""
        if self.postgres is None:
            from latent.tracking import ensure_database

            ensure_database(self.workspace)

    def migrating(self) -> AbstractContextManager[None]:
        """While the block runs, no other `up` starts a server: each creates or changes its tables then."""
        return nullcontext() if self.postgres is None else self.postgres.migrating()


@dataclass(frozen=True)
class _Postgres:
    """One PostgreSQL, with two databases or two schemas of one."""

    url: Any
    """SQLAlchemy's `URL`."""
    use_schemas: bool

    @classmethod
    def of(cls, database_url: str, *, use_schemas: bool) -> _Postgres:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        import_extra("psycopg", extra="postgres", purpose="Servers on PostgreSQL")
        try:
            url = make_url(database_url)
        except (ArgumentError, ValueError) as error:
            raise ServiceError(
                None, f"`services.database_url` or --postgres cannot be read: write {_FORM}."
            ) from error
        if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
            named = f"{url.drivername!r} and the database {url.database!r}"
            raise ServiceError(None, f"`services.database_url` or --postgres names {named}: write {_FORM}.")
        return cls(url.set(drivername="postgresql"), use_schemas)

    def _database(self, name: str) -> Any:
        return self.url if self.use_schemas else self.url.set(database=f"{self.url.database}_{name}")

    def shown(self, name: str) -> str:
        """The database, without the password."""
        shown = str(self._database(name).render_as_string(hide_password=True))
        return f"{shown}, schema {name}" if self.use_schemas else shown

    def prefect_environment(self) -> dict[str, str]:
        url = self._database("prefect").set(drivername="postgresql+asyncpg")
        named = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url.render_as_string(hide_password=False)}
        if self.use_schemas:
            named["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"] = "prefect"
        return named

    def mlflow_url(self) -> str:
        url = self._database("mlflow").set(drivername="postgresql+psycopg")
        if self.use_schemas:
            url = url.update_query_dict({"options": "-csearch_path=mlflow"})
        return str(url.render_as_string(hide_password=False))

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """
        Create what is missing, and hold the lock on creating and changing tables.

        Raises:
            ServiceError: The database refuses, or is not there.
        """
        psycopg = import_extra("psycopg", extra="postgres", purpose="Servers on PostgreSQL")
        shown = self.url.render_as_string(hide_password=True)
        try:
            connection = psycopg.connect(
                self.url.render_as_string(hide_password=False), autocommit=True, connect_timeout=10
            )
        except psycopg.Error as error:
            reason = str(error).replace(self.url.password or "\0", "***").strip()
            raise ServiceError(None, f"The database {shown} cannot be used: {reason}") from None
        with connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
            try:
                self._create(connection)
            except psycopg.Error as error:
                what = "schemas prefect and mlflow" if self.use_schemas else "databases"
                raise ServiceError(
                    None,
                    f"The {what} cannot be created in {shown}: {error}. Create them, or let the user do so.",
                ) from error
            yield

    def _create(self, connection: Any) -> None:
        from psycopg import sql

        for name in ("prefect", "mlflow"):
            if self.use_schemas:
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))
                continue
            database = self._database(name).database
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


_FORM = "postgresql://user:password@host:5432/name"

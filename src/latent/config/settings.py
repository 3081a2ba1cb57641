"""
The settings of a workspace, as models: one class per section, one field per setting.

A new section is one class and one field of `Settings`; reading, messages and the commented `latent.toml`
follow from the model. Descriptions are what users read in that file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, HttpUrl, Secret, SecretStr

from latent.config.deployments import Deployments
from latent.config.section import BudgetSettings, Section


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]


class CacheSettings(Section):
    """The memory: remembered results of tasks, rows and checkpoints."""

    on_code_change: Literal["recompute", "warn", "reuse"] = Field(
        default="recompute",
        description="What to do with a remembered result once the code that made it has changed: "
        "compute it again, use it and say so, or use it.",
    )
    allow_pickle: bool = Field(
        default=False,
        description="Also remember values that only pickle can store. Reading a pickle runs code that stands "
        "in it, so allow it only where nobody else can write to .latent/cache/.",
    )
    expiration_days: float = Field(
        default=7.0,
        gt=0,
        description="Days that a task's result is remembered, unless the task says `cache_expiration=`.",
    )
    large_value_bytes: int = Field(
        default=262_144,
        ge=1_024,
        description="Larger values are kept as files beside the database, in bytes.",
    )


class TaskSettings(Section):
    """What every task does unless its decorator says otherwise."""

    retries: int = Field(default=3, ge=0, description="Further attempts after a task's first one failed.")
    retry_delay_seconds: float = Field(
        default=1.0, ge=0, description="Pause before the first further attempt; it doubles with each one."
    )
    retry_max_delay_seconds: float = Field(
        default=60.0,
        ge=0,
        description="No pause is longer than this, unless a provider asks for more.",
    )
    retry_max_total_seconds: float = Field(
        default=600.0,
        ge=0,
        description="All pauses of one call together are at most this long: one that a provider asks for and "
        "that would take longer is not begun, and the call fails.",
    )
    retry_jitter: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The share of each pause that is left to chance, so that rows that failed together do "
        "not return together: 0 is none of it, 1 any length from nothing to the whole pause.",
    )


class RowSettings(Section):
    """Rows of mapped tasks."""

    rows_as_runs: int = Field(
        default=200,
        ge=0,
        description="Up to so many rows become a Prefect task run each; more of them go in batches.",
    )
    max_workers: int = Field(
        default=32, ge=1, description="Rows of one map that are worked on at the same time."
    )
    batch_size: int | None = Field(
        default=None, ge=1, description="Rows in a batch; chosen by the number of rows when it is not set."
    )


class LimitSettings(Section):
    """
    A limit: what a key or a model allows, shared by every call on this machine that names it.

    What is not set is not limited, or learned from the provider.
    """

    concurrency: int | None = Field(default=None, ge=1, description="Calls under way at the same time.")
    requests_per_minute: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Calls begun in a minute, evenly spread."
    )
    tokens_per_minute: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Tokens of the calls begun in a minute, for calls that say how many they take.",
    )
    burst: int | None = Field(
        default=None,
        ge=1,
        description="Requests that the provider takes at once after a pause. Half of them are used, the rest "
        "is left to the jitter of the network. Not set: a tenth of a second's worth.",
    )
    adaptive: bool = Field(
        default=True,
        description="Learn from the provider's answers: slow down when it refuses calls, and speed up again, "
        "never above what is set here.",
    )


class CatalogSettings(Section):
    """Datasets."""

    allow_outside_paths: bool = Field(
        default=False,
        description="Let datasets lie outside the workspace, through `..`, absolute paths or links.",
    )


class TrackingSettings(Section):
    """MLflow runs, traces and the run folders under .latent/runs/."""

    enabled: bool = Field(
        default=True, description="Record runs in MLflow. Run folders are written in any case."
    )
    idle_minutes: float = Field(
        default=10.0, gt=0, description="The writer process ends after this long without anything to write."
    )
    flush_seconds: float = Field(
        default=5.0, ge=0, description="Longest wait at the end of a run until its records are on disk."
    )
    preview_chars: int = Field(
        default=1_000,
        ge=0,
        description="Inputs and outputs of tasks are shortened to this length in traces and errors.",
    )
    artifact_max_bytes: int = Field(
        default=50_000_000,
        ge=0,
        description="Larger outputs are recorded as a reference to their file, not as a copy.",
    )


class ServicesSettings(Section):
    """The servers that `latent up` starts; nothing needs them until flows run on a schedule or elsewhere."""

    prefect_port: int = Field(
        default=4200, ge=1, le=65_535, description="Port of Prefect's server; another one when it is taken."
    )
    mlflow_port: int = Field(
        default=5000, ge=1, le=65_535, description="Port of MLflow's server; another one when it is taken."
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL for both servers, as postgresql://user:password@host/name: they keep their "
        "data in its databases NAME_prefect and NAME_mlflow, which are created. Not set: files in .latent/.",
    )
    use_schemas: bool = Field(
        default=False,
        description="Keep both in the one database of `database_url`, in its schemas `prefect` and `mlflow`.",
    )
    keep_days: int = Field(
        default=90,
        ge=1,
        description="Days after which Prefect's server deletes finished flow runs from a database that "
        "`latent up` made. Run folders and MLflow's runs stay.",
    )
    notify_webhook: Secret[HttpUrl] | None = Field(
        default=None,
        description="An address that Prefect's server sends a message to when a run of a deployment fails, "
        "times out or crashes, in the form that Slack and Mattermost take. `latent deploy` sets it up.",
    )
    heartbeat_seconds: int = Field(
        default=15,
        ge=1,
        le=600,
        description="How often a run tells Prefect's server that it lives. After six times as long without a "
        "word it counts as crashed. `latent up` and `latent deploy` tell the server.",
    )


class CodeSettings(Section):
    """Code of deployed flows."""

    check: Literal["digest", "trust"] = Field(
        default="digest",
        description="Whether a worker refuses a run when its flows/ and config/ are not those that were "
        "deployed, or runs what it has.",
    )


class RecordingSettings(Section):
    """Answers of models in files that are committed: a run that reads them needs no key and pays nothing."""

    mode: Literal["off", "record", "replay"] = Field(
        default="off",
        description='"record" keeps every answer that a run uses in `folder`; "replay" takes them from there '
        "and asks nobody: a call that was not recorded is an error.",
    )
    folder: str = Field(
        default="recordings", min_length=1, description="Where they lie, relative to the workspace."
    )


class LoggingSettings(Section):
    """Log lines in the terminal and under .latent/logs/."""

    level: LogLevel = Field(default="INFO", description="Lines below this level are left out.")
    files: bool = Field(
        default=True, description="Also write each run's lines to a file under .latent/logs/."
    )


class Settings(Section):
    """Everything that `latent.toml` and `LATENT_*` variables can say; `workspace.settings` reads it."""

    environment: Literal["production", "dev", "development"] = Field(
        default="production",
        description='"dev" (or "development") keeps checkpoints, so that an interrupted task resumes inside; '
        'in "production" they do nothing.',
    )
    cache: CacheSettings = Field(default_factory=CacheSettings)
    tasks: TaskSettings = Field(default_factory=TaskSettings)
    rows: RowSettings = Field(default_factory=RowSettings)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    limits: dict[str, LimitSettings] = Field(default_factory=dict)
    catalog: CatalogSettings = Field(default_factory=CatalogSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    recordings: RecordingSettings = Field(default_factory=RecordingSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    services: ServicesSettings = Field(default_factory=ServicesSettings)
    code: CodeSettings = Field(default_factory=CodeSettings)
    deployments: Deployments = ()

    @property
    def is_dev(self) -> bool:
        """Whether checkpoints are kept."""
        return self.environment != "production"

"""Errors of runs: where they are recorded, and the servers that they use."""

from __future__ import annotations

from latent.errors.base import Fields, LatentError, UsageError


class NotInRunError(UsageError, RuntimeError):
    """Something that exists only inside a flow or task run was asked for outside of one."""


class RunSupersededError(Fields, LatentError):
    """A run that its server took for dead is alive, and another one goes on in its place by now."""

    flow_name: str
    run_name: str
    successor: str
    template = (
        "Run {run_name!r} of flow {flow_name!r} ends: nothing was heard of it for so long "
        "that it counted as crashed, and run {successor!r} goes on in its place. What is finished "
        "is kept."
    )


class RunStoppedError(Fields, LatentError):
    """
    Rows were left out on purpose; what is done is kept, and the next run goes on from there.

    Attributes:
        reason: What ended the work: a budget that is used up, too many failures, an exhausted quota.
    """

    reason: str
    task_name: str | None = None
    row_index: int | None = None

    def __str__(self) -> str:
        where = (
            "" if self.row_index is None else f"Row {self.row_index} of task {self.task_name!r} was skipped. "
        )
        return f"{where}{self.reason}"


class TrackingError(LatentError):
    """A run folder, the spool or the MLflow store cannot be used."""


class DamagedDatabaseError(Fields, TrackingError):
    """The workspace's MLflow database exists but cannot be read; it is never deleted or overwritten."""

    file: str
    reason: str
    template = (
        "The MLflow database {file} is damaged ({reason}). "
        "Put a backup in its place, or move it away: the next run then starts a new one. "
        "Runs go on meanwhile and are sent once it can be read."
    )


class RunNotFoundError(Fields, TrackingError, KeyError):
    """No run, or more than one, is meant by an id or the beginning of one."""

    wanted: str
    matches: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        if self.matches:
            shown = ", ".join(self.matches[:5]) + (", ..." if len(self.matches) > 5 else "")
            count = len(self.matches)
            return f"{self.wanted!r} is the beginning of {count} runs ({shown}): give more of the id."
        if self.wanted == "last":
            return f"Nothing has run yet, there is no run in {self.place}: `latent run FLOW` runs a flow."
        return f"There is no run {self.wanted!r} in {self.place}: `latent runs list` shows those that exist."


class ServerUnreachableError(Fields, LatentError, ConnectionError):
    """
    Prefect's settings name a server, and it does not answer.

    Attributes:
        has_begun: Whether the run was under way; else nothing has happened yet.
    """

    address: str
    reason: str
    has_begun: bool = False

    def __str__(self) -> str:
        source = "which Prefect's settings name (PREFECT_API_URL or the profile)"
        named = f"Prefect's server at {self.address}, {source},"
        if self.has_begun:
            return (
                f"{named} went away ({self.reason}): what is finished is kept, and the flow goes on from "
                "there when it runs again."
            )
        return (
            f"{named} cannot be reached ({self.reason}): start it, correct the address, or take it away "
            "(unset PREFECT_API_URL, or `prefect config unset PREFECT_API_URL`): without one, flows run "
            "without a server."
        )


class ServiceError(Fields, LatentError):
    """A server of the workspace, Prefect's or MLflow's, cannot be started, ended or used."""

    name: str | None
    reason: str

    def __str__(self) -> str:
        title = {"prefect": "Prefect's server: ", "mlflow": "MLflow's server: "}.get(self.name or "", "")
        return f"{title}{self.reason}"


class ServiceStartError(ServiceError):
    """
    A server ended while it started, or does not answer.

    Attributes:
        what: What became of it, as the end of a sentence.
        lines: The last of what it wrote to `log`.
    """

    def __init__(self, name: str, what: str, log: str, lines: str) -> None:
        super().__init__(name, f"it {what}. Its log is {log}; the end of it:\n{lines}")
        self.args = (name, what, log, lines)
        self.what, self.log, self.lines = what, log, lines


class SimulatorError(Fields, UsageError, ValueError):
    """A simulator of `latent.testing` got a setting that it cannot use, or was asked at the wrong time."""

    setting: str
    value: object
    reason: str
    template = "The simulator cannot use {setting}={value!r}: {reason}."

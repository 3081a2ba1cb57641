"""`log_metric`: a number of the user's own, recorded with the run."""

from __future__ import annotations

from latent.errors import NotInRunError
from latent.prefect.run import current_run


def log_metric(name: str, value: float, *, step: int | None = None) -> None:
    """
    Record a metric of the running flow, in the run folder and in MLflow, without waiting for either.

    Raises:
        NotInRunError: No flow is running.
    """
    run = current_run()
    if run is None:
        raise NotInRunError(f"Metric {name!r} was logged outside of a run: log it inside a flow or task.")
    if run.recorder is not None:
        run.recorder.metric(name, float(value), step=step)

"""What a flow run owes its Prefect server: signs of life, and word of its end, at once or later."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from latent.prefect.api import is_in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.context import FlowRunContext

    from latent.prefect.run import Run


@contextmanager
def on_server(run: Run, context: FlowRunContext) -> Iterator[None]:
    """
    While the block runs, send heartbeats; afterwards the run ends on the server, at once or later.

    Raises:
        RunSupersededError: The server took the run for dead, and another one goes on in its place.
    """
    if is_in_memory():
        yield
        return
    from latent.prefect.heartbeats import beating
    from latent.prefect.late_ends import ensure_reporter
    from latent.prefect.outage import report_late

    report_late(run, context)
    if run.parent is None:
        ensure_reporter(run.workspace)
    with beating(run):
        yield

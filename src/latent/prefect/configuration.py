"""`get_config()`: everything the running flow was configured with."""

from __future__ import annotations

import copy
from typing import Any

from latent.errors import NotInRunError
from latent.prefect.run import current_run
from latent.prefect.scope import record_read


def get_config() -> dict[str, Any]:
    """
    The running flow's configuration: `{"parameters": ..., "catalog": ...}`.

    Credentials in the catalog are masked; parameters are what the flow works with. A task that calls it
    depends on all parameters.

    Raises:
        NotInRunError: No flow is running.
    """
    run = current_run()
    if run is None:
        raise NotInRunError(
            "`get_config()` was called outside of a run: configuration belongs to a running flow. "
            "Call it inside a flow or task."
        )
    record_read({name: run.parameter_fingerprint(name) for name in run.parameters.values})
    return {"parameters": copy.deepcopy(run.parameters.values), "catalog": copy.deepcopy(run.catalog.config)}

"""Prefect's own telemetry: off wherever latent runs flows."""

from __future__ import annotations

import os


def keep_telemetry_off() -> None:
    """
    Tell Prefect not to report usage; a `DO_NOT_TRACK` that the user has set is left as it is.

    In a terminal Prefect reports the first import, the first flow and the first run of an
    installation. The import itself reports, so this must run before Prefect is imported, and
    only the environment is read that early.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")

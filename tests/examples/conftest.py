"""The example workspaces, importable while a test needs them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PYTHON_REFERENCE = Path(__file__).parents[2] / "examples" / "python_reference"


@pytest.fixture(scope="module")
def flows() -> Iterator[Path]:
    """The workspace's `flows` package can be imported, as it can while `latent run` is at work."""
    sys.path.insert(0, str(PYTHON_REFERENCE))
    forget_flows()
    yield PYTHON_REFERENCE
    forget_flows()
    sys.path.remove(str(PYTHON_REFERENCE))


def forget_flows() -> None:
    """Every workspace has a package called `flows`: what was imported from another one must not answer."""
    for name in [name for name in sys.modules if name.split(".")[0] == "flows"]:
        del sys.modules[name]

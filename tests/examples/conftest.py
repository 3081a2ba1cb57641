"""The example workspaces, importable while a test needs them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON_REFERENCE = EXAMPLES / "python_reference"


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


def files_of(example: str) -> dict[str, bytes]:
    """The files of an example, without what its runs have made; no tracking, which is tested elsewhere."""
    folder = EXAMPLES / example
    patterns = ("*.py", "config/*", "data/*.*", "flows/**/*.py", "flows/**/*.yaml", "flows/**/*.md")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for pattern in patterns
        for path in folder.glob(pattern)
    }
    settings = files.get("config/latent.toml", b"")
    return files | {"config/latent.toml": settings + b"\n[tracking]\nenabled = false\n"}

"""A folder of files to load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latent.rag import Document, load_document

Load = Callable[..., list[Document]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write bytes or a text to a file of this name, and load it."""

    def write_and_load(name: str, content: str | bytes, **options: Any) -> list[Document]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_document(name, root=tmp_path, **options)

    return write_and_load

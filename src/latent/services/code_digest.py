"""One short text for all code and configuration of a workspace, the same wherever these are the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Workspace

_LEFT_OUT = frozenset({"__pycache__", "Thumbs.db"})
"""Folders and files that are made where code is run or looked at; hidden ones are left out, too."""

_DIGITS = 16
"""Hexadecimal digits that are kept: enough to tell codes apart, and short enough to be read."""


def code_digest(workspace: Workspace) -> str:
    """
    The digest of `flows/`, `config/` and the settings file: of the paths below the root, and the contents.

    Credentials are left out, since each machine has its own, and so are hidden and compiled files. Ends of
    lines count as one kind: git writes other ones on Windows.
    """
    digest = hashlib.sha256()
    for label, file in sorted(_files(workspace)):
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{label}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def _files(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """Each file that counts, with its path below the root."""
    settings = workspace.settings_file
    if settings is not None and settings.parent != workspace.config_dir:
        yield workspace.label(settings), settings
    for top in (workspace.flows_dir, workspace.config_dir):
        for place, folders, names in os.walk(top, followlinks=True):
            folders[:] = [name for name in folders if _counts(name)]
            for file in (Path(place) / name for name in names if _counts(name)):
                # A link that leads nowhere is nothing that a flow could read.
                if file != workspace.credentials_file and file.is_file():
                    yield workspace.label(file), file


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _LEFT_OUT and not name.endswith((".pyc", ".pyo"))

"""A small workspace for the length of a test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from latent.config.workspace import STATE_FOLDER, Workspace, find_workspace


@contextmanager
def temporary_workspace(
    files: Mapping[str, str | bytes] | None = None, *, root: Path | None = None
) -> Iterator[Workspace]:
    """
    A workspace with `files`, current until the block ends.

    Inside the block the current folder is its root and LATENT_WORKSPACE names it; LATENT_* variables from
    outside are taken away. Afterwards both are as they were.

    Args:
        files: Text (its common indentation is removed) or bytes, by path relative to the root. Without a
            settings file among them an empty `config/latent.toml` is added.
        root: The folder to use; kept afterwards. When None, a temporary one that is deleted.
    """
    if root is None:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            temporary_workspace(files, root=Path(folder)) as workspace,
        ):
            yield workspace
        return
    write_files(root, {"config/latent.toml": "", **(files or {})})
    with _current(root):
        yield find_workspace()


def write_files(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Write `files` under `root`, with the folders they need; text loses its common indentation."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else dedent(content).lstrip("\n").encode()
        path.write_bytes(data)


@contextmanager
def _current(root: Path) -> Iterator[None]:
    folder = Path.cwd()
    outside = {name: value for name, value in os.environ.items() if name.startswith("LATENT_")}
    try:
        for name in outside:
            del os.environ[name]
        os.environ["LATENT_WORKSPACE"] = str(root)
        # Limits hold for the whole machine: those of a test are its own.
        os.environ["LATENT_LIMITS_DIR"] = str(root / STATE_FOLDER / "limits")
        os.chdir(root)
        yield
    finally:
        os.chdir(folder)
        for name in [name for name in os.environ if name.startswith("LATENT_")]:
            del os.environ[name]
        os.environ.update(outside)

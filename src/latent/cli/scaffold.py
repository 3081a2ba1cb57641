"""
New files from templates: what would be written, what stands in the way, and writing all of it or nothing.

A template is a folder under `templates/`. A leading underscore in the template's name hides it from
`latent init`; a file called `gitignore` becomes `.gitignore`, which must not act inside our own repository.
"""

from __future__ import annotations

import keyword
import os
import tempfile
from contextlib import suppress
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING

from latent.errors import UsageError, WorkspaceError
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable

_RENAMED = {"gitignore": ".gitignore"}
_FLOW_PLACEHOLDER = "my_flow"


def template_names() -> list[str]:
    """The templates that `latent init` offers, in alphabetical order."""
    return sorted(item.name for item in _templates().iterdir() if item.is_dir() and item.name[0] not in "_.")


def workspace_files(template: str) -> dict[str, bytes]:
    """
    The files of a new workspace: content by path relative to its root, with forward slashes.

    Raises:
        UsageError: There is no such template.
    """
    from latent.config import settings_template

    if template not in template_names():
        known = template_names()
        hint = did_you_mean(template, known, f"there are {', '.join(known)}.")
        raise UsageError(f"There is no template {template!r}: {hint}")
    files = dict(_walk(_templates() / template))
    flow = next(name.split("/")[1] for name in sorted(files) if name.startswith("flows/"))
    settings = settings_template(examples={"flow": flow, "name": f"nightly-{flow}"})
    return files | {"config/latent.toml": settings.encode()}


def flow_files(name: str) -> dict[str, bytes]:
    """
    The files of a new flow, as `workspace_files` gives them.

    Raises:
        UsageError: The name cannot be a flow's.
    """
    return _renamed(name, _FLOW_PLACEHOLDER, _walk(_templates() / "_flow"))


def ready_flow_files(name: str, ready: str) -> dict[str, bytes]:
    """
    The files of a flow that comes with latent, under another name, as `workspace_files` gives them.

    Raises:
        UsageError: There is no such flow, or the name cannot be a flow's.
    """
    from latent.flows import READY

    if ready not in READY:
        hint = did_you_mean(ready, READY, f"there is {', '.join(READY)}.")
        raise UsageError(f"There is no ready flow {ready!r}: {hint}")
    files = _walk(package_files(READY[ready].rpartition(".")[0]))
    return _renamed(name, ready, (each for each in files if each[0] != "__init__.py"))


def _renamed(name: str, placeholder: str, files: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    # It is a folder, a Python function, and the first part of `flow.dataset`.
    if not name.isidentifier() or not name.isascii():
        raise UsageError(f"{name!r} cannot name a flow: use letters, digits and underscores, a letter first.")
    if keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot name a flow: it is a word of Python's. Add one, say '{name}_flow'."
        )
    return {
        f"flows/{name}/{path}": content.replace(placeholder.encode(), name.encode())
        for path, content in files
    }


def conflicts(root: Path, files: Mapping[str, bytes]) -> list[str]:
    """
    Those of the files that already exist with another content.

    Raises:
        WorkspaceError: A folder stands where a file must go, or a file where a folder must.
    """
    return [path for path, content in files.items() if _differs(root, path, content)]


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """
    Write all the files, or leave the folder as it was.

    Raises:
        WorkspaceError: The folder cannot be written to; nothing was kept.
    """
    existing = next(folder for folder in (root, *root.parents) if folder.is_dir())
    made: list[Path] = []
    try:
        # Staged on the same disk first: when that is full, no file has taken its place yet.
        with tempfile.TemporaryDirectory(prefix=".latent-new-", dir=existing) as staging:
            staged = _stage(Path(staging), files)
            for path, source in staged.items():
                _place(source, root / path, made)
    except BaseException as error:
        for new in reversed(made):
            with suppress(OSError):
                new.rmdir() if new.is_dir() else new.unlink()
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        raise WorkspaceError(
            f"Nothing was written to {root}: {reason}. Make it writable, or name another folder."
        ) from error


def _differs(root: Path, path: str, content: bytes) -> bool:
    target = root / path
    for folder in target.parents:
        if folder.exists() and not folder.is_dir():
            raise WorkspaceError(
                f"{folder} is a file, but a folder is wanted there: move it, or name another folder."
            )
    if target.is_dir():
        raise WorkspaceError(
            f"{target} is a folder, but a file is wanted there: move it, or name another folder."
        )
    if not os.path.lexists(target):
        return False
    try:
        return target.read_bytes() != content
    except OSError:
        return True  # it is there and cannot be read, which is reason enough to ask


def _stage(staging: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    staged = {}
    for number, (path, content) in enumerate(files.items()):
        staged[path] = staging / str(number)
        staged[path].write_bytes(content)
    return staged


def _place(source: Path, target: Path, made: list[Path]) -> None:
    """Move `source` to `target` at once, noting in `made` each folder and file that was not there before."""
    missing = [folder for folder in target.parents if not folder.is_dir()]
    for folder in reversed(missing):
        folder.mkdir()
        made.append(folder)
    if not os.path.lexists(target):
        made.append(target)
    source.replace(target)


def _templates() -> Traversable:
    return package_files("latent.cli") / "templates"


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_file():
            yield prefix + _RENAMED.get(item.name, item.name), item.read_bytes()
        elif item.name != "__pycache__":  # installers compile the templates' Python files too
            yield from _walk(item, f"{prefix}{item.name}/")

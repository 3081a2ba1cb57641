"""Where the content of a dataset lies: the files behind it, their hash, and saves that replace them."""

from __future__ import annotations

import errno
import glob
import inspect
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.catalog.fingerprints import combined, hash_stream, hashes_for
from latent.catalog.paths import check_inside

if TYPE_CHECKING:
    from latent.catalog.blueprint import Blueprint

TEMPORARY = ".tmp-"
"""How the names of unfinished files begin; hidden, so that folders of files do not show them."""


def save_atomically(target: Path, write: Callable[[Path], None]) -> None:
    """
    Put what `write` writes in the place of `target`, in one step and only when it is complete and on disk.

    The permissions of an existing file are kept; a link stays a link and its target is replaced. What
    writes a folder there keeps its own ways once that folder exists (a Delta table has a history in it).

    Args:
        write: Is handed a path in the same folder, with the same suffixes, and writes there.

    Raises:
        OSError: `target` cannot be written; it is left as it was.
    """
    target = Path(os.path.realpath(target))
    if target.is_dir():
        write(target)
        return
    _check_writable(target)
    _make_folder(target.parent)
    # The suffixes come last, since some formats are chosen by them.
    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{target.name[-150:]}")
    try:
        write(temporary)
        if not temporary.exists():  # NumPy, for one, adds a suffix of its own
            write(target)
            return
        if temporary.is_file():
            _sync(temporary)
            _keep_permissions(temporary, target)
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        for left in target.parent.glob(f"{glob.escape(temporary.name)}*"):
            _remove(left)


def appends(config: Mapping[str, Any]) -> bool:
    """Whether a dataset adds to its file, or insists on a new one, instead of replacing it."""
    return any(_appends(config.get(section)) for section in ("save_args", "fs_args"))


def _appends(section: object) -> bool:
    if not isinstance(section, Mapping):
        return False
    mode = section.get("mode")
    if isinstance(mode, str) and set(mode) & set("ax+"):
        return True
    return any(_appends(value) for key, value in section.items() if key != "open_args_load")


def _check_writable(target: Path) -> None:
    """A file that was made read-only is not replaced, though its folder would allow it."""
    if target.is_file() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only", str(target))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # what POSIX says elsewhere in this case
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def _keep_permissions(temporary: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        before = target.stat()
        if (before.st_uid, before.st_gid) != (temporary.stat().st_uid, temporary.stat().st_gid):
            with suppress(PermissionError):
                shutil.chown(temporary, before.st_uid, before.st_gid)
        temporary.chmod(stat.S_IMODE(before.st_mode))


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder; there the rename is durable by itself.
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # not every file system can
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


# What a class takes that reads a query or a connection; its `filepath` is then not where the data is.
_NO_FILE = frozenset({"sql", "con", "connection", "query"})


def local_files(blueprint: Blueprint, dataset: Any) -> dict[str, Path]:
    """
    The local files that hold a dataset's content, by a name that does not depend on where they lie.

    Empty when there are none: nothing saved yet, or the content is elsewhere.
    """
    if hasattr(dataset, "_list_partitions"):
        if blueprint.local is None:
            return {}
        dataset._invalidate_caches()
        listed = {dataset._path_to_partition(path): Path(path) for path in dataset._list_partitions()}
    else:
        path = current_path(blueprint, dataset)
        if path is None or not path.exists():
            return {}
        listed = {"": path}
    files = {name: path for part, whole in listed.items() for name, path in _walked(part, whole)}
    check_places(blueprint, files.values())
    return dict(sorted(files.items()))


def check_places(blueprint: Blueprint, paths: Iterable[Path]) -> None:
    """
    Refuse paths outside of the workspace, unless its settings allow them.

    Raises:
        OutsideWorkspaceError: One of them is.
    """
    if not blueprint.workspace.settings.catalog.allow_outside_paths:
        for path in paths:
            check_inside(path, blueprint.workspace.root)


def current_path(blueprint: Blueprint, dataset: Any) -> Path | None:
    """The local file or folder that would be loaded now; of several versions, that of the newest."""
    if blueprint.plain_file is not None or blueprint.local is None:
        return blueprint.local
    if not _reads_a_file(dataset):
        return None
    if getattr(dataset, "_version", None):
        return Path(str(dataset._get_load_path()))
    return blueprint.local


def content_hash(blueprint: Blueprint, dataset: Any) -> str:
    """
    The hash of what a dataset holds now.

    Raises:
        OSError: A file cannot be read.
        UnhashableError: It is not a file, and the loaded value has no stable hash.
    """
    if blueprint.inner is not None:
        return content_hash(blueprint.inner, blueprint.inner.make())
    if (path := blueprint.plain_file) is not None and not path.is_dir():
        return hashes_for(blueprint.workspace).of(path)
    if files := local_files(blueprint, dataset):
        hashes = hashes_for(blueprint.workspace).of_all(files)
        return hashes[""] if files.keys() == {""} else combined(hashes.items())
    if blueprint.local is None and blueprint.written is not None and _reads_a_file(dataset):
        return combined(_remote(blueprint, dataset))
    from latent.cache.hashing import stable_hash

    return stable_hash(dataset.load())


def save_content(blueprint: Blueprint, dataset: Any, value: Any) -> None:
    """Save; in one step when the content is one local file, else as the dataset does it itself."""
    if blueprint.local is not None and hasattr(dataset, "_partition_to_path") and isinstance(value, dict):
        check_places(blueprint, (Path(dataset._partition_to_path(str(name))) for name in value))
    if blueprint.inner is not None:
        save_content(blueprint.inner, blueprint.inner.make(), value)
        dataset._cache.save(value)
    elif getattr(dataset, "_version", None):
        blueprint.make(save_version=_fresh_version()).save(value)
    elif (
        blueprint.local is not None
        and "filepath" in blueprint.config
        and _reads_a_file(dataset)
        and not appends(blueprint.config)
    ):
        save_atomically(blueprint.local, lambda path: blueprint.make(path).save(value))
    else:
        dataset.save(value)


def check_present(blueprint: Blueprint) -> None:
    """
    Say early, and better than the dataset would, that there is no file.

    Raises:
        FileNotFoundError: With the nearest name in the folder.
    """
    path = blueprint.plain_file
    if path is None or path.exists():
        return
    if not path.parent.is_dir():
        raise FileNotFoundError("the file does not exist, nor does its folder")
    near = get_close_matches(path.name, [beside.name for beside in path.parent.iterdir()], n=1)
    raise FileNotFoundError(f"the file does not exist{f'; its folder holds {near[0]!r}' if near else ''}")


def _reads_a_file(dataset: Any) -> bool:
    from kedro.io.core import AbstractVersionedDataset

    if isinstance(dataset, AbstractVersionedDataset):
        return True
    parameters = inspect.signature(type(dataset)).parameters
    return "filepath" in parameters and not parameters.keys() & _NO_FILE


def _walked(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """A file, or all files of a folder by their path in it."""
    if not path.is_dir():
        yield name, path
        return
    for folder, _, files in os.walk(path):
        for file in files:
            whole = Path(folder, file)
            yield f"{name}/{whole.relative_to(path).as_posix()}", whole


def _remote(blueprint: Blueprint, dataset: Any) -> list[tuple[str, str]]:
    """Name and hash of each file behind a path with a protocol; all of them are read."""
    from kedro.io.core import get_filepath_str
    from kedro.utils import HTTP_PROTOCOLS

    filesystem, protocol = dataset._fs, dataset._protocol
    path = get_filepath_str(dataset._get_load_path(), protocol)
    paths = [path] if protocol in HTTP_PROTOCOLS else sorted(filesystem.find(path))
    if not paths:
        raise FileNotFoundError(f"there is nothing at {blueprint.written}")
    hashes = []
    for each in paths:
        with filesystem.open(each, "rb") as file:
            hashes.append((each.removeprefix(path), hash_stream(file)))
    return hashes


def _fresh_version() -> str:
    """A version no save of this process had before: Kedro's have the resolution of a millisecond."""
    from kedro.io.core import generate_timestamp

    with _version_lock:
        while (version := generate_timestamp()) == _last_version[0]:
            time.sleep(0.0002)
        _last_version[0] = version
    return version


_last_version = [""]
_version_lock = Lock()

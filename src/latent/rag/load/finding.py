"""From paths and patterns to the files that they mean: here, or on any file system that fsspec knows."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latent.errors import IngestionError, NoDocumentsError, SourceConnectionError, UnreadableDocumentError
from latent.errors.text import nearest

_PROTOCOL = re.compile(r"(?P<protocol>[a-zA-Z][a-zA-Z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
_LOCAL_PROTOCOLS = ("file", "local")
_MAGIC = re.compile(r"[*?\[]")
_WEB = re.compile(r"https?://[^/?#]*(?P<path>[^?#]*)", re.IGNORECASE)
_USER = re.compile(r"((?:https?|s?ftp|ssh|smb|webdavs?|webhdfs)://)[^/@]*@")
"""The user and password of an address; `container@account` of other file systems is none."""
_SIGNED = re.compile(
    r"\?(?:.*&)?(?:x-amz-signature|x-goog-signature|signature|sig)=.*", re.IGNORECASE | re.DOTALL
)
"""A query that gives access to its holder, and that differs each time: it says until when."""
_TOKEN = re.compile(r"(?:(?:access_)?token|api_?key)=", re.IGNORECASE)
"""A part of a query that gives access; what stands beside it may tell one document from another."""


def find_documents(patterns: Sequence[str] | str, *, root: Path | str) -> list[str]:
    """
    The files that paths and patterns mean, each once, in alphabetical order.

    `*` stands for any part of a name, `**` for any folders, `?` for a character, `[ab]` for one of them;
    names that begin with a dot have to be written out. A file that is called like a pattern is meant by it.
    In a web address, `?` begins the query. An address of which nobody can tell whether anything lies there,
    since its server is down or refuses, counts as found: loading it says why it cannot be read.

    Args:
        patterns: Paths relative to `root`, absolute ones, `~/...`, or URLs that fsspec knows (`s3://...`).
        root: The folder that paths start from, usually the workspace.

    Returns:
        Paths relative to `root` with slashes, absolute ones where they lie outside, and URLs.

    Raises:
        NoDocumentsError: A pattern fits no file.
        IngestionError: A file system that is not known, or of which a pattern asks what cannot be listed.
    """
    found, missing = look_for_documents(patterns, root=root)
    if missing:
        raise missing[0]
    return found


def look_for_documents(
    patterns: Sequence[str] | str, *, root: Path | str
) -> tuple[list[str], list[NoDocumentsError]]:
    """
    As `find_documents`, with the patterns that fit no file told, not raised: what is gone may be meant.

    Raises:
        IngestionError: A file system that is not known, or of which a pattern asks what cannot be listed.
    """
    found: set[str] = set()
    missing: list[NoDocumentsError] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        try:
            if not isinstance(pattern, str | os.PathLike) or not str(pattern):
                hint = "write a path or a pattern, say 'docs/**/*.md'."
                raise NoDocumentsError(str(pattern), str(root), hint)
            url = remote_url(str(pattern))
            found.update(_remote(url) if url else _local(without_protocol(str(pattern)), Path(root)))
        except NoDocumentsError as error:
            missing.append(error)
    return sorted(found), missing


def remote_url(path: str) -> str | None:
    """`path` when it is a URL of somewhere else; None when it is a path of this machine."""
    match = _PROTOCOL.match(path)
    return path if match and match["protocol"].lower() not in _LOCAL_PROTOCOLS else None


def shown(path: str) -> str:
    """
    What a path or URL is called wherever it is stored or printed.

    A URL has no credentials in it, and a name in no encoding has its odd bytes escaped.
    """
    if remote_url(path):
        path = _without_tokens(_SIGNED.sub("", _USER.sub(r"\1", path)))
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path


def fits(source: str, patterns: Sequence[str] | str, *, root: Path | str) -> bool:
    """Whether one of the patterns means what is called `source`, whether or not it exists."""
    listed = [patterns] if isinstance(patterns, str) else patterns
    return any(_fits(source, str(pattern), Path(root)) for pattern in listed)


def without_protocol(path: str) -> str:
    """A path of this machine without the `file://` that it may have."""
    match = _PROTOCOL.match(path)
    return match["rest"] if match else path


def file_system(url: str) -> tuple[Any, str]:
    """
    The file system of a URL, and the path in it.

    Raises:
        IngestionError: fsspec does not know it, or lacks the package for it.
    """
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    try:
        filesystem, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise IngestionError(f"{shown(url)} cannot be reached: {error}") from error
    return filesystem, path


def kind_of(filesystem: Any, path: str) -> str | None:
    """
    What lies there: `file`, `directory` or something else; None for nothing.

    Errors are the file system's own.
    """
    protocol: str | tuple[str, ...] = filesystem.protocol
    if "http" in ((protocol,) if isinstance(protocol, str) else protocol):
        # Its `info` takes a server that does not answer for a file that is not there.
        return "file" if filesystem.exists(path, strict=True) else None
    try:
        return str(filesystem.info(path)["type"])
    except FileNotFoundError:
        return None


def _without_tokens(url: str) -> str:
    place, _, query = url.partition("?")
    parts = query.split("&")
    kept = [part for part in parts if not _TOKEN.match(part)]
    if kept == parts:
        return url
    return f"{place}?{'&'.join(kept)}" if kept else place


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """
    Errors of a file system elsewhere as ours.

    Raises:
        UnreadableDocumentError: There is no such file, it is a folder, or it may not be read.
        SourceConnectionError: Anything else.
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UnreadableDocumentError(shown(url), trouble(error)) from None
    except Exception as error:
        # Each file system has errors of its own, many with the whole address in their words: not chained.
        status = getattr(error, "status", None)
        status = status if isinstance(status, int) else None
        said = type(error).__name__ if status is None else f"HTTP {status}"
        raise SourceConnectionError(shown(url), said, status) from None


def trouble(error: Exception) -> str:
    """Why a file cannot be read, in our words where they are clearer than the system's."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file."
    if isinstance(error, IsADirectoryError):
        return "it is a folder."
    if isinstance(error, PermissionError):
        return "you may not read it."
    return f"{getattr(error, 'strerror', None) or error}."


def _remote(url: str) -> list[str]:
    filesystem, path = file_system(url)
    is_pattern = _is_pattern(path)
    try:
        kind = kind_of(filesystem, path)
    except Exception:  # each file system has errors of its own
        if not is_pattern:
            return [url]
        kind = None
    if kind == "file":
        return [url]
    matches: list[str] = []
    if is_pattern:
        with reaching(url):
            matches = [each for each in filesystem.glob(path) if filesystem.isfile(each)]
    if not matches:
        hint = f"it is a folder: write '{shown(url).rstrip('/')}/**' for what is in it."
        raise NoDocumentsError(
            shown(url), "that place", "look at the path and its spelling." if kind is None else hint
        )
    return [str(filesystem.unstrip_protocol(each)) for each in matches]


def _is_pattern(path: str) -> bool:
    """Whether a path elsewhere is a pattern; the query of a web address, which begins with `?`, is none."""
    web = _WEB.match(path)
    return re.search(r"[*\[]", web["path"]) is not None if web else _MAGIC.search(path) is not None


def _local(pattern: str, root: Path) -> list[str]:
    written = os.path.expanduser(pattern)  # noqa: PTH111 - a pattern is not a path yet
    if (root / written).is_file():
        return [_label(root / written, root)]
    if _MAGIC.search(written):
        files = [_label(root / match, root) for match in _matches(written, root) if (root / match).is_file()]
        if files:
            return files
    raise NoDocumentsError(pattern, str(root), _hint(root / written, pattern))


def _matches(pattern: str, root: Path) -> Iterator[str]:
    """
    The paths that fit a pattern; folders below a `**` each once, by their own paths if these are meant, too.

    A link to a folder above would lead down to the same files forty times, and two of them without an end.
    """
    parts = pattern.replace(os.sep, "/").split("/")
    if "**" not in parts:
        # Not `Path.glob`, which takes no absolute patterns.
        yield from glob.iglob(pattern, root_dir=root)  # noqa: PTH207
        return
    at = parts.index("**")
    above, below = "/".join(parts[:at]), "/".join(parts[at + 1 :]) or "*"
    tops = glob.iglob(above + "/", root_dir=root) if at else [""]  # noqa: PTH207
    for top in tops:
        for folder in _folders(root / top):
            yield from (str(folder / match) for match in _matches(below, folder))


def _folders(top: Path) -> Iterator[Path]:
    """A folder and all in it but hidden ones; what links lead to comes last, and nothing comes twice."""
    seen: set[str] = set()
    waiting: list[Path] = [top]
    links: list[Path] = []
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        yield folder
        try:
            inner = [each for each in os.scandir(folder) if not each.name.startswith(".") and each.is_dir()]
        except OSError:  # it may not be read, as `glob` finds
            continue
        for each in sorted(inner, key=lambda each: each.name, reverse=True):
            (links if each.is_symlink() else waiting).append(folder / each.name)


def _fits(source: str, pattern: str, root: Path) -> bool:
    from fsspec.utils import glob_translate  # type: ignore[import-untyped]

    if remote_url(pattern):
        # Without their protocols, of which some are written in two ways.
        named, source = (shown(url).partition("://")[2] for url in (pattern, source))
    else:
        written = os.path.expanduser(without_protocol(pattern))  # noqa: PTH111
        named = shown(_label(root / written, root))
    if source == named:
        return True
    if _WEB.match(pattern):
        place, mark, query = named.partition("?")
        named = place + glob.escape(mark + query)
    # Only as a whole part of a path does `**` mean more than `*`.
    parts = [part if part == "**" else re.sub(r"\*+", "*", part) for part in named.split("/")]
    return re.fullmatch(glob_translate("/".join(parts)), source) is not None


def _hint(path: Path, pattern: str) -> str:
    if path.is_dir():
        return f"it is a folder: write '{pattern.rstrip('/')}/**/*' for all that is in it."
    if not _MAGIC.search(pattern):
        try:
            names = [each.name for each in path.parent.iterdir()]
        except OSError:
            return f"there is no folder {path.parent}."
        if near := nearest(path.name, names):
            return f"did you mean {near!r}?"
    return "look at the spelling; paths start from that folder."


def _label(path: Path, root: Path) -> str:
    """How a file is called from now on: the same, however it was written."""
    plain = Path(os.path.normpath(path))
    base = Path(os.path.normpath(root))
    return plain.relative_to(base).as_posix() if plain.is_relative_to(base) else plain.as_posix()

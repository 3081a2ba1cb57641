"""By what a file is read, in which version: another reader may find another text in the same bytes."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path

from latent.rag.load.loading import TABLES, ReadingOptions, file_name
from latent.rag.load.office.reading import MEDIA_TYPES, PACKAGE

EDITION = 2
"""Of our own part in reading; changes when the same file gives another text, or other metadata."""
_HTML = (".html", ".htm", ".xhtml")


def reader_of(written: str, options: ReadingOptions, root: Path) -> str:
    """
    The name and version of what reads the file at a path or URL, with the options that it heeds.

    Of a reader of the user's own, its code; without a blank.

    Args:
        root: The workspace's.
    """
    suffix = file_name(written).suffix.lower()
    if (loader := options.loaders.get(suffix)) is not None:
        from latent.cache.code import code_fingerprint

        name = getattr(loader, "__qualname__", type(loader).__qualname__)
        return f"{name}@{code_fingerprint(loader, root).digest[:16]}"
    if suffix in MEDIA_TYPES:
        return f"{PACKAGE}-{_version(PACKAGE)}+{EDITION}"
    if suffix == ".pdf":
        return f"pypdfium2-{_version('pypdfium2')}+{EDITION}"
    said = {"encoding": options.encoding}
    if suffix in TABLES:
        said |= {"text_field": options.text_field, "title_field": options.title_field}
    name = f"html-to-markdown-{_version('html-to-markdown')}" if suffix in _HTML else "latent"
    return "".join(
        [f"{name}+{EDITION}", *(f",{key}={value!r}" for key, value in said.items() if value)]
    ).replace(" ", "_")


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"

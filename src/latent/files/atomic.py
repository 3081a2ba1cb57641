"""Small files that are replaced whole: a reader sees the old content or the new, never half."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`; None when the file is missing, unreadable or holds something else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def replace_file(path: Path, content: bytes) -> None:
    """
    Put `content` in the place of `path` in one step: a reader sees the old file or the new one.

    Raises:
        OSError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(new, path)  # noqa: PTH105 - the same call, said with the name that promises atomicity
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise


def replace_json(path: Path, content: dict[str, Any]) -> None:
    """Put the JSON object `content` in the place of `path` in one step."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    replace_file(path, orjson.dumps(content, default=str, option=options) + b"\n")

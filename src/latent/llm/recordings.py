"""
Recorded answers: JSON Lines in a folder that is committed, a file for each model and a line for each call.

A line is found by what was asked: the model's name, what it was told, and the parameters. Where it was asked
and with which key is not part of that: what one machine recorded through a gateway, another one reads without
any. Lines stand in the order of their ids, so that two branches that both record seldom meet in one place.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.config import ensure_private_dir, masker_for
from latent.config.stamps import stamp
from latent.errors import RecordingError, RecordingMissError
from latent.files import FileLock, replace_file
from latent.llm.recorded_words import what_differs

if TYPE_CHECKING:
    from latent.config import Workspace

ID, ANSWER = "id", "answer"
_ID_CHARS = 16
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
_EXPLAINED = 3
"""Of so many misses, what comes nearest is looked for, which takes a while; later ones are like them."""


@dataclass(frozen=True)
class Call:
    """One thing that a model is asked, as far as it decides the answer."""

    spec: str
    asked: Mapping[str, Any]
    """`prompt` or `text`, and what else is set; JSON values."""

    @cached_property
    def id(self) -> str:
        """The same for the same call, on every machine."""
        content = json.dumps({"model": self.spec, **self.asked}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:_ID_CHARS]


class Recording:
    """The recorded answers of a workspace; safe in threads, and beside other processes that record."""

    def __init__(self, workspace: Workspace) -> None:
        settings = workspace.settings.recordings
        self.is_replay = settings.mode == "replay"
        self.folder = workspace.root / settings.folder
        self._mask = masker_for(workspace)
        self._label = workspace.label(self.folder)
        self._lock_file = workspace.state_dir / "recordings.lock"
        self._changing = Lock()
        self._misses = 0
        self.stamps = _stamps(self.folder)
        self._lines = {line[ID]: line for file in self.stamps for line in _read(file, workspace.label(file))}
        self._new: set[Path] = set()

    def find(self, call: Call) -> Any:
        """The recorded answer to a call, as `keep` was given it; None where there is none."""
        line = self._lines.get(call.id)
        return None if line is None else line[ANSWER]

    def keep(self, call: Call, answer: Any) -> None:
        """Record an answer, in JSON values; it is in the file when this returns. Secrets are masked in it."""
        line = self._mask.data({ID: call.id, "model": call.spec, **call.asked, ANSWER: answer})
        file = self.folder / f"{_NOT_IN_NAMES.sub('-', call.spec)}.jsonl"
        with self._changing, self._locked():
            if call.id in self._lines:
                return
            self._lines[call.id] = line
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._new:
                atexit.register(self.put_in_order)
            if file not in self._new:
                self._new.add(file)
                self._sort(file)  # half a line at its end would spoil the next one
            with file.open("ab") as lines:
                lines.write(_dumped(line))

    def missing(self, call: Call) -> RecordingMissError:
        """The error for a call that is not recorded."""
        self._misses += 1
        if not self._lines:
            nearest = "Nothing is recorded there."
        elif self._misses > _EXPLAINED:
            nearest = f"It is the {self._misses:,}th such call: see the first ones for what differs."
        else:
            nearest = what_differs({"model": call.spec, **call.asked}, list(self._lines.values()))
        return RecordingMissError(call.spec, self._label, nearest)

    def put_in_order(self) -> None:
        """Sort the files that were written, and leave out lines that stand twice."""
        with self._changing, self._locked():
            for file in self._new:
                self._sort(file)
            self._new.clear()

    def _sort(self, file: Path) -> None:
        if not file.exists():
            return
        lines = {line[ID]: line for line in _read(file, f"{self._label}/{file.name}")}
        replace_file(file, b"".join(_dumped(lines[each]) for each in sorted(lines)))
        file.chmod(0o644)  # for everybody who has the project, unlike what is private to a user

    def _locked(self) -> FileLock:
        ensure_private_dir(self._lock_file.parent)
        return FileLock(self._lock_file)


_open: dict[tuple[Path, str, str], Recording] = {}
_opening = Lock()


def recording_of(workspace: Workspace) -> Recording | None:
    """
    The recorded answers that runs of a workspace go by; None where models are asked as usual.

    Raises:
        RecordingError: A line of theirs cannot be read.
    """
    settings = workspace.settings.recordings
    if settings.mode == "off":
        return None
    place = (workspace.root, settings.folder, settings.mode)
    with _opening:
        known = _open.get(place)
        # A recording process writes the files; while they are replayed, another process may.
        if known is None or (known.is_replay and known.stamps != _stamps(known.folder)):
            known = _open[place] = Recording(workspace)
        return known


def _stamps(folder: Path) -> dict[Path, object]:
    return {file: stamp(file) for file in sorted(folder.glob("*.jsonl"))}


def _read(file: Path, label: str) -> Iterator[dict[str, Any]]:
    lines = file.read_bytes().splitlines(keepends=True)
    for number, text in enumerate(lines, start=1):
        if number == len(lines) and not text.endswith(b"\n"):
            continue  # the process that wrote it was killed
        try:
            line = json.loads(text)
        except ValueError as error:
            mark = "a conflict of git's that was left in it" if text[:7] in _CONFLICT else str(error)
            raise RecordingError(label, number, f"{mark}. Resolve it, or delete the line.") from error
        if not isinstance(line, dict) or not {ID, "model", ANSWER} <= line.keys():
            raise RecordingError(label, number, "it lacks `id`, `model` or `answer`. Delete the line.")
        yield line


_CONFLICT = (b"<<<<<<<", b"=======", b">>>>>>>")


def _dumped(line: Mapping[str, Any]) -> bytes:
    # A lone surrogate, which UTF-8 has no form for, becomes its escape, which JSON reads as the same.
    return json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

"""
One run's folder, as the spool's thread writes it: numbered and masked lines, and run.json around them.

Everything here runs on that thread. Trouble with the disk is said once and tried again; it never reaches
the run.
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent import __version__
from latent.config import Masker, ensure_private_dir, masker_for
from latent.errors import WorkspaceError
from latent.files import replace_json
from latent.tracking import writer_process
from latent.tracking.folders import Destination, RunFolder
from latent.tracking.jsonable import json_line, plain, read_lines
from latent.tracking.records import SUCCESSFUL, SpanRecord, TaskRecord
from latent.tracking.rows import RowParts
from latent.tracking.summary import RunSummary, rows_of, summarize

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.tracking.records import RowRecord, RunInfo

_PACKAGES = (
    "latent-flows",
    "prefect",
    "mlflow",
    "pydantic",
    "kedro",
    "kedro-datasets",
    "pandas",
    "pyarrow",
    "numpy",
    "scipy",
    "openai",
    "anthropic",
)
_GIT_TIMEOUT_SECONDS = 10.0
# One look serves runs that start together, such as a flow's subflows.
_FRESH_SECONDS = 10.0

_known: dict[Path, tuple[float, dict[str, Any]]] = {}


def look_up(root: Path, then: Callable[[dict[str, Any]], None]) -> None:
    """Find out about the code under `root` beside the run and hand it to `then`: at once when it is known."""
    known = _known.get(root)
    if known is not None and time.monotonic() - known[0] < _FRESH_SECONDS:
        then(known[1])
        return

    def find_out() -> None:
        found = provenance(root)
        _known[root] = (time.monotonic(), found)
        then(found)

    threading.Thread(target=find_out, name="latent-provenance", daemon=True).start()


def provenance(root: Path) -> dict[str, Any]:
    """`git` (None outside a repository), `packages` and `python`, as they are now."""
    return {"git": git_state(root), "packages": package_versions(), "python": sys.version.split()[0]}


def package_versions() -> dict[str, str]:
    """The installed versions of the packages that results can depend on."""
    found = {_PACKAGES[0]: __version__}  # also from a source tree that is not installed
    for name in _PACKAGES[1:]:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def git_state(root: Path) -> dict[str, Any] | None:
    """`commit`, `branch` and whether anything differs from it; None outside a repository or without git."""
    command = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch", "--untracked-files=normal"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT_SECONDS,
            check=True,
            # Without this, reading the state takes the index lock and disturbs a commit made meanwhile.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    header = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# ") and line.count(" ") >= 2)
    commit = header.get("branch.oid", "")
    return {
        "commit": None if commit in ("", "(initial)") else commit,
        "branch": header.get("branch.head"),
        "dirty": any(not line.startswith("#") for line in lines),
    }


class LineFile:
    """
    Whole lines, appended by one process.

    The file is opened for each batch: nothing stays open, and a folder deleted by hand is noticed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size: int | None = None

    def append(self, lines: bytes) -> None:
        """
        Append `lines`, each ending with a newline, all of them or none.

        Raises:
            OSError: The disk is full or the folder is gone or read-only; what was written is taken back.
        """
        if not lines:
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            if self._size is None or self._size != os.fstat(descriptor).st_size:
                self._size = _whole_lines(self.path)
                os.ftruncate(descriptor, self._size)
            os.lseek(descriptor, self._size, os.SEEK_SET)
            view = memoryview(lines)
            try:
                while view:
                    view = view[os.write(descriptor, view) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, self._size)
                raise
            self._size += len(lines)
        finally:
            os.close(descriptor)


def _whole_lines(path: Path) -> int:
    """Where to go on: behind the last whole line. A process that was killed may have left half of one."""
    content = path.read_bytes()
    return content.rfind(b"\n") + 1


logger = logging.getLogger("latent.tracking")

MAX_SPANS = 1_000
"""Task spans in one trace; further ones are kept only for failures, a tenth as many."""
MAX_STEPS = 500
"""Values of one task's metrics that are sent one by one; further ones only count in the sums."""
_MAX_LISTED_DATASETS = 500
_EXPECTED = SUCCESSFUL | {"skipped"}
"""Outcomes that leave nobody wondering what went wrong."""
_MAX_WAITING_BYTES = 64_000_000


class Journal:
    """The writing side of one `RunRecorder`; a sink of the spool."""

    def __init__(
        self, workspace: Workspace, info: RunInfo, folder: RunFolder, target: Destination, *, tracked: bool
    ) -> None:
        self.workspace = workspace
        self.info = info
        self.folder = folder
        self.target = target
        self.tracked = tracked
        self.dropped = 0
        self._tasks = LineFile(folder.tasks_file)
        self._events = LineFile(folder.events_file)
        self._rows = RowParts(folder, lambda: self.masker)
        self._task_lines = bytearray()
        self._event_lines = bytearray()
        self._summary = RunSummary()
        self._failed_spans = self._inner_spans = 0
        self._run: dict[str, Any] = {}
        self._run_changed = False
        self._ended = False
        self._end: Mapping[str, Any] | None = None
        """What was told of the end."""
        self._end_lines: int | None = None
        """How many lines of the table of tasks the written end takes into account."""
        self._in_haste = False
        """Whether a caller waits for what was told so far, the rows included."""
        self._warned = False

    @cached_property
    def masker(self) -> Masker:
        """Knows the workspace's secrets as they were when the run started."""
        return masker_for(self.workspace)

    @property
    def has_unsaved(self) -> bool:
        """Whether something was told that is not on disk yet."""
        return bool(self._run_changed or self._task_lines or self._event_lines or self._rows.has_unsaved)

    # The spool's side

    def write(self, items: Sequence[Any]) -> None:
        """Number and mask `items`, and append them to the run's files; rows may wait for a few seconds."""
        for item in items:
            if isinstance(item, TaskRecord):
                self._add_task(item)
            elif isinstance(item, SpanRecord):
                self._add_span(item)
            else:
                kind, content = item
                self._handle(kind, content)
        if self._end is not None and self._end_lines != self._summary.lines:
            self._close_account(self._end)
        self._save()

    def tick(self) -> bool:
        """Write what has waited or failed, and see that a writer lives; False when all is done."""
        if self.has_unsaved:
            self._save()
        elif self.tracked and not self._ended:
            self._summon_writer()
        return self.has_unsaved or not self._ended

    # Lines

    def _handle(self, kind: str, content: Any) -> None:
        handlers: dict[str, Callable[[Any], None]] = {
            "start": self._start,
            "finish": self._finish,
            "dataset": self._dataset,
            "provenance": self._provenance,
            "rows": self._add_rows,
            "flush": self._flush,
        }
        handler = handlers.get(kind)
        if handler is None:
            self._add_event(kind, content)
        else:
            handler(content)

    def _add_task(self, record: TaskRecord) -> None:
        index = self._summary.lines
        line = _fields(record)
        task = self._summary.add(line)
        failed = any(rows and outcome not in _EXPECTED for outcome, rows in rows_of(line).items())
        line["span"] = index < MAX_SPANS or (failed and self._failed_spans < MAX_SPANS // 10)
        line["step"] = task.lines - 1 if task.lines <= MAX_STEPS else None
        if index >= MAX_SPANS and failed:
            self._failed_spans += 1
        if not line["span"]:
            # What no span shows is not kept for each of a million rows.
            line |= {"inputs": None, "output": None, "attributes": {}}
        for name in ("inputs", "output", "attributes", "error"):
            if line[name]:
                line[name] = self.masker.data(line[name])
        self._task_lines += json_line({"index": index, **line})

    def _add_span(self, record: SpanRecord) -> None:
        self._inner_spans += 1
        if self._inner_spans <= MAX_SPANS:  # a million calls of a model would be as many lines
            self._add_event("span", _fields(record))

    def _add_rows(self, records: Sequence[RowRecord]) -> None:
        self.dropped += self._rows.add(records)

    def _flush(self, _: object) -> None:
        self._in_haste = True

    def _add_event(self, kind: str, content: Mapping[str, Any]) -> None:
        masked = self.masker.data(dict(content))
        self._event_lines += json_line({"event": kind, **masked})

    # The run's own story

    def _start(self, started: Mapping[str, Any]) -> None:
        info = self.info
        if self.folder.tasks_file.exists():  # the same run again: a retried flow goes on in its folder
            self._summary = summarize(read_lines(self.folder.tasks_file.read_bytes()))
        parameters = self.masker.data(plain(info.parameters))
        self._run = {
            "version": 1,
            "run_id": info.run_id,
            "flow": info.flow_name,
            "run_name": info.run_name,
            "parent_run_id": info.parent_run_id,
            "state": "running",
            "started_at": info.started_at,
            "finished_at": None,
            "duration_seconds": None,
            "parameters": parameters,
            "command": self.masker.data(list(info.command)),
            "environment": info.environment,
            "tags": self.masker.data(dict(info.tags)),
            "tracked": self.tracked,
            "tracking_uri": self.target.shown_uri if self.tracked else None,
            "tracking_folder": self.target.folder.name if self.tracked else None,
            "holder": started["holder"],
            "pid": os.getpid(),
            "host": platform.node(),
            "provenance": None,
            "outcomes": {},
            "tasks": [],
            "models": {},
            "datasets": [],
            "error": None,
            "result_preview": None,
        }
        self._run_changed = True
        configuration = {"parameters": info.parameters} if info.configuration is None else info.configuration
        self._add_event("start", {"configuration": plain(configuration)})
        look_up(self.workspace.root, started["tell"])

    def _provenance(self, found: Mapping[str, Any]) -> None:
        self._run["provenance"] = dict(found)
        self._run_changed = True
        self._add_event("provenance", found)

    def _dataset(self, content: Mapping[str, Any]) -> None:
        event = {**content, **_file_state(content["path"])}
        if len(self._run["datasets"]) < _MAX_LISTED_DATASETS:
            self._run["datasets"].append(self.masker.data(event))
            self._run_changed = True
        self._add_event("dataset", event)

    def _finish(self, content: Mapping[str, Any]) -> None:
        self._ended = True
        self._end = self.masker.data(dict(content))

    def _close_account(self, masked: Mapping[str, Any]) -> None:
        """Write the end down; once more when a call that was still under way is told of behind it."""
        self._end_lines = self._summary.lines
        self._run |= {
            "state": masked["outcome"],
            "finished_at": masked["finished_at"],
            "duration_seconds": max(masked["finished_at"] - self.info.started_at, 0.0),
            "outcomes": self._summary.outcomes,
            "tasks": self.masker.data(self._summary.as_list()),
            "error": masked["error"],
            "result_preview": masked["result_preview"],
            "models": masked["models"],
            "dropped": self.dropped,
        }
        self._run_changed = True
        self._add_event("finish", {**masked, "tasks": self._summary.as_list(), "dropped": self.dropped})

    # The disk

    def _save(self) -> None:
        # Rows and tasks first: a reader of the run's end in the events then finds all of them.
        self._save_rows()
        try:
            if self._run_changed:
                ensure_private_dir(self.folder.path)
                if not self.folder.run_file.exists():
                    replace_json(self.folder.run_file, self._run)
            self._tasks.append(bytes(self._task_lines))
            self._task_lines.clear()
            self._events.append(bytes(self._event_lines))
            self._event_lines.clear()
            if self._run_changed:
                replace_json(self.folder.run_file, self._run)
                self._run_changed = False
            if self.tracked:
                self._summon_writer()
        except (OSError, WorkspaceError) as error:
            self._complain(error)

    def _save_rows(self) -> None:
        try:
            self._rows.save(now=self._in_haste or self._ended)
            self._in_haste = False
        except (OSError, WorkspaceError) as error:
            self._complain(error)

    def _summon_writer(self) -> None:
        writer_process.announce(self.target, self.folder.run_id)
        writer_process.ensure_writer(self.workspace, self.target)

    def _complain(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "The run's records cannot be written to %s (%s). The run goes on; what is recorded meanwhile "
                "is written as soon as that works again.",
                self.folder.path,
                error,
            )
        if len(self._task_lines) > _MAX_WAITING_BYTES:
            self.dropped += self._task_lines.count(b"\n")
            self._task_lines.clear()


def _fields(record: TaskRecord | SpanRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _file_state(path: str | None) -> dict[str, Any]:
    """Size and time of a dataset's file, by which the writer tells whether it still holds the same data."""
    try:
        stat = os.stat(path) if path and "://" not in path else None  # noqa: PTH116 - texts may be no valid path
    except (OSError, ValueError):
        stat = None
    return {"size_bytes": stat and stat.st_size, "mtime_ns": stat and stat.st_mtime_ns}

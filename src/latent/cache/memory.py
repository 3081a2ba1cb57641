"""The memory: what was computed before and still counts."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Literal

from latent.cache.code import CodeFingerprint
from latent.cache.codecs import DamagedValueError, UnreadableValueError, decode, encode
from latent.cache.entry import (
    Entry,
    Hit,
    ParameterReader,
    Result,
    Verdict,
    Version,
    brief_reason,
    part_reasons,
    reasons,
    verdict_on,
)
from latent.cache.leases import Lease, Leases
from latent.cache.sqlite import SQLiteStore
from latent.errors import CacheError, UnstorableError

if TYPE_CHECKING:
    from latent.cache.store import Store, StoreStats
    from latent.config.workspace import Workspace

_log = logging.getLogger("latent.cache")

OnCodeChange = Literal["recompute", "warn", "reuse"]

KEYS_AT_ONCE = 1_000
_VERSIONS_KEPT = 1_024
_RECENT_ENTRIES = 500
"""How many entries of a task are compared to explain a miss."""


class Memory:
    """
    Remembered results by key, each recalled only while its code and parameters are what they were.

    Args:
        store: Where the entries lie.
        leases: Who works on what; None: work in flight is not shared.
        on_code_change: What to do with an entry whose code has changed: compute again, use it and say
            so once, or use it.
        allow_pickle: Also remember, and read, values that only pickle can store.
        clock: Unix seconds; entries expire by it.
    """

    def __init__(
        self,
        store: Store,
        *,
        leases: Leases | None = None,
        on_code_change: OnCodeChange = "recompute",
        allow_pickle: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._leases = leases
        self._on_code_change = on_code_change
        self._allow_pickle = allow_pickle
        self._clock = clock
        self._versions: dict[tuple[object, ...], Version] = {}
        self._told: set[tuple[str, str]] = set()

    def recall(
        self,
        key: str,
        *,
        code: CodeFingerprint | None,
        parameter: ParameterReader,
        missed: dict[str, str] | None = None,
    ) -> Hit | None:
        """
        The newest value under `key` that still counts; None when there is none.

        Args:
            code: Today's code; None: only entries that depend on no code count.
            parameter: Gives today's fingerprint of a parameter that was read when the value was computed.
            missed: Is told in a few words why none counts, by key, where there is something under it.
        """
        return self.recall_many((key,), code=code, parameter=parameter, missed=missed).get(key)

    def recall_many(
        self,
        keys: Iterable[str],
        *,
        code: CodeFingerprint | None,
        parameter: ParameterReader,
        missed: dict[str, str] | None = None,
        codes: Mapping[str, CodeFingerprint] | None = None,
    ) -> dict[str, Hit]:
        """
        The hits among `keys`, read in one go; keys without one are left out. For the rest see `recall`.

        Args:
            codes: Of the keys that depend on other code than `code`, as calls with objects of the user's do.
        """
        if codes:
            found: dict[str, Hit] = {}
            for group, each in _by_code(keys, code, codes):
                found |= self.recall_many(group, code=each, parameter=parameter, missed=missed)
            return found
        now = self._clock()
        counts = self._judge(code, parameter)
        explain = self._explain(code, parameter, now)
        hits = {}
        wanted = list(dict.fromkeys(keys))
        # In steps: the next one uses the memory again that the bytes of this one took.
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            for key, entries in self.store.get_many(wanted[start : start + KEYS_AT_ONCE]).items():
                hit = self._choose(entries, code, counts, now)
                if hit is not None:
                    hits[key] = hit
                elif missed is not None:
                    missed[key] = explain(entries)
        return hits

    def remember(
        self,
        key: str,
        value: object,
        *,
        task: str,
        kind: str = "task",
        code: CodeFingerprint | None = None,
        parameters_read: Mapping[str, str] | None = None,
        key_parts: Mapping[str, str] | None = None,
        expires_in: timedelta | None = None,
        outputs: Mapping[str, str] | None = None,
    ) -> Entry:
        """
        Remember a value under `key`; it is committed when this returns, unless the store said that it cannot.

        Raises:
            UnstorableError: The value would not come back exactly as it is.
        """
        result = Result(
            key=key, value=value, task=task, kind=kind, code=code, parameters_read=parameters_read or {},
            key_parts=key_parts or {}, expires_in=expires_in, outputs=outputs or {},
        )  # fmt: skip
        entry = self._entry(result)
        self.store.set_many([entry])
        return entry

    def remember_many(self, results: Iterable[Result]) -> list[Entry | CacheError]:
        """
        Remember values in one transaction.

        In the place of each that is not remembered stands why: an `UnstorableError` when the value cannot be
        stored, another `CacheError` for all of them when the store can take no more.
        """
        kept: list[Entry | CacheError] = []
        for result in results:
            try:
                kept.append(self._entry(result))
            except UnstorableError as error:
                kept.append(error)
        entries = [entry for entry in kept if isinstance(entry, Entry)]
        if self.store.set_many(entries) or (trouble := self.store.full) is None:
            return kept
        return [CacheError(trouble) if isinstance(each, Entry) else each for each in kept]

    def set_outputs(self, entry: Entry, outputs: Mapping[str, str]) -> Entry:
        """The entry with the fingerprints of the datasets saved from its value, noted in the store."""
        self.store.set_outputs(entry, outputs)
        return entry._replace(outputs=dict(outputs))

    def claim(self, key: str, timeout_seconds: float | None = None) -> Lease:
        """
        The lease on `key`; blocks while another thread or process works on it.

        The former holder may have remembered the result meanwhile: recall again after a claim. After
        `timeout_seconds`, a lease without effect: better to work twice than to wait for ever.
        """
        return Lease.idle(key) if self._leases is None else self._leases.acquire(key, timeout_seconds)

    def try_claim(self, key: str, owner: object) -> Lease | None:
        """As `claim`, without waiting: None while another owner than `owner` works on the key."""
        return Lease.idle(key) if self._leases is None else self._leases.claim(key, owner)

    async def claim_async(self, key: str, timeout_seconds: float | None = None) -> Lease:
        """As `claim`, without blocking the event loop."""
        if self._leases is None:
            return Lease.idle(key)
        return await self._leases.acquire_async(key, timeout_seconds)

    @property
    def is_idle(self) -> bool:
        """Whether nobody in this process holds one of its keys."""
        return self._leases is None or self._leases.is_idle

    def clear(
        self,
        *,
        keys: Iterable[str] | None = None,
        task: str | None = None,
        kind: str | None = None,
        expired: bool = False,
    ) -> int:
        """Forget the entries that meet every condition given, all of them without one; how many they were."""
        before = self._clock() if expired else None
        return self.store.delete(keys=keys, task=task, kind=kind, expired_before=before)

    def forget_since(self, keys: Iterable[str], since: float) -> None:
        """Forget what was remembered under `keys` at or after a Unix time; what is older stays."""
        found = self.store.describe_many(keys)
        self.store.discard([entry for each in found.values() for entry in each if entry.created_at >= since])

    def stats(self) -> StoreStats:
        """What is remembered, by task."""
        return self.store.stats(self._clock())

    def why(
        self,
        key: str,
        *,
        task: str,
        code: CodeFingerprint | None,
        parameter: ParameterReader,
        key_parts: Mapping[str, str] | None = None,
    ) -> list[str]:
        """
        Why nothing is recalled under `key`, one sentence a reason; empty when something is.

        Entries under the key are explained by what changed since; without one, the entry of the task that has
        most parts of the key in common is the measure.
        """
        now = self._clock()
        found = [reasons(entry, code, parameter, now) for entry in self.store.get_many([key]).get(key, ())]
        if found:
            return min(found, key=len)
        others = self.store.recent(task, _RECENT_ENTRIES)
        if not others:
            return [f"Nothing is remembered of task {task!r}."]
        differences = [part_reasons(entry, key_parts or {}) for entry in others]
        return min(differences, key=len) or ["It was never remembered under this key."]

    def close(self) -> None:
        """Let go of files; the memory opens them again when it is used again."""
        self.store.close()
        if self._leases is not None:
            self._leases.close()

    def _entry(self, result: Result) -> Entry:
        codec, data = encode(result.value, allow_pickle=self._allow_pickle)
        now = self._clock()
        return Entry(
            key=result.key,
            version=self._version(result),
            codec=codec,
            value=data,
            size_bytes=len(data),
            created_at=now,
            expires_at=None if result.expires_in is None else now + result.expires_in.total_seconds(),
            key_parts=result.key_parts,
            outputs=result.outputs,
        )

    def _version(self, result: Result) -> Version:
        """Rows of one map share their version, so that its digest is made once."""
        code = "" if result.code is None else result.code.digest
        which = (result.task, result.kind, code, tuple(sorted(result.parameters_read.items())))
        version = self._versions.get(which)
        if version is None:
            parts = {} if result.code is None else result.code.parts
            version = Version(result.task, result.kind, code, dict(result.parameters_read), parts)
            if len(self._versions) >= _VERSIONS_KEPT:
                self._versions.clear()
            self._versions[which] = version
        return version

    def _judge(self, code: CodeFingerprint | None, today: ParameterReader) -> Callable[[Version], Verdict]:
        """What to make of the entries of a version; worked out once for all of them."""
        known: dict[int, tuple[Verdict, Version]] = {}

        def judge(version: Version) -> Verdict:
            judged = known.get(id(version))
            if judged is None:
                # With the version itself: the number of one that is gone may become another's.
                judged = known[id(version)] = verdict_on(version, code, today), version
            return judged[0]

        return judge

    @staticmethod
    def _explain(
        code: CodeFingerprint | None, today: ParameterReader, now: float
    ) -> Callable[[Sequence[Entry]], str]:
        """Why none of the entries under a key counts; worked out once for all entries of one version."""
        known: dict[int, tuple[str, Version]] = {}

        def explain(entries: Sequence[Entry]) -> str:
            entry = next((entry for entry in entries if not entry.is_expired(now)), None)
            if entry is None:
                return "expired"
            version = entry.version
            if id(version) not in known:
                known[id(version)] = brief_reason(version, code, today), version
            return known[id(version)][0]

        return explain

    def _choose(
        self,
        entries: Sequence[Entry],
        code: CodeFingerprint | None,
        judge: Callable[[Version], Verdict],
        now: float,
    ) -> Hit | None:
        """The newest entry that counts and can be read."""
        older = []
        for entry in entries:
            if entry.expires_at is not None and entry.expires_at <= now:
                continue
            verdict = judge(entry.version)
            if verdict == "current":
                if (hit := self._hit(entry)) is not None:
                    return hit
            elif verdict == "other code":
                older.append(entry)
        if self._on_code_change == "recompute" or code is None:
            return None
        for entry in older:
            if (hit := self._hit(entry)) is not None:
                self._tell_old_code(entry, code)
                return hit
        return None

    def _hit(self, entry: Entry) -> Hit | None:
        data = entry.value if entry.value is not None else self.store.load(entry)
        if data is None:
            return None
        try:
            value = decode(entry.codec, data, allow_pickle=self._allow_pickle)
            return Hit(value, entry.version, entry.outputs)
        except DamagedValueError as error:
            _log.warning(
                "A remembered result of task %r is damaged (%s): it is computed again.", entry.task, error
            )
            self.store.discard([entry])
        except UnreadableValueError as error:
            # The entry is sound: another version of the code, or another setting, may read it again.
            _log.debug("A remembered result of task %r is not used: %s", entry.task, error)
        return None

    def _tell_old_code(self, entry: Entry, code: CodeFingerprint) -> None:
        if self._on_code_change == "warn" and (entry.task, code.digest) not in self._told:
            self._told.add((entry.task, code.digest))
            changes = " ".join(reasons(entry, code, lambda name: entry.parameters_read[name], 0.0))
            _log.warning(
                "Task %r reuses results that older code computed, since cache.on_code_change is 'warn'. %s "
                "`latent cache clear --task %s` forgets them.",
                entry.task, changes, entry.task,
            )  # fmt: skip


def _by_code(
    keys: Iterable[str], code: CodeFingerprint | None, codes: Mapping[str, CodeFingerprint]
) -> Iterable[tuple[list[str], CodeFingerprint | None]]:
    groups: dict[str, tuple[list[str], CodeFingerprint | None]] = {}
    for key in keys:
        each = codes.get(key, code)
        groups.setdefault("" if each is None else each.digest, ([], each))[0].append(key)
    return groups.values()


def _close_if_idle(memory: Memory) -> None:
    if memory.is_idle:
        memory.close()


_open: dict[Path, tuple[tuple[object, ...], Memory]] = {}
"""By the folder of their store."""
_KEPT_OPEN = 8
"""A process that works on more workspaces reopens their files."""
_open_lock = threading.Lock()


def open_memory(workspace: Workspace) -> Memory:
    """
    The memory of a workspace: one per process, safe in threads, after forks, beside other processes.

    With recorded answers (`[recordings]`) it is an empty one that ends with the process: what is remembered
    on this machine must not hide that something was not recorded.
    """
    if workspace.settings.recordings.mode == "off":
        return open_lasting_memory(workspace)
    return _opened(workspace, _passing_folder(workspace.root))


def open_lasting_memory(workspace: Workspace) -> Memory:
    """The memory in the workspace itself, also where recorded answers take its place."""
    return _opened(workspace, workspace.cache_dir)


@lru_cache(maxsize=_KEPT_OPEN)
def _passing_folder(root: Path) -> Path:
    folder, owner = Path(mkdtemp(prefix="latent-memory-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a fork that ends has inherited this
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _opened(workspace: Workspace, folder: Path) -> Memory:
    settings = workspace.settings.cache
    wanted = (settings.on_code_change, settings.allow_pickle, settings.large_value_bytes)
    known = _open.get(folder)
    if known is not None and known[0] == wanted:
        return known[1]
    with _open_lock:
        known = _open.get(folder)
        if known is None or known[0] != wanted:
            memory = Memory(
                SQLiteStore(folder, large_value_bytes=settings.large_value_bytes),
                leases=Leases(folder / "inflight.lock"),
                on_code_change=settings.on_code_change,
                allow_pickle=settings.allow_pickle,
            )
            if known is not None:
                _close_if_idle(_open.pop(folder)[1])
            elif len(_open) >= _KEPT_OPEN:
                # Closing frees the keys that are worked on, for other processes to work on too.
                oldest = next((place for place, (_, opened) in _open.items() if opened.is_idle), None)
                if oldest is not None:
                    _open.pop(oldest)[1].close()
            known = _open[folder] = (wanted, memory)
        return known[1]

"""How much of a provider's limit is used, and how often it is crossed."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import PREFECT_SERVER, UNTRACKED, Figure, figures_of, measure, paired, start
from benchmarks.subjects.provider import (
    BURST,
    LATENCY_SECONDS,
    PER_SECOND,
    ROWS,
    SLOT_CALLS,
    SLOT_SECONDS,
    SLOTS,
    ideal_seconds,
)
from latent.testing import LogNormal, ProviderSimulator, Record, write_files

SIGMA = 0.3
PROCESSES = 4
MOST_REFUSED_TOGETHER = 0.5
"""Percent of all requests of the processes that get a 429, as for one that is told the limit."""
PREFECT_ROWS = 60
PREFECT_CALLS = 200
"""Prefect is asked for fewer rows and calls: what it takes for each does not depend on their number."""
TOLD = f"[limits.api]\nrequests_per_minute = {PER_SECOND * 60}\nburst = {BURST}\n"
LEARNED = "[limits.api]\n"
HELD = f"[limits.slots]\nconcurrency = {SLOTS}\n"


@dataclass(frozen=True)
class Scenario:
    """How latent comes to know the limit, and what we promise for it."""

    name: str
    settings: str
    headers: str
    least_share: float
    """Percent of the ideal."""
    most_refused: float
    """Percent of all requests that get a 429."""


@dataclass(frozen=True)
class Asked:
    """How a client did, in percent."""

    share: float
    """Of the ideal, which is one row every fiftieth of a second after the burst."""
    refused: float
    """Of its requests, those that got a 429."""


SCENARIOS = (
    Scenario("limit configured", TOLD, "provider", 98.0, 0.5),
    Scenario("learned from headers", LEARNED, "provider", 95.0, 2.0),
    Scenario("no headers at all", LEARNED, "none", 88.0, 4.0),
)


def figures() -> Iterator[Figure]:
    """A simulated provider of 50 requests a second, asked by latent and its peers; and twenty slots."""
    told: Asked | None = None
    for scenario in SCENARIOS:
        ours = _latent(scenario)
        told = told or ours
        promise = scenario.least_share
        yield _share(scenario.name, ours.share, promise, peer=f"{promise:g} % of the ideal", reach=1.0)
        yield _refused(
            scenario.name, ours, scenario.most_refused, peer=f"{scenario.most_refused:g} %", reach=1.0
        )
    assert told is not None
    yield from _peers(told)
    yield from _processes()
    yield from _slots()


def _latent(scenario: Scenario) -> Asked:
    with _folder(scenario.settings) as folder, _provider(scenario.headers) as provider:
        url = provider.openai_base_url
        found = measure("limits_latent", "ask", url, "latent", ROWS, folder=folder, **UNTRACKED)
        record = provider.record()
    assert not record.duplicates, f"rows were sent again after success: {record.duplicates}"
    return _judged(ROWS, found["seconds"], record)


def _peers(told: Asked) -> Iterator[Figure]:
    """The configured limit beside what people use today, who are told it as well."""
    what = SCENARIOS[0].name
    for peer, how in {"semaphore with tenacity": "semaphore", "a loop told its limit": "paced"}.items():
        with _folder("") as folder, _provider() as provider:
            found = measure("limits_asyncio", how, provider.openai_base_url, ROWS, folder=folder)
            theirs = _judged(ROWS, found["seconds"], provider.record())
        yield _share(what, told.share, theirs.share, peer=peer)
        if theirs.refused:
            yield _refused(what, told, theirs.refused, peer=peer)
    with _folder("") as folder, _provider() as provider:
        arguments = ("ask", provider.openai_base_url, PREFECT_ROWS)
        found = measure("limits_prefect", *arguments, folder=folder, **PREFECT_SERVER)
        theirs = _judged(PREFECT_ROWS, found["seconds"], provider.record())
    yield _share(what, told.share, theirs.share, peer=f"Prefect `concurrency`, {PREFECT_ROWS} rows")


def _processes() -> Iterator[Figure]:
    """Processes that begin at the same moment and share one limit, with a quarter of the rows each."""
    with _folder(TOLD) as folder, _provider() as provider:
        (folder / "wait").touch()
        names = [f"process-{number}" for number in range(PROCESSES)]
        arguments = [("ask", provider.openai_base_url, name, ROWS // PROCESSES) for name in names]
        running = [start("limits_latent", *each, folder=folder, **UNTRACKED) for each in arguments]
        while not all(
            (folder / f"ready-{name}").exists() or process.poll() is not None
            for name, process in zip(names, running, strict=True)
        ):
            time.sleep(0.05)
        (folder / "wait").unlink()
        seconds = max(figures_of(process)["seconds"] for process in running)
        record = provider.record()
    what = f"limit configured, {PROCESSES} processes"
    ours = _judged(ROWS, seconds, record)
    yield _share(what, ours.share, 96.0, peer="96 % of the ideal", reach=1.0)
    yield _refused(what, ours, MOST_REFUSED_TOGETHER, peer=f"{MOST_REFUSED_TOGETHER:g} %", reach=1.0)
    least = _least_share(record)
    yield _share(f"{what}, the slowest", least, 50.0, peer="50 % of its fair share", reach=1.0)


def _least_share(record: Record) -> float:
    """Of the fair share, in percent, what the slowest process had done when the first one was through."""
    done = [
        (served.ended_at, served.prompt.partition(":")[0])
        for served in record.log
        if served.answered and served.prompt
    ]
    last = {name: ended for ended, name in sorted(done)}
    until = Counter(name for ended, name in done if ended <= min(last.values()))
    return min(until[name] for name in last) / (until.total() / PROCESSES) * 100


def _slots() -> Iterator[Figure]:
    """Slots of which none should idle while a call waits."""
    what = f"{SLOT_CALLS:,} calls of {SLOT_SECONDS:g} s, {SLOTS} slots: slots in use"
    with _folder(HELD) as folder:
        ours = _use(SLOT_CALLS, measure("limits_latent", "slots", folder=folder, **UNTRACKED)["seconds"])
        found = measure("limits_prefect", "slots", PREFECT_CALLS, folder=folder, **PREFECT_SERVER)
    yield _share(what, ours, 95.0, peer="95 %", reach=1.0)
    yield _share(
        what,
        ours,
        _use(PREFECT_CALLS, found["seconds"]),
        peer=f"Prefect `concurrency`, {PREFECT_CALLS} calls",
    )


def _use(calls: int, seconds: float) -> float:
    return calls * SLOT_SECONDS / SLOTS / seconds * 100


def _judged(rows: int, seconds: float, record: Record) -> Asked:
    return Asked(ideal_seconds(rows) / seconds * 100, record.statuses[429] / record.requests * 100)


def _share(what: str, ours: float, theirs: float, *, peer: str, reach: float | None = None) -> Figure:
    return paired(what, [ours], theirs, peer=peer, reach=reach, unit="%", at_least=True)


def _refused(what: str, ours: Asked, theirs: float, *, peer: str, reach: float | None = None) -> Figure:
    return paired(f"{what}: refused with 429", [ours.refused], theirs, peer=peer, reach=reach, unit="%")


def _provider(headers: str = "provider") -> ProviderSimulator:
    """A provider in a process of its own, so that a busy client does not delay its answers."""
    return ProviderSimulator(
        requests_per_second=PER_SECOND,
        burst=BURST,
        latency=LogNormal(LATENCY_SECONDS, SIGMA),
        headers=headers,
        own_process=True,
    )


@contextmanager
def _folder(settings: str) -> Iterator[Path]:
    """A workspace with these settings."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        write_files(Path(name), {"config/latent.toml": settings})
        yield Path(name)

"""How large the page of an evaluation is, how long it takes to write and to open, and other tools' pages."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import ROOT, UNTRACKED, Figure, environment, measure, paired
from benchmarks.peers import ENVIRONMENTS, python_of
from benchmarks.subjects import page_rows
from benchmarks.subjects.workload import Stopwatch
from latent.testing import write_files

MOST_MB = {(1_000, 0): 1.0, (1_000, 3): 2.5, (10_000, 0): 6.0, (10_000, 3): 9.0}
"""By rows, and passages of each."""
ROUNDS = 3
MOST_ROWS = 10_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROMPTFOO = "promptfoo@^0.121"
FILTERS = 10
PEER_SECONDS = 900

_FILTER = """async () => {
  const times = [];
  for (let n = 0; n < %d; n++) {
    const search = document.getElementById("search"), began = performance.now();
    search.value = n %% 2 ? "" : "the " + n;
    search.dispatchEvent(new Event("input"));
    document.getElementById("grid").getBoundingClientRect();
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}"""

NOTE = (
    "Each row has a question, an expected answer, an answer of 300 characters, two scores, and the reason of "
    "one of 120;\nits passages have 800 characters each, from 2,000 different ones. A page is opened in "
    "Chromium from a file; it can be\nused when its rows are listed. The time of a search is the median of "
    "ten, with the list drawn again. promptfoo's and\npytest-html's times of writing are those of the whole "
    "run, which writes it at its end. Inspect's viewer is a folder\n"
    "of files, of which the bundling alone was timed, and needs a server that answers requests for ranges: "
    "it was not opened."
)


class Opened(NamedTuple):
    """What opening a page takes."""

    seconds: float
    """Until its rows are listed."""
    processor_seconds: float
    """Of the page's own thread, until then."""
    search_ms: float
    """Median of some searches of all rows."""
    search_processor_ms: float
    requests: int
    """The page's own one included."""


def figures() -> Iterator[Figure]:
    """latent's pages at each size, then the other tools' with the same 10,000 rows."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(folder, {"config/latent.toml": ""})
        ours: dict[str, Any] = {}
        for (rows, passages), most in MOST_MB.items():
            found = [
                measure("page_latent", rows, passages, folder=folder, **UNTRACKED) for _ in range(ROUNDS)
            ]
            what = f"the page of {rows:,} rows" + (f" with {passages} passages each" if passages else "")
            size = found[-1]["size_bytes"] / 1e6
            yield paired(what, [size], most, peer=f"{most:g} MB", reach=1.0, unit="MB")
            if rows == MOST_ROWS:
                written, used = ([each[name] for each in found] for name in ("seconds", "cpu_seconds"))
                yield from _times(what, Path(found[-1]["path"]), written, used)
                ours = ours or found[-1]
        yield from _peers(folder, ours)


def _times(what: str, path: Path, written: list[float], used: list[float]) -> Iterator[Figure]:
    yield paired(f"{what}, written", written, 5.0, peer="5 s", reach=1.0, unit="s")
    yield paired(f"{what}, written, time of the processor", used, 5.0, peer="5 s", reach=1.0, unit="s")
    opened = [_opened(path, "html[data-ready]", filters=True) for _ in range(ROUNDS)]
    if None in opened:
        return
    seconds, used, search, search_used, requests = zip(*(e for e in opened if e is not None), strict=True)
    yield paired(f"{what}, until it can be used", seconds, 1.5, peer="1.5 s", reach=1.0, unit="s")
    yield paired(f"{what}, the same in time of the processor", used, 1.5, peer="1.5 s", reach=1.0, unit="s")
    yield paired(f"{what}, a search of all rows", search, 100.0, peer="100 ms", reach=1.0)
    yield paired(f"{what}, the same in time of the processor", search_used, 100.0, peer="100 ms", reach=1.0)
    yield Figure(
        what=f"{what}: requests beside the file", peer="none", ours=max(requests) - 1, theirs=0.0,
        ratio=max(requests) - 1, reach=0.0, unit="requests",
    )  # fmt: skip


def _opened(path: Path, listed: str, *, filters: bool = False) -> Opened | None:
    """
    What a page takes until an element is there; None without a browser.

    Args:
        listed: Selects what is there once rows are listed.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        page = started.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        processor = page.context.new_cdp_session(page)
        processor.send("Performance.enable", {"timeDomain": "threadTicks"})

        def used() -> float:
            """Seconds of the processor that the page's own thread has used."""
            found = processor.send("Performance.getMetrics")["metrics"]
            return float(next(each["value"] for each in found if each["name"] == "TaskDuration"))

        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        with Stopwatch() as watch:
            page.goto(path.as_uri(), wait_until="commit", timeout=600_000)
            page.wait_for_selector(listed, state="attached", timeout=600_000)
        ready = used()
        took = page.evaluate(_FILTER % FILTERS) if filters else math.nan
        search = (used() - ready) * 1e3 / FILTERS
        return Opened(watch.seconds, ready, took, search, len(asked))


def _peers(folder: Path, ours: dict[str, Any]) -> Iterator[Figure]:
    size = ours["size_bytes"] / 1e6
    opened = _opened(Path(ours["path"]), "html[data-ready]")
    for name, make, listed in (
        ("Inspect's viewer", _inspect, None),
        ("promptfoo's HTML", _promptfoo, "table tr:last-child td"),
        ("pytest-html", _pytest_html, ".results-table-row"),
    ):
        made = make(folder)
        path, seconds, theirs = made if made is not None else (None, math.nan, math.nan)
        label = name if made is not None else f"{name}: could not be had"
        what = f"the same {MOST_ROWS:,} rows"
        yield paired(f"{what}, size", [size], theirs, peer=label, unit="MB")
        yield paired(f"{what}, written", [ours["seconds"]], seconds, peer=label, unit="s")
        if path is not None and listed is not None and opened is not None:
            other = _opened(path, listed)
            took = math.nan if other is None else other.seconds
            yield paired(f"{what}, until it can be used", [opened.seconds], took, peer=label, unit="s")


Made = tuple[Path | None, float, float] | None
"""A page, the seconds that it took, and its megabytes; None where the tool could not be had."""


def _inspect(folder: Path) -> Made:
    if (python := python_of("inspect")) is None:
        return None
    found = measure("page_inspect", MOST_ROWS, folder=folder, python=python)
    return None, found["seconds"], found["size_bytes"] / 1e6


def _pytest_html(folder: Path) -> Made:
    if (python := python_of("pytest_html")) is None:
        return None
    page = folder / "pytest.html"
    subject = ROOT / "benchmarks" / "subjects" / "page_pytest_html.py"
    command = [python, "-m", "pytest", str(subject), "-q", f"--html={page}", "--self-contained-html"]
    return _written([*command, "-p", "no:cacheprovider", "-c", "/dev/null"], folder, page)


def _promptfoo(folder: Path) -> Made:
    program = ENVIRONMENTS / "promptfoo" / "node_modules" / ".bin" / "promptfoo"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            return None
        wanted = [npm, "install", "--prefix", str(program.parents[2]), "--no-audit", "--no-fund", PROMPTFOO]
        if subprocess.run(wanted, capture_output=True).returncode != 0:
            return None
    page = folder / "promptfoo.html"
    tests = [
        {"vars": row, "assert": [{"type": "javascript", "value": "output.length % 3 > 0"}]}
        for row in page_rows.rows(MOST_ROWS, 0)
    ]
    config = {"prompts": ["{{ output }}"], "providers": ["echo"], "tests": tests}
    (folder / "promptfoo.json").write_text(json.dumps(config), "utf-8")
    command = [
        str(program),
        "eval",
        "-c",
        "promptfoo.json",
        "-o",
        page.name,
        "--no-cache",
        "--no-table",
        "--no-progress-bar",
    ]
    return _written(command, folder, page)


def _written(command: list[str], folder: Path, page: Path) -> Made:
    """The page that a command writes; it may end with a code of its own, since rows fail."""
    own = {"PYTHONPATH": str(ROOT), "HOME": str(folder), "PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo")}
    own |= {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1"}
    with Stopwatch() as watch:
        subprocess.run(
            command, cwd=folder, env=environment(own), capture_output=True, timeout=PEER_SECONDS, check=False
        )
    return (page, watch.seconds, page.stat().st_size / 1e6) if page.exists() else None

"""What a workspace needs in order to work, looked at one thing after the other; nothing is changed."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from importlib import metadata
from typing import TYPE_CHECKING

from latent.config import masker_for
from latent.config.extras import distribution_name
from latent.config.running_services import running_service
from latent.errors import LatentError
from latent.services.finding import Finding, Verdict
from latent.services.lifecycle import NAMES
from latent.services.server_checks import server_findings
from latent.services.status import service_statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from latent.config import Workspace

SUPPORTED = ((3, 11), (3, 13))
FREE_BYTES = 1_000_000_000
"""Less free space than this is worth a word: the memory, MLflow's database and data share the disk."""

SCANNED_BYTES = 1_000_000
"""A larger tracked file is not searched for secrets."""


def examine(workspace: Workspace) -> list[Finding]:
    """All findings; a check that fails itself is a problem, and the others go on."""
    checks: list[tuple[str, Callable[[Workspace], Iterator[Finding]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("settings", _settings),
        ("folders", _folders),
        ("stores", _stores),
        ("secrets", _secrets),
        ("services", _services),
        ("server", server_findings),
    ]
    findings = []
    for topic, check in checks:
        try:
            findings += list(check(workspace))
        except (OSError, LatentError, ValueError) as error:
            findings.append(Finding(topic, "problem", str(error).strip()))
    return findings


def _python(workspace: Workspace) -> Iterator[Finding]:
    version = sys.version_info[:2]
    found = f"{platform.python_version()} on {platform.system()}, {sys.prefix}"
    if not SUPPORTED[0] <= version <= SUPPORTED[1]:
        low, high = (".".join(map(str, each)) for each in SUPPORTED)
        yield Finding("python", "problem", found, f"use Python {low} to {high}")
    else:
        yield Finding("python", "ok", found)


def _packages(workspace: Workspace) -> Iterator[Finding]:
    """Each library of a version that latent does not work with; those of extras, where they are installed."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    ourselves = distribution_name()
    clashes, checked = [], 0
    for wanted in map(Requirement, metadata.requires(ourselves) or ()):
        is_extra = wanted.marker is not None and "extra" in str(wanted.marker)
        is_here = wanted.marker is None or is_extra or wanted.marker.evaluate()
        if not is_here or wanted.name == ourselves:
            continue
        try:
            installed = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            if not is_extra:
                clashes.append((wanted, "is not installed"))
            continue
        checked += 1
        if not wanted.specifier.contains(Version(installed), prereleases=True):
            clashes.append((wanted, f"is {installed}, which is not {wanted.specifier}"))
    for wanted, found in clashes:
        advice = f"pip install '{wanted.name}{wanted.specifier}'"
        yield Finding("packages", "problem", f"{wanted.name} {found}", advice)
    if not clashes:
        yield Finding("packages", "ok", f"{checked} libraries, each of a version that latent works with")


def _settings(workspace: Workspace) -> Iterator[Finding]:
    file = workspace.settings_file
    workspace.settings  # noqa: B018  # reading them raises for what cannot be used
    yield Finding("settings", "ok", workspace.label(file) if file else "defaults: there is no latent.toml")


def _folders(workspace: Workspace) -> Iterator[Finding]:
    state = workspace.state_dir
    probed = state if state.exists() else workspace.root
    if not probed.is_dir():
        yield Finding("folders", "problem", f"{probed} is not a folder", "move it away")
    elif not os.access(probed, os.W_OK):
        yield Finding("folders", "problem", f"{probed} cannot be written to", "make it writable for you")
    if state.exists() and os.name != "nt" and stat.S_IMODE(state.stat().st_mode) & 0o077:
        label = workspace.label(state)
        yield Finding("folders", "warning", f"{label} can be read by others", f"chmod 700 {label}")
    free = shutil.disk_usage(probed).free
    verdict: Verdict = "warning" if free < FREE_BYTES else "ok"
    advice = "make room: results that cannot be written are computed again" if free < FREE_BYTES else ""
    yield Finding("folders", verdict, f"{workspace.root}, {free / 1e9:,.1f} GB free", advice)


def _stores(workspace: Workspace) -> Iterator[Finding]:
    for path, what in (
        (workspace.cache_dir / "cache.db", "remembered results"),
        (workspace.mlflow_db, "MLflow's runs"),
    ):
        if not path.exists():
            yield Finding("stores", "ok", f"{what}: none yet")
            continue
        trouble = _trouble_of(path)
        size = f"{path.stat().st_size / 1e6:,.1f} MB"
        if trouble is None:
            yield Finding("stores", "ok", f"{what}: {workspace.label(path)}, {size}")
        else:
            advice = f"move {workspace.label(path)} away; a new one is made"
            yield Finding(
                "stores", "problem", f"{what}: {workspace.label(path)} is damaged: {trouble}", advice
            )


def _trouble_of(path: Path) -> str | None:
    """What SQLite finds wrong with a database; None when it is sound."""
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if verdict == "ok" else str(verdict)


def _secrets(workspace: Workspace) -> Iterator[Finding]:
    tracked = _tracked_files(workspace)
    if tracked is None:
        yield Finding("secrets", "ok", "the workspace is in no git repository")
        return
    exposed = [path for path in tracked if path == workspace.credentials_file or path.name == ".env"]
    exposed += [path for path in tracked if workspace.state_dir in path.parents]
    masker = masker_for(workspace)
    for path in tracked:
        if path not in exposed and path.is_file() and path.stat().st_size <= SCANNED_BYTES:
            text = path.read_bytes().decode("utf-8", "replace")
            if masker.text(text) != text:
                exposed.append(path)
    for path in exposed:
        label = workspace.label(path)
        yield Finding(
            "secrets", "problem", f"git tracks {label}, which holds secrets",
            f"git rm --cached {label}, ignore it, and get new keys: the old ones stay in the history",
        )  # fmt: skip
    if not exposed:
        yield Finding("secrets", "ok", f"none in the {len(tracked):,} files that git tracks")


def _tracked_files(workspace: Workspace) -> list[Path] | None:
    """The files below the workspace that git tracks; None where there is no git, or no repository."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607  # wherever the system has it
            cwd=workspace.root,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    if listed.returncode:
        return None
    return [workspace.root / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]


def _services(workspace: Workspace) -> Iterator[Finding]:
    for status in service_statuses(workspace):
        where = status.url or status.because
        if status.state == "not answering":
            ours = status.service is not None and status.url == status.service.url
            advice = "latent down, then latent up" if ours else f"start it, or take it away: {status.because}"
            yield Finding("services", "problem", f"{status.name}: {where} does not answer", advice)
        else:
            yield Finding("services", "ok", f"{status.name}: {status.state}, {where}")
    for name in NAMES:
        service = running_service(workspace, name)
        if service is not None and service.version != metadata.version(name):
            yield Finding(
                "services", "warning",
                f"{name}: the server is of version {service.version}, installed is {metadata.version(name)}",
                "latent down, then latent up",
            )  # fmt: skip

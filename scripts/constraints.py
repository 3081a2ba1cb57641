"""
Write constraints.txt: the versions that were tested, for every supported Python.

    python scripts/constraints.py python3.11 python3.12 python3.13

Asks pip of each interpreter what it would install for this project, its extras and its development tools,
and merges the answers: a line without a marker holds for all of them. Run it on Linux, then run the tests on
each Python, then commit.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADER = """\
# The versions that were tested together, for Python {pythons}.
# Made by the script constraints.py; not to be edited by hand.
"""


def main(interpreters: list[str]) -> None:
    """Resolve with each interpreter and write the file."""
    if not interpreters:
        sys.exit(__doc__)
    resolved = dict(map(resolve, interpreters))
    lines = merge(resolved)
    header = HEADER.format(pythons=", ".join(sorted(resolved, key=version_key)))
    (ROOT / "constraints.txt").write_text(header + "\n".join(lines) + "\n", encoding="utf-8")


def requirements() -> list[str]:
    """Everything that pyproject.toml asks for: to run, with every extra, to build and to develop."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    groups = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *pyproject["dependency-groups"].values(),
        pyproject["build-system"]["requires"],
    ]
    # Extras that are made of other extras name this project itself, which is not asked for at an index.
    return [one for group in groups for one in group if not one.startswith(f"{project['name']}[")]


def resolve(interpreter: str) -> tuple[str, dict[str, str]]:
    """The interpreter's version, as `3.12`, and the version of each package that its pip would install."""
    with tempfile.TemporaryDirectory() as folder:
        # A new environment, so that nothing installed beside the interpreter takes part.
        run(interpreter, "-m", "venv", folder)
        python = str(Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python")
        version = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        report = Path(folder) / "report.json"
        run(python, "-m", "pip", "install", "--dry-run", "--quiet", "--report", str(report), *requirements())
        packages = json.loads(report.read_text(encoding="utf-8"))["install"]
    return version, {normal(item["metadata"]["name"]): item["metadata"]["version"] for item in packages}


def merge(resolved: dict[str, dict[str, str]]) -> list[str]:
    """One line for each package and version, with a marker when it does not hold for all Pythons."""
    pythons: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for python in sorted(resolved, key=version_key):
        for package in resolved[python].items():
            pythons[package].append(python)
    return [
        f"{name}=={version}" + ("" if len(found) == len(resolved) else f" ; {marker(found)}")
        for (name, version), found in sorted(pythons.items())
    ]


def marker(pythons: list[str]) -> str:
    """The environment marker that holds for these versions of Python alone."""
    return " or ".join(f'python_version == "{python}"' for python in pythons)


def normal(name: str) -> str:
    """A package's name in the one spelling that all its spellings share (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version_key(version: str) -> tuple[int, ...]:
    """For sorting: 3.9 comes before 3.11."""
    return tuple(map(int, version.split(".")))


def run(*command: str) -> str:
    """What the command prints; ends this script when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603  # the interpreters named on the command line
    if done.returncode:
        sys.exit(f"This failed with exit code {done.returncode}: {' '.join(command)}")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])

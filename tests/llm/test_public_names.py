"""What the room offers, and that offering it costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import latent.llm


def test_every_name_that_is_listed_can_be_had():
    for name in latent.llm.__all__:
        assert getattr(latent.llm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        latent.llm.nothing  # noqa: B018


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(latent.llm.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen - {None} == set(latent.llm.__all__)


def test_importing_the_room_loads_none_of_its_modules():
    script = "import sys, latent.llm; print(*[m for m in sys.modules if m.startswith('latent.llm.')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == ""

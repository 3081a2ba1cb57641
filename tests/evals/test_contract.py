"""Who `latent.evals` may know: other packages by their public names, since what is behind them moves."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import latent.evals

FOLDER = Path(latent.evals.__file__).parent
MODULES = {"latent.errors", "latent.errors.text", "latent.registry"}
"""Modules of which all is public: errors, and the parts of their messages, are for each package."""


def imports_of(file: Path):
    """Each name that a file imports of another package of ours, with the module it takes it from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((each.name, None, node.lineno) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}:{node.lineno} imports relatively"
            yield from ((node.module, each.name, node.lineno) for each in node.names)


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.py")), ids=lambda file: file.name)
def test_evals_uses_other_packages_through_their_public_names(file):
    for module, name, line in imports_of(file):
        if not module.startswith("latent.") or module.startswith("latent.evals"):
            continue
        where = f"{file.name}:{line}"
        if module in MODULES:
            continue
        assert module.count(".") == 1, f"{where} reaches into {module}"
        assert name in importlib.import_module(module).__all__, f"{where}: {module}.{name} is not public"


def test_what_is_exported_is_what_all_names():
    for name in latent.evals.__all__:
        assert getattr(latent.evals, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        latent.evals.nothing  # noqa: B018

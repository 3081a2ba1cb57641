"""Prefect's own submodules under latent's name: `latent.prefect.artifacts` is `prefect.artifacts`."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


STAND_INS = {"client.orchestration": "latent.prefect.clients"}
"""Modules of ours in the place of submodules that are not ours."""


class _PrefectModule(Loader):
    """Hands out Prefect's module itself, so that classes stay the same whichever way they are imported."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.name)
        self.original = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put its own name on the module; it is Prefect's, and has run already.
        module.__spec__ = self.original


class _PassThrough(MetaPathFinder):
    """
    Stands before Python's own finders.

    Those would find `latent.prefect.utilities.annotations` in the folder of `prefect.utilities`, and make a
    second copy of it: with classes of its own, which Prefect does not know.
    """

    def __init__(self, package: str, path: Sequence[str]) -> None:
        self.package = package
        self.own = {module.name for module in iter_modules(path)}
        """The package's own modules, whose submodules are its own, too."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{self.package}."):
            return None
        name = fullname.removeprefix(f"{self.package}.")
        if name.partition(".")[0] in self.own:
            return None
        original = STAND_INS.get(name, f"prefect.{name}")
        try:
            import_module(original)
        except ModuleNotFoundError as error:
            if error.name != original:
                raise
            return None
        return ModuleSpec(
            fullname, _PrefectModule(original), is_package=hasattr(sys.modules[original], "__path__")
        )


def install(package: str, path: Sequence[str]) -> None:
    """Let `package`, whose folder is `path`, offer those submodules of Prefect that it has not itself."""
    sys.meta_path.insert(0, _PassThrough(package, path))

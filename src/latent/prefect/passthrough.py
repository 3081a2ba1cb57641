"""Prefect's own submodules under latent's name: `latent.prefect.artifacts` is `prefect.artifacts`."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


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
    """Finds `package.x.y` where Prefect has `prefect.x.y` and `package` has no module of that name."""

    def __init__(self, package: str) -> None:
        self.prefix = f"{package}."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(self.prefix) or self._is_ours(fullname, path):
            return None
        original = f"prefect.{fullname.removeprefix(self.prefix)}"
        try:
            import_module(original)
        except ModuleNotFoundError as error:
            if error.name != original:
                raise
            return None
        return ModuleSpec(
            fullname, _PrefectModule(original), is_package=hasattr(sys.modules[original], "__path__")
        )

    def _is_ours(self, fullname: str, path: Sequence[str] | None) -> bool:
        # The parent may be Prefect's own module: what lies in its folder is Prefect's, too.
        parent = sys.modules[fullname.rpartition(".")[0]].__name__
        return f"{parent}.".startswith(self.prefix) and PathFinder.find_spec(fullname, path) is not None


def install(package: str) -> None:
    """Let `package` offer every submodule of Prefect that it has no module of its own for."""
    # First: the usual finder would load a second copy of what lies in the folder of a package of Prefect's.
    sys.meta_path.insert(0, _PassThrough(package))

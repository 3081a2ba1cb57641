"""Whose code it is: the user's own counts by its source, a library's by its version."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_INSTALLED = ("site-packages", "dist-packages")
_LATENT = str(Path(__file__).resolve().parents[1])
_STANDARD = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})


@lru_cache(maxsize=4096)
def is_own(file: str) -> bool:
    """
    Whether code of this file is the user's own.

    Everything is that neither was installed nor comes with Python: a workspace may import helpers that lie
    beside it. What has no file (a notebook, a REPL, `exec`) is the user's too.
    """
    if file.startswith("<"):
        return not file.startswith("<frozen ")
    path = Path(file)
    if any(part in _INSTALLED for part in path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in (*_STANDARD, _LATENT))


def module_is_own(name: str) -> bool:
    """As `is_own`, for a module that is loaded."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is not None:
        return is_own(file)
    # A namespace package is as much the user's own as the folders it spans; `__main__` may have no file.
    paths = list(getattr(module, "__path__", ()))
    return name == "__main__" or (bool(paths) and is_own(str(Path(paths[0]) / "__init__.py")))


def is_own_code(value: FunctionType | type) -> bool:
    """Whether a function or class is the user's own."""
    if isinstance(value, FunctionType):
        # Not `__module__`: functools.wraps copies that from the user's function to a library's wrapper.
        return is_own(value.__code__.co_filename)
    return value.__module__ != "builtins" and (
        value.__module__ not in sys.modules or module_is_own(value.__module__)
    )


class Noting:
    """A fallback of `stable_hash` that also takes down the user's own classes among what is hashed."""

    __slots__ = ("_asked", "_identify", "classes")

    def __init__(self, identify: Callable[[Any], str | None]) -> None:
        self._identify = identify
        self.classes: set[type] = set()
        self._asked: dict[type, bool] = {}

    def __call__(self, value: Any) -> str | None:
        return self._identify(value)

    def note(self, cls: type) -> None:
        """Told of the class of each value that is not a plain builtin."""
        if (is_own := self._asked.get(cls)) is None:
            is_own = self._asked[cls] = is_own_code(cls)
        if is_own:
            self.classes.add(cls)


@lru_cache(maxsize=1024)
def version_of(module_name: str) -> str:
    """The version of what a module came with; empty for Python itself, for latent and for what has none."""
    top = module_name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("latent", "builtins", ""):
        # Remembered work outlives an upgrade of Python or of latent itself.
        return ""
    if top not in sys.modules:
        return ""
    version = vars(sys.modules[top]).get("__version__")
    return version if isinstance(version, str) else _distribution_version(top)


def _distribution_version(top: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:
        # The distribution has another name; asking all of them takes long, so it comes last.
        names = metadata.packages_distributions().get(top, ())
        return metadata.version(names[0]) if names else ""


def describe_file(file: str, root: Path) -> str:
    """How parts of code name their file: relative to the workspace where that is possible."""
    if file.startswith("<"):
        return file
    path = Path(file)
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return f"{path.parent.name}/{path.name}"


def own_module(name: str, package: str = "") -> ModuleType | None:
    """
    The user's own module of a name, loaded as by an import statement; None for a library's.

    Args:
        package: Where relative names begin.
    """
    try:
        full = importlib.util.resolve_name(name, package)
        if full in sys.modules:
            return sys.modules[full] if module_is_own(full) else None
        spec = importlib.util.find_spec(full)
        if spec is None or not spec.has_location or spec.origin is None or not is_own(spec.origin):
            return None
        return importlib.import_module(full)
    except Exception:
        # A module may raise anything; the function that imports it will tell the user.
        return None

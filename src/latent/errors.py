"""
Every error the user can see.

Each says what happened, where, and what to do next::

    LatentError
    ├── UsageError                  a wrong call or command: exit code 2
    │   ├── WorkspaceError          no workspace, or one that cannot be used
    │   └── NotInRunError           something that exists only inside a run was asked for outside
    ├── ConfigError (ValueError)    settings, parameters, YAML and TOML files
    │   └── ConfigValidationError   parameters that their schema refuses
    ├── CatalogError                datasets that cannot be loaded or saved
    │   ├── DatasetNotFoundError (KeyError)
    │   └── OutputMismatchError (ValueError)  what a flow or task returned does not fit its `output`
    ├── RegistryError               flows and tasks that clash or are missing
    │   ├── FlowNotFoundError (KeyError)
    │   └── FlowImportError         a flow file that Python cannot load
    ├── CacheError                  the store of remembered results
    │   └── UnhashableError (TypeError)       a value without a stable fingerprint
    ├── TrackingError               run folders, the spool and the MLflow store
    └── TaskExecutionError          a task failed; also an instance of the original error's class
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class LatentError(Exception):
    """Base of every error that latent raises on purpose."""


class UsageError(LatentError):
    """A wrong call or command; the command line ends with exit code 2."""


class WorkspaceError(UsageError):
    """There is no workspace here, or it cannot be used."""


class NotInRunError(UsageError, RuntimeError):
    """Something that exists only inside a flow or task run was asked for outside of one."""


class ConfigError(LatentError, ValueError):
    """A settings, parameter or catalog file says something that cannot be used."""


class CatalogError(LatentError):
    """A dataset cannot be described, loaded or saved."""


class RegistryError(LatentError):
    """Flows or tasks clash, or one that was named does not exist."""


class CacheError(LatentError):
    """The store of remembered results cannot be used."""


class TrackingError(LatentError):
    """A run folder, the spool or the MLflow store cannot be used."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most likely meant by `name`; None when nothing comes close."""
    matches = get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint for an unknown `name`: the nearest known one, else the sentence `otherwise`."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else otherwise

"""Libraries that only an extra brings: imported when used, and asked for by name when they are missing."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from latent.errors import MissingExtraError


def import_extra(module: str, *, extra: str, purpose: str) -> Any:
    """
    The module `module`.

    Args:
        extra: What brings it: `pip install 'latent-flows[EXTRA]'`.
        purpose: What needs it, as the beginning of a sentence: `PDF files`.

    Raises:
        MissingExtraError: Its package is not installed. A broken one raises its own error.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(purpose, package, extra, distribution_name()) from error


def distribution_name() -> str:
    """What `pip install` calls this package: not `latent`, which a stranger has."""
    names = metadata.packages_distributions().get("latent", ())
    return names[0] if names else "latent-flows"

"""Kedro's `validator:` key: checks that a catalog attaches to a dataset."""

from __future__ import annotations

import logging
from typing import Any

_log = logging.getLogger("latent.catalog")


def validated(name: str, declared: Any, data: Any, mode: str) -> Any:
    """
    `data` as the validator of a dataset returns it.

    Args:
        declared: What stands under `validator:`; None when nothing does.
        mode: "load" or "save".

    Raises:
        DataValidationError: The data does not pass; with `severity: warn` that is only logged.
    """
    if declared is None:
        return data
    from kedro.validation.core import ValidatorSpec, resolve_validator

    spec = ValidatorSpec.from_dataset_config(name, declared)
    if not spec.enabled or mode not in spec.on:
        return data
    validator = resolve_validator(spec)
    try:
        return validator.validate(data)
    except Exception as error:
        if spec.severity != "warn":
            raise
        _log.warning("Dataset %r does not pass %s on %s: %s", name, spec.class_path, mode, error)
        return data

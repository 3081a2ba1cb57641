"""`get_client`: Prefect's client, which without a server asks this process's in-memory API."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect.client import orchestration

from latent.prefect.api import prefect_api

if TYPE_CHECKING:
    from collections.abc import Callable

MakeClient = TypeVar("MakeClient", bound="Callable[..., Any]")


def _with_an_api(make: MakeClient) -> MakeClient:
    """Make clients with an API to ask: Prefect's own would start a temporary server that knows of no run."""

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        with prefect_api():
            return make(*args, **kwargs)

    return cast("MakeClient", made)


get_client = _with_an_api(orchestration.get_client)


def __getattr__(name: str) -> Any:
    """Whatever else `prefect.client.orchestration` offers, for scripts that import it from there."""
    return getattr(orchestration, name)

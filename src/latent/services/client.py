"""A client of the Prefect server that a workspace uses, for what needs one: deployments, workers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from latent.config.running_services import running_service
from latent.errors import ServiceError
from latent.prefect.api import prefect_api
from latent.prefect.unreachable import unreachable_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from prefect.client.orchestration import SyncPrefectClient

    from latent.config import Workspace

    ServerClient = SyncPrefectClient
    """For packages that do not know Prefect, and hand a client on."""

_WHO_ARE_YOU = "Correct PREFECT_API_AUTH_STRING (for Prefect Cloud PREFECT_API_KEY), as its operator says."


@contextmanager
def server_client(workspace: Workspace, *, needed_for: str) -> Iterator[SyncPrefectClient]:
    """
    A client of the server that Prefect's settings name, else of the one that `latent up` started.

    Prefect's settings name that server while the block runs. What the server refuses in the block is raised
    in its own words.

    Args:
        needed_for: Who needs a server, as the beginning of a sentence: "`latent deploy`".

    Raises:
        ServiceError: There is no server, it is of another major version, or it refuses us.
        ServerUnreachableError: There should be one, and it does not answer.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is None and running_service(workspace, "prefect") is None:
        raise ServiceError(
            "prefect",
            f"{needed_for} needs one, and none runs for this workspace: `latent up` starts it, or "
            "PREFECT_API_URL names another one.",
        )
    import httpx

    with prefect_api(workspace=workspace):
        try:
            with get_client(sync_client=True) as client:
                _check_version(client)
                yield client
        except httpx.HTTPStatusError as error:
            raise ServiceError("prefect", _refusal(error.response)) from error
        except httpx.TransportError as error:
            raise unreachable_server(error, has_begun=False) or error from error


def _check_version(client: SyncPrefectClient) -> None:
    from packaging.version import Version

    theirs, ours = Version(client.api_version()), Version(client.client_version())
    if theirs.major != ours.major:
        raise ServiceError(
            "prefect",
            f"it is of version {theirs}, and installed here is {ours}: the major versions must be the same. "
            f"Install prefect {theirs.major} here, or start a server of version {ours}.",
        )


def _refusal(answer: httpx.Response) -> str:
    """What the server says of a request that it does not grant."""
    if answer.status_code in (401, 403):
        return f"it does not let us in (status {answer.status_code}). {_WHO_ARE_YOU}"
    try:
        body: Any = answer.json()
    except ValueError:
        body = answer.text
    said = body.get("detail") or body.get("exception_message") or body if isinstance(body, dict) else body
    request = answer.request
    return (
        f"it answers {request.method} {request.url.path} with status {answer.status_code}: {said} "
        "A server of another version can be the reason: `latent doctor` compares them."
    )

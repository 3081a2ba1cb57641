"""Whether a run ended because the server that Prefect's settings name does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent.errors import ServerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


def unreachable_server(error: BaseException, *, has_begun: bool) -> ServerUnreachableError | None:
    """The error about Prefect's server that `error` comes from; None when it comes from something else."""
    import httpx
    from prefect.settings import get_current_settings

    if (address := get_current_settings().api.url) is None:
        return None
    server = httpx.URL(address)
    for each in _causes(error):
        # A task may talk to servers of its own: only the address tells whose request it was.
        if isinstance(each, httpx.TransportError) and _is_at(server, each):
            shown = str(server.copy_with(userinfo=b""))
            found = ServerUnreachableError(shown, str(each) or type(each).__name__, has_begun=has_begun)
            found.__cause__ = error
            return found
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        yield each
        each = each.__cause__


def _is_at(server: httpx.URL, error: httpx.TransportError) -> bool:
    try:
        url = error.request.url
    except RuntimeError:  # httpx's own answer for an error without a request
        return False
    return (url.host, url.port) == (server.host, server.port) and url.path.startswith(server.path)

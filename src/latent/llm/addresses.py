"""What is wrong with a `base_url` below which nothing answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from latent.provider_errors.body import message_of

if TYPE_CHECKING:
    from latent.llm.endpoints import Endpoint

_PATHS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/messages")
_ROUTER_WORDS = re.compile(
    r"^\W*(?:error:? )?(?:\d{3}\W+)?(?:page |resource |path |url |route )?(?:was )?not found\W*(?:\d{3})?\W*$"
    r"|cannot post|invalid url|no (?:such )?route|unknown (?:path|url|route|endpoint)"
    r"|method not allowed|unrecognized request url|resource not found|page not found"
    r"|deployment for this resource does not exist",  # Azure, whose deployments stand in the address
    re.IGNORECASE,
)
"""What routers say, and no model: OpenRouter's 404s about a model's providers are another thing."""


def is_no_route(status: int, body: Any) -> bool:
    """Whether an answer says that the address itself is not there (404), or takes no requests (405)."""
    if status not in (404, 405):
        return False
    said = message_of(body).strip()
    is_page = isinstance(body, str) and body.lstrip().startswith("<")
    return not said or is_page or bool(_ROUTER_WORDS.search(said))


def address_hint(endpoint: Endpoint, path: str) -> str:
    """What most likely is wrong in the `base_url`, and what to write instead."""
    base = endpoint.place.rstrip("/")
    below = urlsplit(base).path
    if (whole := next((each for each in _PATHS if below.endswith(each)), None)) is not None:
        return f"base_url ends before {whole!r}: write base_url={_without(base, whole, path)!r}."
    if doubled := re.search(r"(/v\d+\w*)\1$", below):
        return f"{doubled[1]!r} stands twice in base_url: write {base[: -len(doubled[1])]!r}."
    if path.startswith("/v1/") and below.endswith("/v1"):
        return f"latent adds {path!r}: write base_url={base.removesuffix('/v1')!r}, without its '/v1'."
    if not path.startswith("/v") and not re.search(r"/v\d", below):
        # Ollama's own API is below /api, and OpenAI's beside it.
        return f"Most servers have this API below /v1: try base_url={base.removesuffix('/api') + '/v1'!r}."
    return "Check base_url: it is what stands before the path of a request."


def _without(base: str, whole: str, path: str) -> str:
    base = base.removesuffix(whole)
    return base.removesuffix("/v1") if path.startswith("/v1/") else base

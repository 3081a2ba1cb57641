"""Everything about a call but its prompt: the model, how it samples, what form the answer has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from latent.errors import ModelSpecError
from latent.errors.text import nearest
from latent.llm.endpoints import LOCAL, Endpoint
from latent.llm.headers import identity_of
from latent.llm.schemas import OutputType

_HEADERS = "write headers={...}"
_QUERY = "write the query into base_url=: 'https://.../v1?name=value'"
_FIELDS = "write its fields as parameters of their own: Model(..., name=value)"
_ADDRESS = "write base_url="
_CLIENT = "latent sends requests itself: leave it out"

WRITTEN_AS = {
    # openai, anthropic
    "extra_headers": _HEADERS,
    "default_headers": _HEADERS,
    "extra_body": _FIELDS,
    "extra_query": _QUERY,
    "default_query": _QUERY,
    "timeout": "write timeout_seconds=",
    "max_retries": "write retries=",
    "organization": "set OPENAI_ORG_ID, or write headers={'openai-organization': ...}",
    "project": "set OPENAI_PROJECT_ID, or write headers={'openai-project': ...}",
    "http_client": _CLIENT,
    "http_async_client": _CLIENT,
    "async_client": _CLIENT,
    # Azure
    "api_version": "write it into base_url=: 'https://.../openai/deployments/NAME?api-version=2024-10-21'",
    "azure_endpoint": _ADDRESS,
    "azure_deployment": "write it into base_url=: 'https://.../openai/deployments/NAME?api-version=...'",
    "azure_ad_token": "write headers={'authorization': 'Bearer ...'}",
    # litellm, LangChain, LlamaIndex, instructor
    "api_base": _ADDRESS,
    "openai_api_base": _ADDRESS,
    "openai_api_key": "write api_key=",
    "request_timeout": "write timeout_seconds=",
    "num_retries": "write retries=",
    "model_kwargs": _FIELDS,
    "additional_kwargs": _FIELDS,
    "generation_config": _FIELDS,
    "custom_llm_provider": "it is what stands before the colon: 'provider:model'",
    "drop_params": "leave it out",
    "callbacks": "leave it out: runs record each call",
    "response_model": "write complete(..., output=CLASS)",
    "response_format": "write complete(..., output=CLASS)",
    "output_format": "write complete(..., output=CLASS)",
    "system_prompt": "write system=",
    "system_instruction": "write system=",
    "instructions": "write system=",
    "n": "write repeat= for further answers to a prompt",
    "stream": "answers come whole: leave it out",
}
"""How what an argument means elsewhere is written here."""


LAYER_VERSION = 1
"""
Part of every key: raised when this package would send something else for the same request.

The version of the distribution is not: an upgrade must not have everything paid for again.
"""

OutputMode = Literal["schema", "tool", "json"]
"""
How structured output is asked for.

`schema`: the provider holds the model to the schema. `tool`: as the arguments of a tool that must be called.
`json`: in words, with the provider's JSON mode where it has one.
"""
OUTPUT_MODES: tuple[OutputMode, ...] = ("schema", "tool", "json")

_OURS = frozenset(
    {"messages", "input", "model", "stream", "n", "response_format", "instructions", "output_config"}
)
"""Fields of a request that this package fills itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What all calls of a model with one output type have in common; hashed once for a whole map."""

    endpoint: Endpoint
    sampling: Mapping[str, Any]
    """By our names (`max_tokens`, ...); others stand in it as the provider names them."""
    system: str | None = None
    output: OutputType | None = None
    output_mode: OutputMode | None = None
    """None: what is best for the model; see `mode`."""
    repairs: int = 1
    """How often an answer that does not validate is sent back to be mended."""
    timeout_seconds: float = 600.0
    limit: str | None = None
    retries: int | None = None
    """Further attempts of a request that failed; None: as the settings say."""

    @property
    def mode(self) -> OutputMode:
        """How structured output is asked for."""
        if self.output_mode is not None:
            return self.output_mode
        best = _best_mode(self.endpoint)
        if self.endpoint.dialect != "anthropic" or self.output is None:
            return best
        if best == "schema" and self.output.mode_schema("anthropic").is_strict:
            return best
        # Claude calls no tool that it has to call while it thinks, and one of the output would be in the
        # way of others.
        is_free = best == "tool" or not {"tools", "tool_choice"} & self.sampling.keys()
        return "tool" if is_free and not _thinks(self.sampling) else "json"

    def identity(self) -> dict[str, Any]:
        """
        All that can change an answer, beside the prompt and the repeat index.

        Not the key, the limit, the timeout, the retries: they decide whether there is an answer, not which.
        """
        endpoint = self.endpoint
        return {
            "layer": LAYER_VERSION,
            "provider": endpoint.provider,
            "dialect": endpoint.dialect,
            "base_url": endpoint.identity,
            "model": endpoint.model,
            "weights": _weights(endpoint),
            "sampling": {name: _as_sent(value) for name, value in self.sampling.items()},
            "system": self.system,
            "output": None if self.output is None else self.output.identity,
            "mode": None if self.output is None else self.mode,
            "repairs": None if self.output is None else self.repairs,
        } | ({"headers": headers} if (headers := identity_of(endpoint.own_headers)) else {})

    def __latent_hash__(self) -> Any:
        return ("latent.llm.request", self.identity())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a provider's document says, in terms that all dialects share."""

    text: str
    finish_reason: Any
    reasoning: str | None = None
    """What the model thought, as far as the provider shows it."""
    model: str = ""
    request_id: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()


def sampling_of(
    spec: str, given: Mapping[str, Any], own: Mapping[str, Any], names: frozenset[str]
) -> dict[str, Any]:
    """
    What is set of `own`, our sampling parameters, and `given`, the provider's.

    Args:
        names: Of all parameters that a model takes: what misspelled ones are compared with.

    Raises:
        ModelSpecError: One is not JSON, is this package's to fill, or looks like a slip of the pen.
    """
    sampling = {name: value for name, value in own.items() if value is not None}
    for name, value in given.items():
        written = WRITTEN_AS.get(name, "")
        if name in _OURS:
            instead = f": {written}" if written else ""
            raise ModelSpecError(
                spec, f"`{name}` is filled by latent; it is not a parameter of a model{instead}."
            )
        if written:
            raise ModelSpecError(spec, f"`{name}` cannot be given here: {written}.")
        near = nearest(name, names)
        if near is not None and _is_slip(name, near):
            raise ModelSpecError(spec, f"there is no parameter `{name}`: did you mean `{near}`?")
        sampling[name] = value
    try:
        json.dumps(sampling, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelSpecError(spec, f"its parameters have to be JSON values: {error}.") from None
    return sampling


def _as_sent(value: Any) -> Any:
    """
    What a parameter counts by: with mappings in it its JSON, since their order is sent and can matter.

    Tools are such: a model fills in what they take in the order in which it stands there.
    """
    return {"json": json.dumps(value)} if _holds_mapping(value) else value


def _holds_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list | tuple) and any(map(_holds_mapping, value)))


def _is_slip(name: str, near: str) -> bool:
    """Whether one letter more, less or swapped makes the difference: `top_k` is not a slip of `top_p`."""
    from difflib import SequenceMatcher

    return SequenceMatcher(None, name, near).ratio() >= 0.85


_WITHOUT_SCHEMA = {
    "anthropic": ("claude-2", "claude-3", "claude-v1", "claude-instant", "claude-opus-4-0",
                  "claude-opus-4-2025", "claude-sonnet-4-0", "claude-sonnet-4-2025"),
    "openai": ("gpt-3.5", "gpt-4-", "gpt-4o-2024-05-13", "o1-mini", "o1-preview"),
}  # fmt: skip
"""
Beginnings of names of models without a schema mode. Sources: "Structured outputs" in the documentation of
Anthropic (from Claude Sonnet 4.5 and Opus 4.1 on) and of OpenAI (from gpt-4o-2024-08-06 on).
"""


def _thinks(sampling: Mapping[str, Any]) -> bool:
    """Whether Claude is asked to think."""
    if (wanted := sampling.get("reasoning")) is None:
        wanted = sampling.get("thinking")
    return wanted is not None and not (isinstance(wanted, Mapping) and wanted.get("type") == "disabled")


def _best_mode(endpoint: Endpoint) -> OutputMode:
    family = "openai" if endpoint.provider.startswith("openai") else endpoint.provider
    if endpoint.model == "gpt-4" or endpoint.model.startswith(_WITHOUT_SCHEMA.get(family, ("\0",))):
        return "tool"
    return "schema"


def _weights(endpoint: Endpoint) -> str | None:
    """What tells the weights of a local model apart, where only a path names them; None for a service."""
    if endpoint.provider != LOCAL or endpoint.base_url:
        return None
    from latent.llm.local.weights import fingerprint_of, gguf_of

    return fingerprint_of(gguf_of(endpoint.spec))

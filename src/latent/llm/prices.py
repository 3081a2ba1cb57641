"""What calls cost, by the price data that ships with genai-prices: nothing is downloaded."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any

from latent.llm.endpoints import LOCAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latent.llm.answer import Usage

_SAME_PRICES = {"openai-responses": "openai", "gemini": "google", "xai": "x-ai", "moonshot": "moonshotai"}
"""Providers that the price list has under another name."""


def cost_usd(provider: str, model: str, usage: Usage | None) -> float | None:
    """
    What a call cost in US dollars; None when that is not known, which is not free.

    A model that runs in this process costs nothing.

    Args:
        usage: None: the provider does not say what it took.
    """
    if provider == LOCAL:
        return 0.0
    if usage is None:
        return None
    return _cost(
        provider,
        model,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
    )


def stated_cost_usd(document: Mapping[str, Any]) -> float | None:
    """
    What the provider itself says that a call cost: it knows its prices best. None where it does not say.

    `usage.cost` is OpenRouter's, in US dollars; with a key of one's own that is its fee, and what the
    provider behind it charges stands beside it. Perplexity has the total among its parts.
    """
    usage = document.get("usage")
    if not isinstance(usage, dict) or "cost" not in usage:
        return None
    said = usage["cost"]
    cost = _amount(said.get("total_cost") if isinstance(said, dict) else said)
    details = usage.get("cost_details")
    if cost is None or not usage.get("is_byok") or not isinstance(details, dict):
        return cost
    return cost + (_amount(details.get("upstream_inference_cost")) or 0.0)


def _amount(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < inf else None


@lru_cache(maxsize=4096)
def _cost(provider: str, model: str, given: int, made: int, cached: int, written: int) -> float | None:
    if (found := _model(provider, model)) is None:
        return None
    from datetime import UTC, datetime

    from genai_prices import Usage as Tokens

    owner, priced = found
    tokens = Tokens(
        input_tokens=given, output_tokens=made, cache_read_tokens=cached, cache_write_tokens=written
    )
    try:
        total = priced.calc_price(
            tokens, owner, genai_request_timestamp=datetime.now(UTC), auto_update_timestamp=None
        )
    except ValueError:  # counts that cannot be, say more tokens from the cache than there were
        return None
    return float(total.total_price)


def known_models(provider: str) -> tuple[str, ...]:
    """The provider's models that have a price; what a misspelled name is compared with."""
    return _names(_SAME_PRICES.get(provider, provider))


@lru_cache(maxsize=1024)
def _model(provider: str, model: str) -> tuple[Any, Any] | None:
    from genai_prices.data_snapshot import get_snapshot

    name = _SAME_PRICES.get(provider, provider)
    # By its whole name: the library's own search takes `local-openai` for OpenAI, and a server of one's own
    # would cost what OpenAI does.
    owner = next((each for each in get_snapshot().providers if each.id == name), None)
    if owner is None:
        return None
    try:
        return get_snapshot().find_provider_model(model, owner, None, None)
    except LookupError:
        return None


@lru_cache(maxsize=32)
def _names(provider: str) -> tuple[str, ...]:
    from genai_prices.data_snapshot import get_snapshot

    found = (each for each in get_snapshot().providers if each.id == provider)
    return tuple(model.id for each in found for model in each.models)

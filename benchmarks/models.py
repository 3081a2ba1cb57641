"""How many calls to a model a process makes in a second, 200 of them under way at any time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import UNTRACKED, Figure, measure, paired
from latent.testing import ProviderSimulator

LATENCY_SECONDS = 0.05
PROMPTS = 4_000
ROUNDS = 3
MODELS = {"openai": "openai:gpt-5-mini", "anthropic": "anthropic:claude-opus-4-6"}
PEERS = {
    "sdk-aiohttp": ("the SDK on aiohttp", 0.8),
    "sdk-default": ("the SDK's default transport", 1.1),
    "aiohttp": ("bare aiohttp, which does nothing else", None),
}
"""Our requests a second must be at least so many times the peer's; None: only reported."""


def figures() -> Iterator[Figure]:
    """`Model.map` with nothing remembered before and everything after, beside the SDKs and bare aiohttp."""
    for sdk in MODELS:
        rounds = [_round(sdk) for _ in range(ROUNDS)]
        for transport, (peer, reach) in PEERS.items():
            if transport not in rounds[0]:
                continue
            yield paired(
                f"{sdk}: requests a second of Model.map",
                [each["latent"] for each in rounds],
                [each[transport] for each in rounds],
                peer=peer,
                reach=reach,
                unit="/s",
                at_least=True,
            )
        yield paired(
            f"{sdk}: the same prompts again",
            [each["remembered"] for each in rounds],
            [each["latent"] for each in rounds],
            peer="the first time",
            unit="/s",
            at_least=True,
        )


def _round(sdk: str) -> dict[str, float]:
    """Requests a second of each, one after the other on one simulator in a process of its own."""
    found: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        ProviderSimulator(latency=LATENCY_SECONDS, own_process=True) as provider,
    ):
        folder = Path(name)
        (folder / "flows").mkdir()
        url = provider.openai_base_url if sdk == "openai" else provider.anthropic_base_url
        ours = measure("models_latent", MODELS[sdk], url, 0, PROMPTS, folder=folder, **UNTRACKED)
        found |= {"latent": ours["fresh"], "remembered": ours["remembered"]}
        for transport in PEERS if sdk == "openai" else [name for name in PEERS if name != "aiohttp"]:
            peer = measure("models_sdk", sdk, transport, url, PROMPTS, folder=folder)
            found[transport] = peer["fresh"]
    return found

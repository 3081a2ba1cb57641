"""A workspace that neither waits nor is tracked, and one simulator for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from latent.config import Workspace
from latent.registry import TaskRegistry
from latent.testing import ModelCall, ProviderSimulator
from latent.testing.plugin import MakeWorkspace

QUICK = {"config/latent.toml": "[tracking]\nenabled = false\n[tasks]\nretry_delay_seconds = 0\n"}

SPECS = ("openai:gpt-5-mini", "openai-responses:gpt-5-mini", "anthropic:claude-opus-4-6")
"""One model of each API."""


@pytest.fixture(scope="module")
def _started() -> Iterator[ProviderSimulator]:
    with ProviderSimulator() as provider:
        yield provider


class Listener:
    """Says what it is told to, and keeps the bodies of the requests."""

    def __init__(self) -> None:
        self.calls: list[ModelCall] = []
        self.says: Callable[[ModelCall], Any] = lambda call: None

    def respond(self, call: ModelCall) -> Any:
        self.calls.append(call)
        return self.says(call)


@dataclass
class Provider:
    """A simulator that a test may set up again."""

    simulator: ProviderSimulator
    listener: Listener

    def behaves(self, **settings: Any) -> None:
        """Change what the simulator does, for this test."""
        self.simulator.change(**settings)

    def says(self, answer: Callable[[ModelCall], Any]) -> None:
        """What the model answers to a call; None: what the simulator would say."""
        self.listener.says = answer

    def says_in_turn(self, *answers: Any) -> None:
        """What the model answers, one after the other."""
        left = list(answers)
        self.listener.says = lambda call: left.pop(0)

    @property
    def bodies(self) -> list[Any]:
        """The bodies of the requests, in their order."""
        return [call.body for call in self.listener.calls]

    @property
    def requests(self) -> int:
        """How many requests came."""
        return self.simulator.record().requests


@pytest.fixture
def provider(_started: ProviderSimulator, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The module's simulator, as if it were new; the environment leads clients to it."""
    for name, value in _started.environment.items():
        monkeypatch.setenv(name, value)
    listener = Listener()
    _started.change(
        answer=listener, faults=[], latency=0.0, models=None, api_key=None, context_window=None,
        requests_per_second=None, burst=None,
    )  # fmt: skip
    _started.clear()
    return Provider(_started, listener)


@pytest.fixture(autouse=True)
def fresh(make_workspace: MakeWorkspace) -> Iterator[Workspace]:
    """Each test has a memory of its own, and sees only the tasks that it defines."""
    TaskRegistry.clear()
    yield make_workspace(QUICK)
    TaskRegistry.clear()

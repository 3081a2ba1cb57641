"""
The pytest fixtures of latent: put `pytest_plugins = ["latent.testing.plugin"]` into your `conftest.py`.

    def test_flow_reads_its_parameters(make_workspace):
        workspace = make_workspace({"flows/hello/parameters.yaml": "name: World"})

    def test_script_asks_once(provider_simulator):
        ask_everything()  # with openai.OpenAI() or anthropic.Anthropic(), as always
        assert not provider_simulator.duplicates
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from latent.config.workspace import Workspace, find_workspace
from latent.testing.pinecone import PineconeSimulator
from latent.testing.provider import ProviderSimulator
from latent.testing.workspace import temporary_workspace, write_files

MakeWorkspace = Callable[[Mapping[str, str | bytes]], Workspace]


@pytest.fixture
def make_workspace(tmp_path: Path) -> Iterator[MakeWorkspace]:
    """
    A function that makes a workspace of the given files and makes it current for the rest of the test.

    Called again it adds files to the same workspace, or replaces them.
    """
    root = tmp_path / "workspace"
    with ExitStack() as stack:

        def make(files: Mapping[str, str | bytes]) -> Workspace:
            if root.exists():
                write_files(root, files)
                return find_workspace()
            root.mkdir()
            return stack.enter_context(temporary_workspace(files, root=root))

        yield make


@pytest.fixture
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    """An empty workspace that is current for the length of the test."""
    return make_workspace({})


class MakeProviderSimulator(Protocol):
    """What the fixture `make_provider_simulator` gives."""

    def __call__(self, **settings: Any) -> ProviderSimulator:
        """A started simulator; takes the keywords of `ProviderSimulator`."""


@pytest.fixture
def make_provider_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeProviderSimulator]:
    """
    A function that starts a `ProviderSimulator` with the given settings, until the end of the test.

    The environment names its addresses and a key for it: the official clients find it by themselves, in this
    process and in its children. Of several simulators it names the latest.
    """
    with ExitStack() as stack:

        def make(**settings: Any) -> ProviderSimulator:
            provider = stack.enter_context(ProviderSimulator(**settings))
            for name, value in provider.environment.items():
                monkeypatch.setenv(name, value)
            return provider

        yield make


@pytest.fixture
def provider_simulator(make_provider_simulator: MakeProviderSimulator) -> ProviderSimulator:
    """A simulator without limits, latency or faults; the environment leads clients to it."""
    return make_provider_simulator()


@pytest.fixture
def pinecone_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[PineconeSimulator]:
    """A Pinecone without indexes; the environment leads the official client to it."""
    with PineconeSimulator() as simulator:
        for name, value in simulator.environment.items():
            monkeypatch.setenv(name, value)
        yield simulator

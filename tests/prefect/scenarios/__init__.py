"""
What scripts do with Prefect, one thing at a time.

Each scenario is a function of the names that the script imports: Prefect's, or latent's.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tests.prefect.same_as_prefect import Names, Scenario

SCENARIOS: dict[str, Scenario] = {}


def scenario(fn: Callable[[Names], Any]) -> Callable[[Names], Any]:
    """Enter a scenario under its function's name."""
    SCENARIOS[fn.__name__] = fn
    return fn


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario that is written by hand, by name."""
    for module in ("definitions", "arguments", "endings", "context", "futures", "more"):
        import_module(f"{__name__}.{module}")
    return SCENARIOS


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns or raises."""
    try:
        return call()
    except Exception as error:
        return error


def in_flow(p: Names, work: Callable[[], Any]) -> Any:
    """What work gives inside of a flow."""

    @p.flow
    def main():
        return work()

    return main()

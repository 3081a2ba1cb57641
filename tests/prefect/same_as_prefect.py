"""
One scenario with Prefect's decorators and with latent's, and what a user sees of each.

A scenario gets a namespace that stands for `prefect` or for `latent.prefect`, as the imports of a script
would, and returns whatever it wants to have compared. Beside that, what was logged, and how its flow runs
ended under which names with which parameters, is compared.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from prefect.client.schemas.objects import State
from prefect.exceptions import MappingMissingIterable
from prefect.logging.configuration import setup_logging

from latent.errors import TaskExecutionError
from latent.prefect.api import memory_api, prefect_api

RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class Names:
    """`from <package> import ...`."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(self.package), name)

    def module(self, name: str) -> Any:
        """`import <package>.<name>`."""
        return import_module(f"{self.package}.{name}")


PREFECT, LATENT = Names("prefect"), Names("latent.prefect")

Scenario = Callable[[Names], Any]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a user sees of a scenario, without ids, times and addresses."""

    result: Any
    runs: list[Any]
    """Name of the flow, type, name and message of its final state, parameters; of each flow run, sorted."""
    logs: list[str]
    """What flows and tasks logged, sorted: they run in threads."""


def seen(scenario: Scenario, names: Names) -> Seen:
    """Run a scenario, and see what came of it."""
    _set_up_logging()
    with prefect_api(), _logs() as lines:
        api = memory_api()
        assert api is not None
        before = {run["id"] for run in api.flow_runs()}
        try:
            result = shown(scenario(names))
        except BaseException as error:
            result = shown(error)
        flows = {flow["id"]: flow["name"] for flow in api.flows()}
        runs = [
            [flows[run["flow_id"]], *_state(run["state"]), shown(run["parameters"])]
            for run in api.flow_runs()
            if run["id"] not in before
        ]
    return Seen(result, sorted(runs, key=repr), sorted(line for line in lines if not _is_left_out(line)))


def _is_left_out(line: str) -> bool:
    # `allow_failure` hands on exceptions, of which no keys are made.
    return _tells_of_a_task_run_that_went_well(line) or "has an argument without a fingerprint" in line


def _tells_of_a_task_run_that_went_well(line: str) -> bool:
    """A hit makes no task run: what Prefect's engine says of task runs is compared where they end badly."""
    return line.startswith("task_runs INFO Finished in state") and "PENDING" not in line


def _state(state: Mapping[str, Any]) -> tuple[Any, ...]:
    return state["type"], state["name"], plain(state["message"] or "")


def shown(value: Any) -> Any:
    """A value in a form that can be compared: states and errors by what they say."""
    if isinstance(value, TaskExecutionError):
        return shown(value.original_error)
    if isinstance(value, MappingMissingIterable):
        return type(value).__name__  # latent's message names the task
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {plain(str(value))}"
    if isinstance(value, State):
        return ("state", value.type.value, value.name, plain(value.message or ""))
    if isinstance(value, Mapping) and "state_details" in value:
        return ("state", value["type"], value["name"])
    if isinstance(value, Mapping):
        return {str(key): shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__ if isinstance(value, tuple) else "list", *map(shown, value)]
    if isinstance(value, (set, frozenset)):
        return ["set", *sorted(map(repr, map(shown, value)))]
    return plain(repr(value))


_CHANGING = (
    # A failure surfaces as latent's error, which explains it.
    (re.compile(r"TaskExecutionError: Task '\w+' failed\.\nOriginal error: (.*)\nContext: .*\}"), r"\1"),
    (re.compile(r"(Encountered exception during execution|Finished in state Failed).*", re.S), r"\1..."),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
    (re.compile(r"(?<=run ')[a-z]+-[a-z]+(?=')"), "<name>"),
    (re.compile(r"<(\w*Future|PrefectFutureList|MappedFutures)>"), "<future>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
)


def plain(text: str) -> str:
    """Text without what is different each time."""
    for pattern, shown_as in _CHANGING:
        text = pattern.sub(shown_as, text)
    return text


_set_up_logging = cache(setup_logging)
"""Prefect does so at the first flow run of a process, and would take our handlers off."""


@contextmanager
def _logs() -> Iterator[list[str]]:
    kept = _Kept()
    for name in RUN_LOGGERS:
        logging.getLogger(name).addHandler(kept)
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        yield kept.lines
    finally:
        for name in RUN_LOGGERS:
            logging.getLogger(name).removeHandler(kept)


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Error encountered when computing cache key"):
            return  # of Prefect's own results, which it fails to key for partials in some processes only
        kind = record.name.removeprefix("prefect.")
        self.lines.append(f"{kind} {record.levelname} {plain(record.getMessage())}")

"""`latent simulate-provider`: a provider of models on this machine, for scripts and by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import new_app, takes
from latent.cli.terminal import say, show_table
from latent.cli.wording import duration, several
from latent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from latent.testing import ProviderSimulator, Record

app = new_app()


@dataclass(kw_only=True)
class SimulatorOptions:
    """How the simulated provider behaves."""

    requests_per_minute: Annotated[
        float | None, typer.Option("--requests-per-minute", help="Requests that pass; others get 429.")
    ] = None
    burst: Annotated[
        int | None, typer.Option("--burst", help="Requests that pass at once. Default: those of a second.")
    ] = None
    tokens_per_minute: Annotated[
        float | None, typer.Option("--tokens-per-minute", help="Tokens that pass; others get 429.")
    ] = None
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="Requests answered at the same time; others get 429.")
    ] = None
    headers: Annotated[
        str, typer.Option("--headers", help="Rate-limit headers: provider, retry-after or none.")
    ] = "provider"
    latency: Annotated[float, typer.Option("--latency", help="Seconds to an answer; their median.")] = 0.0
    spread: Annotated[
        float, typer.Option("--spread", help="Sigma of log-normal latencies; 0: all are the same.")
    ] = 0.0
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="KIND[:SHARE|:first=N]",
            help="What goes wrong: a status, quota, reset, hang, malformed or truncated; for a share of the "
            "requests (500:0.05) or the first of each prompt (reset:first=2). Repeatable.",
        ),
    ] = None
    answer: Annotated[
        str | None, typer.Option("--answer", help="What the model says. Default: the prompt once more.")
    ] = None
    api_key: Annotated[
        str | None, typer.Option("--api-key", help="The key that requests must carry. Default: any.")
    ] = None
    seed: Annotated[int, typer.Option("--seed", help="Of latencies and faults.")] = 0
    port: Annotated[int, typer.Option("--port", help="The port to listen on. 0: a free one.")] = 0

    def simulator(self) -> ProviderSimulator:
        """
        The provider, which is not started yet.

        Raises:
            SimulatorError: An option cannot be used.
        """
        from latent.testing import LogNormal, ProviderSimulator
        from latent.testing.provider.faults import parse_fault

        return ProviderSimulator(
            answer=self.answer,
            latency=LogNormal(self.latency, self.spread) if self.spread else self.latency,
            requests_per_minute=self.requests_per_minute,
            burst=self.burst,
            tokens_per_minute=self.tokens_per_minute,
            concurrency=self.concurrency,
            headers=self.headers,  # type: ignore[arg-type]  # the simulator names those that exist
            faults=[parse_fault(text) for text in self.fault or []],
            api_key=self.api_key,
            seed=self.seed,
            port=self.port,
        )


@app.command()
@takes(SimulatorOptions)
def simulate_provider(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND",
            help="After `--`: run this with the addresses in its environment, and end with it.",
            show_default=False,
        ),
    ] = None,
    *,
    options: SimulatorOptions,
) -> None:
    """
    Answer like OpenAI and Anthropic, for tests.

    It listens on this machine alone, until Ctrl-C or until the command given to it ends. At the end it says
    what it was asked.
    """
    simulator = options.simulator()
    began = time.monotonic()
    with simulator as provider:
        code = _run(provider, command) if command else _wait(provider)
    _show(simulator.record(), time.monotonic() - began)
    raise typer.Exit(code)


def _wait(provider: ProviderSimulator) -> int:
    """Say where the provider is, until Ctrl-C or SIGTERM comes."""
    stop = threading.Event()
    with _on_stop(lambda _: stop.set()):
        say(f"Simulating a provider on {provider.address}. Ctrl-C ends it.\n")
        for name, value in provider.environment.items():
            say(f'  $env:{name} = "{value}"' if os.name == "nt" else f"  export {name}={value}")
        say()
        while not stop.wait(0.5):  # a wait without end could not be interrupted on Windows
            pass
    return 0


def _run(provider: ProviderSimulator, command: Sequence[str]) -> int:
    """Run a command whose clients find the provider, and give its exit code."""
    variables = os.environ | provider.environment
    try:
        process = subprocess.Popen(command, env=variables)  # noqa: S603  # the user's own
    except OSError as error:
        raise UsageError(f"{command[0]!r} cannot be run: {error.strerror or error}.") from error
    # Ctrl-C reaches the command by itself, SIGTERM does not; what becomes of them is the command's to say.
    with _on_stop(lambda number: process.terminate() if number == signal.SIGTERM else None):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _on_stop(act: Callable[[int], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM do `act`, instead of ending the process before it has said what it saw."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda came, _: act(came)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(record: Record, seconds: float) -> None:
    """What the provider was asked, and what it answered."""
    asked = several(record.requests, "request")
    say(f"{asked} in {duration(seconds)}, at most {record.peak_in_flight:,} at once.")
    if not record.requests:
        return
    rows = [(str(status), f"{count:,}") for status, count in sorted(record.statuses.items())]
    unanswered = record.requests - record.statuses.total()
    show_table(["status", "requests"], [*rows, *([("none", f"{unanswered:,}")] if unanswered else [])])
    answers = f"{several(record.answered.total(), 'answer')} to {several(len(record.answered), 'prompt')}"
    say(f"{answers}: {several(record.input_tokens, 'token')} in, {record.output_tokens:,} out.")
    if record.faults:
        faults = ", ".join(f"{count:,} {kind}" for kind, count in record.faults.most_common())
        say(f"Faults as told: {faults}.")
    if record.duplicates:
        again = several(record.duplicates.total(), "request")
        say(f"{again} came for prompts that had been answered already.")

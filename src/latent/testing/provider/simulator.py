"""`ProviderSimulator`: the provider that tests and benchmarks start."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self
from urllib.request import getproxies_environment

from latent.errors import SimulatorError
from latent.testing.loopback import HOST
from latent.testing.provider.answers import Answers
from latent.testing.provider.behaviour import HeaderStyle, behaviour_from
from latent.testing.provider.faults import Fault
from latent.testing.provider.latency import Latency
from latent.testing.provider.record import Record
from latent.testing.provider.service import Host, ThreadHost

ANY_KEY = "simulated-key"
"""What clients are told to send while every key will do: SDKs refuse to start without one."""


class ProviderSimulator:
    """
    A provider of models on 127.0.0.1 that real clients of OpenAI's and Anthropic's APIs talk to.

        with ProviderSimulator(requests_per_second=50, burst=10, latency=LogNormal(0.3, 0.3)) as provider:
            client = OpenAI(base_url=provider.openai_base_url, api_key="any")

    It answers chat completions, responses, embeddings, messages (streams and structured output included) and
    the list of models, is always the same for the same `seed`, and counts what it is asked. It runs on a
    thread of its own; any process of this machine that knows the address can use it.

    Args:
        answer: What the model says. None: the prompt once more, or an instance of the schema asked for.
            A text or `Reply`: always that. A mapping: by prompt. A function: takes the prompt, and its None
            stands for what the simulator would say. An object with `respond(call)`: by the whole `ModelCall`.
            Functions run on the simulator's thread: while one runs, nobody else is answered.
        latency: Seconds from a request to its answer: a number, a `LogNormal`, or a function of the
            `ModelCall`.
        requests_per_second: Requests that pass in the long run; others get 429. Or give
            `requests_per_minute`.
        burst: Requests that pass at once after a pause. None: those of one second, at least 1.
        tokens_per_minute: Tokens that pass. Those of the prompt must fit when the request comes; those of the
            answer are charged when it is made.
        burst_tokens: Tokens that pass at once after a pause. None: those of one minute.
        concurrency: Requests that are answered at the same time; others get 429.
        headers: "provider" sends rate-limit headers as the provider of the path writes them; "retry-after"
            only the hint with a 429; "none" neither.
        faults: What goes wrong on purpose. The first that strikes a request counts.
        api_key: The key that requests must carry. None: any, or none.
        models: The models that exist. None: any name.
        context_window: Tokens that a prompt may have. None: any number.
        seed: Of latencies and faults. They belong to the prompt and to how often it came, not to the moment.
        port: 0 for a free one.
        own_process: Run in another process: exact latencies beside a client that keeps this one busy, and
            room on another core. Functions and their closures then live over there.

    Raises:
        SimulatorError: A setting cannot be used.
    """

    def __init__(
        self,
        *,
        answer: Answers = None,
        latency: Latency = 0.0,
        requests_per_second: float | None = None,
        requests_per_minute: float | None = None,
        burst: int | None = None,
        tokens_per_minute: float | None = None,
        burst_tokens: int | None = None,
        concurrency: int | None = None,
        headers: HeaderStyle = "provider",
        faults: Iterable[Fault] | Fault = (),
        api_key: str | None = None,
        models: Iterable[str] | None = None,
        context_window: int | None = None,
        seed: int = 0,
        port: int = 0,
        own_process: bool = False,
    ) -> None:
        self._settings: dict[str, Any] = {
            "answer": answer,
            "latency": latency,
            "requests_per_second": requests_per_second,
            "requests_per_minute": requests_per_minute,
            "burst": burst,
            "tokens_per_minute": tokens_per_minute,
            "burst_tokens": burst_tokens,
            "concurrency": concurrency,
            "headers": headers,
            "faults": faults,
            "api_key": api_key,
            "models": models,
            "context_window": context_window,
            "seed": seed,
        }
        self._behaviour = behaviour_from(self._settings)
        self._wanted_port, self._own_process = port, own_process
        self._host: Host | None = None
        self._pid = os.getpid()
        self._last = Record()

    def start(self) -> Self:
        """Listen; returns the simulator. Use it as a context manager unless its life has another shape."""
        if self._host is None:
            self._host = self._open()
            self._pid = os.getpid()
        return self

    def stop(self) -> None:
        """Break all connections and free the port; the record stays. Does nothing in a forked process."""
        host, self._host = self._host, None
        if host is not None and os.getpid() == self._pid:
            self._last = host.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __reduce__(self) -> Any:
        raise TypeError("A ProviderSimulator stays in its process: pass its addresses to others, not itself.")

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._running().port

    @property
    def address(self) -> str:
        """Where it listens, as `http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self.port}"

    @property
    def openai_base_url(self) -> str:
        """`base_url` for clients of OpenAI's API."""
        return f"{self.address}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """`base_url` for clients of Anthropic's API."""
        return self.address

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that lead the official clients here."""
        key = self._behaviour.api_key or ANY_KEY
        variables = {
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_API_KEY": key,
            "ANTHROPIC_BASE_URL": self.anthropic_base_url,
            "ANTHROPIC_API_KEY": key,
        }
        if getproxies_environment():  # a proxy cannot reach this machine's loopback
            direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
            variables["NO_PROXY"] = variables["no_proxy"] = ",".join(filter(None, (direct, HOST)))
        return variables

    def record(self) -> Record:
        """
        What it has seen up to now, as a copy that no longer changes.

        The properties below each take a copy: take one by hand to look at many prompts.
        """
        return self._last.copy() if self._host is None else self._here().record()

    @property
    def requests(self) -> int:
        """HTTP requests that arrived."""
        return self.record().requests

    @property
    def statuses(self) -> Counter[int]:
        """Answers sent, by HTTP status."""
        return self.record().statuses

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt arrived, whatever became of it."""
        return self.record().asked

    @property
    def answered(self) -> Counter[str]:
        """How often each prompt got a whole, valid answer."""
        return self.record().answered

    @property
    def duplicates(self) -> Counter[str]:
        """How often each prompt arrived when it had been answered already."""
        return self.record().duplicates

    @property
    def faults(self) -> Counter[str]:
        """Requests that met a fault, by its kind."""
        return self.record().faults

    @property
    def peak_in_flight(self) -> int:
        """The most requests that were being answered at the same time."""
        return self.record().peak_in_flight

    @property
    def arrivals(self) -> list[float]:
        """When requests arrived, in order; seconds on the clock of `time.monotonic`."""
        return self.record().arrivals

    def clear(self) -> None:
        """Forget what was counted and which prompts were asked."""
        self._last = Record()
        if self._host is not None:
            self._here().clear()

    def change(self, **settings: Any) -> None:
        """
        Behave in another way from now on, say `change(faults=[])` at the end of an outage.

        Takes the keywords of the constructor except `port` and `own_process`; what is not named stays. The
        limits start over.

        Raises:
            SimulatorError: A setting is unknown or cannot be used; nothing is changed then.
        """
        rates = {"requests_per_second", "requests_per_minute"}
        kept = {
            name: value
            for name, value in self._settings.items()
            if not (name in rates and rates & set(settings))
        }
        changed = kept | settings
        behaviour = behaviour_from(changed)
        if self._host is not None:
            self._here().change(behaviour)
        self._settings, self._behaviour = changed, behaviour

    def _open(self) -> Host:
        if self._own_process:
            from latent.testing.provider.process import ProcessHost

            return ProcessHost(self._behaviour, self._wanted_port)
        return ThreadHost(self._behaviour, self._wanted_port)

    def _running(self) -> Host:
        if self._host is None:
            reason = "it has none before it is started: use `with ProviderSimulator(...) as provider:`"
            raise SimulatorError("address", None, reason)
        return self._host

    def _here(self) -> Host:
        """What runs, unless it runs for another process."""
        if os.getpid() != self._pid:
            reason = "it belongs to the process that this one was forked from; only its address is good here"
            raise SimulatorError("process", os.getpid(), reason)
        return self._running()

"""A simulated provider at work: from a request to what becomes of it, and on which thread that happens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import orjson

from latent.testing.loopback import Exchange, HttpRequest, HttpResponse, LoopbackServer
from latent.testing.provider.answers import Answer, answer_to
from latent.testing.provider.anthropic import read_count
from latent.testing.provider.behaviour import Behaviour
from latent.testing.provider.calls import ApiError, ModelCall, json_object
from latent.testing.provider.dialect import Dialect
from latent.testing.provider.endpoints import (
    COUNT_TOKENS,
    DEFAULT_MODELS,
    MODELS,
    READERS,
    WRITERS,
    dialect_of,
    model_entry,
    model_list,
)
from latent.testing.provider.faults import AT_ONCE, Fault, fault_for
from latent.testing.provider.headers import Headers
from latent.testing.provider.latency import seconds_of
from latent.testing.provider.limits import Limits
from latent.testing.provider.record import Record, Served


class Service:
    """
    Answers exchanges as `behaviour` says, and keeps the record; all on one thread.

    A request passes, in this order: the key, the form of its body, the limits, a fault or the latency.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.record = Record()
        self._number = 0
        self._attempts: Counter[str] = Counter()
        self.change(behaviour)

    def change(self, behaviour: Behaviour) -> None:
        """Behave in another way from now on; the limits start over, with their bursts unused."""
        self.behaviour = behaviour
        self._limits = Limits(behaviour, time.monotonic())

    def clear(self) -> None:
        """Forget all counts, and which prompts were asked; requests under way are still answered."""
        in_flight = self.record.in_flight
        self.record = Record(in_flight=in_flight, peak_in_flight=in_flight)
        self._attempts.clear()

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request, at once or later."""
        self.record.requests += 1
        self._number += 1
        dialect = dialect_of(exchange.request)
        work = _Work(self, exchange, dialect, self._number)
        try:
            call = self._read(exchange.request, dialect)
            if isinstance(call, ModelCall):
                self._serve(work, call)
            else:
                work.answer(call)
        except ApiError as error:
            work.refuse(error)

    def _read(self, request: HttpRequest, dialect: Dialect) -> ModelCall | dict[str, Any]:
        """The call that a request makes; or the answer, for what needs no model."""
        if self.behaviour.api_key is not None:
            dialect.check_key(request, self.behaviour.api_key)
        if request.path == MODELS or request.path.startswith(f"{MODELS}/"):
            return self._models(request, dialect)
        if request.path not in READERS and request.path != COUNT_TOKENS:
            raise dialect.not_found(request)
        if request.method != "POST":
            raise dialect.wrong_method(request)
        body = json_object(request.body)
        if body is None:
            raise dialect.no_json()
        if request.path == COUNT_TOKENS:
            return {"input_tokens": read_count(body)}
        call = READERS[request.path][1](body)
        if self.behaviour.models is not None and call.model not in self.behaviour.models:
            raise dialect.unknown_model(call.model)
        if self.behaviour.context_window is not None and call.input_tokens > self.behaviour.context_window:
            raise dialect.too_long(call, self.behaviour.context_window)
        return call

    def _models(self, request: HttpRequest, dialect: Dialect) -> dict[str, Any]:
        if request.method != "GET":
            raise dialect.wrong_method(request)
        known = self.behaviour.models or DEFAULT_MODELS
        name = request.path.removeprefix(MODELS).removeprefix("/")
        if not name:
            return model_list(dialect, known)
        if self.behaviour.models is not None and name not in known:
            raise dialect.unknown_model(name)
        return model_entry(dialect, name)

    def _serve(self, work: _Work, call: ModelCall) -> None:
        """Let a readable call through the limits, and give it its fault or its answer."""
        self.record.note_asked(call)
        work.call = call
        refusal = self._limits.admit(call.input_tokens, self.record.in_flight, work.request.arrived_at)
        if refusal is not None:
            work.limits = self._limit_headers(work)
            work.refuse(work.dialect.refused(refusal, call), refusal.wait_seconds)
            return
        # A batch of texts is as often asked as the one of them that was asked least.
        attempt = 1 + min(self._attempts[prompt] for prompt in call.prompts)
        self._attempts.update(call.prompts)
        behaviour = self.behaviour
        fault = fault_for(behaviour.faults, "\n".join(call.prompts), attempt, behaviour.seed)
        answer = None
        if fault is None or fault.kind in ("malformed", "truncated"):
            answer = answer_to(call, behaviour.answer)
            self._limits.charge(answer.output_tokens)
        seconds = seconds_of(behaviour.latency, call, attempt, behaviour.seed)
        work.limits = self._limit_headers(work)
        work.begin()
        if fault is not None:
            work.fail(fault, 0.0 if fault.kind in AT_ONCE else seconds, answer)
        elif answer is not None:
            work.later(seconds, partial(work.complete, answer))

    def _limit_headers(self, work: _Work) -> Headers:
        if self.behaviour.headers != "provider":
            return []
        return work.dialect.limit_headers(self._limits.levels(work.request.arrived_at))


class _Work:
    """One request on its way to its end."""

    __slots__ = (
        "_begun",
        "_exchange",
        "_fault",
        "_number",
        "_service",
        "call",
        "dialect",
        "limits",
        "request",
    )

    def __init__(self, service: Service, exchange: Exchange, dialect: Dialect, number: int) -> None:
        self.request = exchange.request
        self.dialect = dialect
        self.call: ModelCall | None = None
        self.limits: Headers = []
        """Where the limits stood when the request passed them."""
        self._service, self._exchange, self._number = service, exchange, number
        self._begun = False
        self._fault: str | None = None
        exchange.gone = self._abandoned

    def begin(self) -> None:
        """The request is past the limits, and takes up a place until its end."""
        self._begun = True
        self._service.record.note_begun()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do `action` when `seconds` have passed since the arrival."""
        self._exchange.after(seconds, action)

    def answer(self, document: dict[str, Any]) -> None:
        """Send a document that needed no model."""
        self._end(200)
        self._exchange.send(self._response(200, orjson.dumps(document)))

    def refuse(self, error: ApiError, wait_seconds: float | None = None) -> None:
        """Send an error; with a hint when to come back, if one is known and hints are sent at all."""
        hint = self.dialect.retry_hint(wait_seconds) if self._service.behaviour.headers != "none" else []
        body = orjson.dumps(self.dialect.error(error, self._number))
        self._end(error.status)
        self._exchange.send(self._response(error.status, body, hint))

    def complete(self, answer: Answer) -> None:
        """Send the answer."""
        assert self.call is not None
        response = self._whole(self.call, answer)
        self._service.record.note_answered(self.call, answer.input_tokens, answer.output_tokens)
        self._end(200, answered=True)
        self._exchange.send(response)

    def fail(self, fault: Fault, seconds: float, answer: Answer | None) -> None:
        """Let the fault happen after `seconds`; `answer` is what it spoils, if it spoils one."""
        self._fault = str(fault.kind)
        self._service.record.faults[self._fault] += 1
        if fault.kind != "hang":
            self.later(seconds, partial(self._fail, fault, answer))

    def _fail(self, fault: Fault, answer: Answer | None) -> None:
        if isinstance(fault.kind, int):
            self.refuse(self.dialect.failure(fault.kind), fault.retry_after_seconds)
        elif fault.kind == "quota":
            self.refuse(self.dialect.quota())
        elif fault.kind == "reset":
            self._end(None)
            self._exchange.reset()
        elif answer is not None and self.call is not None:
            response = self._whole(self.call, answer)
            self._end(200)
            if fault.kind == "truncated":
                self._exchange.send_half(response)
            else:
                self._exchange.send(_malformed(response))

    def _whole(self, call: ModelCall, answer: Answer) -> HttpResponse:
        writer = WRITERS[call.endpoint]
        if call.stream and writer.events is not None:
            return self._response(200, tuple(writer.events(call, answer, self._number)))
        document = writer.whole(call, answer, self._number)
        return self._response(200, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))

    def _response(
        self, status: int, body: bytes | tuple[bytes, ...], hint: Headers | None = None
    ) -> HttpResponse:
        kind = "application/json" if isinstance(body, bytes) else "text/event-stream; charset=utf-8"
        headers = [
            ("content-type", kind),
            *self.dialect.identity(self._number),
            *self.limits,
            *(hint or []),
        ]
        return HttpResponse(status, headers, body)

    def _abandoned(self) -> None:
        self._service.record.abandoned += 1
        self._end(None)

    def _end(self, status: int | None, *, answered: bool = False) -> None:
        record = self._service.record
        if self._begun:
            record.in_flight -= 1
        if status is not None:
            record.statuses[status] += 1
        prompt = self.call.prompt if self.call is not None else None
        arrived = self.request.arrived_at
        served = Served(arrived, time.monotonic(), self.request.path, prompt, status, self._fault, answered)
        record.log.append(served)


def _malformed(response: HttpResponse) -> HttpResponse:
    """The same response with half of its JSON, or with half of it in each event of a stream."""
    if isinstance(response.body, bytes):
        return HttpResponse(response.status, response.headers, response.body[: len(response.body) // 2])
    events = tuple(event[: len(event) // 2] + b"\n\n" for event in response.body)
    return HttpResponse(response.status, response.headers, events)


class Host(Protocol):
    """Where a simulator runs."""

    @property
    def port(self) -> int:
        """The port it listens on."""

    def record(self) -> Record:
        """A copy of what it has seen."""

    def clear(self) -> None:
        """Forget what was counted."""

    def change(self, behaviour: Behaviour) -> None:
        """Behave in another way from now on."""

    def stop(self) -> Record:
        """End, and break all connections; what it has seen."""


class ThreadHost:
    """A simulator on a thread of this process."""

    def __init__(self, behaviour: Behaviour, port: int) -> None:
        self._service = Service(behaviour)
        self._server = LoopbackServer(self._service, port=port)

    @property
    def port(self) -> int:
        return self._server.port

    def record(self) -> Record:
        return self._server.call(lambda: self._service.record.copy())

    def clear(self) -> None:
        self._server.call(self._service.clear)

    def change(self, behaviour: Behaviour) -> None:
        self._server.call(lambda: self._service.change(behaviour))

    def stop(self) -> Record:
        self._server.stop()
        return self.record()

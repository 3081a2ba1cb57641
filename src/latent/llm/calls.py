"""Calls of a model one by one: remembered, retried, told to the run. Maps leave that to the row engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from latent.cache.entry import Result
from latent.cache.keys import argument_hashes, key_of_parts
from latent.llm.attempts import persistently, retry_options
from latent.llm.estimates import estimate_of, estimator
from latent.llm.failures import fatal
from latent.llm.io import AsyncIO, SyncIO, finished
from latent.llm.recorded import answered, is_replayed
from latent.llm.remember import remember
from latent.llm.sending import admit
from latent.llm.transport import check_may_block
from latent.prefect.abstained import unremembered
from latent.prefect.retries import policy_of
from latent.prefect.run import current_run, surroundings
from latent.prefect.scope import current_scope
from latent.prefect.tasks import Task
from latent.tracking.records import SpanRecord, describe_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from latent.llm.answer import Answer
    from latent.llm.io import IO
    from latent.llm.messages import Turns
    from latent.llm.request import Request
    from latent.prefect.run import Run

KIND = "row"
"""The kind of these entries in the store: a call by itself and a row of a map are the same call."""

Refresh = bool | str
"""`True`: ask again whatever is remembered. `"incomplete"`: what is remembered cut, refused or invalid."""


async def ask(model: Request, prompt: Turns, repeat: int) -> Any:
    """
    One call as a row of a map; retries, limit and memory are the row's.

    The parameters have the names under which `latent why` and expressions about rows speak of them.

    Args:
        model: With its address, its parameters and the type of its output.
        repeat: Tells further answers to the same prompt apart.
    """
    failed = 0 if (scope := current_scope()) is None else scope.attempt - 1
    answer, is_final = await answered(model, prompt, repeat, AsyncIO(), failed_before=failed)
    return answer if is_final else unremembered(answer)


def task_for(
    spec: str, *, limit: str | None, retries: int | None, cache_expiration: timedelta | None
) -> Task[[Request, Turns, int], Answer]:
    """The task whose rows are calls of a model; its arguments say all that its results depend on."""
    # A map of an async function gives what that awaits, which `Task` cannot say of its function's type.
    function: Any = ask
    return Task(
        function, spec, limit=limit, span_type="LLM", counts_code=False, estimator=estimator,
        fatal=fatal, cache_expiration=cache_expiration, **retry_options(retries),
    )  # fmt: skip


def complete(
    task: Task[..., Answer], request: Request, turns: Turns, repeat: int, refresh: Refresh
) -> Answer:
    """One answer, remembered or asked for; blocks its thread."""
    check_may_block()
    return finished(_Call(task, request, turns, repeat).answer(SyncIO(), refresh))


async def complete_async(
    task: Task[..., Answer], request: Request, turns: Turns, repeat: int, refresh: Refresh
) -> Answer:
    """As `complete`, without blocking the event loop."""
    return await _Call(task, request, turns, repeat).answer(AsyncIO(), refresh)


def refreshing(task: Task[[Request, Turns, int], Answer], refresh: Refresh) -> Task[..., Answer]:
    """The task, for a map that asks again; what is remembered stays until there is something newer."""
    if is_replayed():
        task = task.with_options(limit=None)  # nobody is asked, so there is nothing to hold back
    if refresh == "incomplete":
        return task.with_options(accepts_cached=_is_complete)
    return task.with_options(refresh_cache=True) if refresh else task


class _Call:
    """One call, in the run around it or in the nearest workspace."""

    def __init__(self, task: Task[..., Answer], request: Request, turns: Turns, repeat: int) -> None:
        self.task, self.request, self.turns, self.repeat = task, request, turns, repeat
        self.run: Run = current_run() or surroundings(None)
        self.parts = argument_hashes({"model": request, "prompt": turns, "repeat": repeat})
        self.key = key_of_parts(task.name, self.parts)

    async def answer(self, io: IO, refresh: Refresh) -> Answer:
        is_within = not refresh and self._is_within_refreshed()
        wanted = self._was_asked_again if is_within else _wanted(refresh)
        if (known := self._recall()) is not None and wanted(known):
            return known
        with await io.acquire_lease(self.run.memory, self.key):
            # The former holder may have finished in between.
            newer = self._recall()
            if newer is not None and (wanted(newer) or (known is None and refresh is not True)):
                return newer
            answer, is_final = await self._traced(io)
            if is_final:
                self._keep(answer)
            if is_within:
                self.run.asked_again.add(self.key)
            return answer

    def _is_within_refreshed(self) -> bool:
        """Whether a task around the call computes again: with the same answers it would repeat itself."""
        scope = current_scope() if self.run.options.refresh else None
        while scope is not None:
            if scope.task_name in self.run.options.refresh:
                return True
            scope = scope.parent
        return False

    def _was_asked_again(self, _answer: Answer) -> bool:
        """Whether the run has this answer already: a retry, or a row with the same prompt, pays nothing."""
        return self.key in self.run.asked_again

    def _recall(self) -> Answer | None:
        hit = self.run.memory.recall(self.key, code=None, parameter=self.run.parameter_fingerprint)
        return None if hit is None else hit.value

    def _keep(self, answer: Answer) -> None:
        result = Result(
            key=self.key, value=answer, task=self.task.name, kind=KIND, code=None, parameters_read={},
            key_parts=self.parts, expires_in=self.task.expires_in(self.run.workspace.settings),
        )  # fmt: skip
        remember(self.run, self.task.name, [result])

    async def _traced(self, io: IO) -> tuple[Answer, bool]:
        began, scope = time.time(), current_scope()
        answer: Answer | None = None
        failure: Exception | None = None
        try:
            answer, is_final = await self._asked(io)
        except Exception as error:
            failure = error
            raise
        finally:
            if self.run.recorder is not None:
                self.run.recorder.span(
                    SpanRecord(
                        name=self.task.name,
                        started_at=began,
                        duration_seconds=time.time() - began,
                        span_type="LLM",
                        parent_span_id=None if scope is None else scope.span_id,
                        inputs={"prompt": self.run.preview(self.turns)},
                        output=None if answer is None else self.run.preview(answer.text),
                        error=None if failure is None else describe_error(failure),
                        attributes={} if answer is None else _attributes(answer),
                    )
                )
        return answer, is_final

    async def _asked(self, io: IO) -> tuple[Answer, bool]:
        """The answer of the first attempt that has one, and whether it is to be remembered."""
        if self.run.cost_plan is not None:
            raise self.run.cost_plan.refuse(estimate_of(self.request, self.turns))
        admit(self.run, self.task.name)

        async def attempt(failed: int) -> tuple[Answer, bool]:
            return await answered(self.request, self.turns, self.repeat, io, failed_before=failed)

        return await persistently(attempt, io, policy_of(self.task, self.run.workspace.settings))


def _wanted(refresh: Refresh) -> Callable[[Answer], bool]:
    """Whether a remembered answer will do."""
    if refresh == "incomplete":
        return _is_complete
    return lambda answer: not refresh


def _is_complete(answer: Answer) -> bool:
    return answer.is_complete


def _attributes(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "model": answer.model,
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost_usd": answer.cost_usd,
        "finish_reason": answer.finish_reason,
        "attempts": answer.attempts,
    }

"""Calls of a model one by one: remembered, retried, told to the run. Maps leave that to the row engine."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from latent.cache.keys import argument_hashes, key_of_parts
from latent.errors import RunStoppedError, UnstorableError
from latent.llm.conversation import converse
from latent.llm.estimates import estimate_of, estimator
from latent.llm.ways import Blocking, Waiting, finished
from latent.prefect.retries import next_delay, policy_of
from latent.prefect.run import current_run, surroundings
from latent.prefect.scope import current_scope
from latent.prefect.tasks import Task
from latent.tracking.records import SpanRecord, describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from latent.llm.answer import Answer
    from latent.llm.messages import Turns
    from latent.llm.request import Request
    from latent.llm.ways import Way
    from latent.prefect.run import Run

KIND = "row"
"""The kind of these entries in the store: a call by itself and a row of a map are the same call."""

Refresh = bool | str
"""`True`: ask again whatever is remembered. `"incomplete"`: what is remembered cut, refused or invalid."""


async def ask(request: Request, turns: Turns, repeat: int) -> Answer:
    """
    One call as a row of a map; retries, limit and memory are the row's.

    Args:
        repeat: Tells further answers to the same prompt apart.
    """
    scope = current_scope()
    return await converse(request, turns, Waiting(), failed_before=0 if scope is None else scope.attempt - 1)


def task_for(spec: str, *, limit: str | None, **options: Any) -> Task[[Request, Turns, int], Answer]:
    """The task whose rows are calls of a model; its arguments say all that its results depend on."""
    # A map of an async function gives what that awaits, which `Task` cannot say of its function's type.
    function: Any = ask
    return Task(
        function, spec, limit=limit, span_type="LLM", counts_code=False, estimator=estimator, **options
    )


def complete(
    task: Task[..., Answer], request: Request, turns: Turns, repeat: int, refresh: Refresh
) -> Answer:
    """One answer, remembered or asked for; blocks its thread."""
    return finished(_Call(task, request, turns, repeat).answer(Blocking(), refresh))


async def complete_async(
    task: Task[..., Answer], request: Request, turns: Turns, repeat: int, refresh: Refresh
) -> Answer:
    """As `complete`, without blocking the event loop."""
    return await _Call(task, request, turns, repeat).answer(Waiting(), refresh)


def forget(task: Task[..., Answer], request: Request, turns: Sequence[Turns], repeats: Sequence[int]) -> None:
    """Forget what is remembered cut, refused or invalid of what a map asks, so that it asks again."""
    calls = [_Call(task, request, *each) for each in zip(turns, repeats, strict=True)]
    if not calls or calls[0].run.outlook is not None:
        return
    run = calls[0].run
    hits = run.memory.recall_many(
        [call.key for call in calls], code=None, parameter=run.parameter_fingerprint
    )
    stale = [key for key, hit in hits.items() if not hit.value.is_complete]
    if stale:
        run.memory.clear(keys=stale)


class _Call:
    """One call, in the run around it or in the nearest workspace."""

    def __init__(self, task: Task[..., Answer], request: Request, turns: Turns, repeat: int) -> None:
        self.task, self.request, self.turns = task, request, turns
        self.run: Run = current_run() or surroundings(None)
        self.parts = argument_hashes({"request": request, "turns": turns, "repeat": repeat})
        self.key = key_of_parts(task.name, self.parts)

    async def answer(self, way: Way, refresh: Refresh) -> Answer:
        wanted = _wanted(refresh)
        if (known := self._recall()) is not None and wanted(known):
            return known
        with await way.claim(self.run.memory, self.key):
            # Whoever held it may have finished between the look and the claim.
            newer = self._recall()
            if newer is not None and (wanted(newer) or (known is None and refresh is not True)):
                return newer
            return self._keep(await self._traced(way))

    def _recall(self) -> Answer | None:
        hit = self.run.memory.recall(self.key, code=None, parameter=self.run.parameter_fingerprint)
        return None if hit is None else hit.value

    def _keep(self, answer: Answer) -> Answer:
        try:
            self.run.memory.remember(
                self.key, answer, task=self.task.name, kind=KIND, key_parts=self.parts,
                expires_in=self.task.expires_in(self.run.workspace.settings),
            )  # fmt: skip
        except UnstorableError as error:  # a provider's tool call that holds what JSON does not
            raise AssertionError("answers are plain data") from error
        return answer

    async def _traced(self, way: Way) -> Answer:
        began, scope = time.time(), current_scope()
        answer: Answer | None = None
        failure: Exception | None = None
        try:
            answer = await self._asked(way)
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
        return answer

    async def _asked(self, way: Way) -> Answer:
        """The answer of the first attempt that has one."""
        if self.run.outlook is not None:
            raise self.run.outlook.refuse(estimate_of(self.request, self.turns))
        self._admit()
        policy = policy_of(self.task, self.run.workspace.settings)
        failed, waited = 0, 0.0
        while True:
            try:
                return await converse(self.request, self.turns, way, failed_before=failed)
            except Exception as error:
                failed += 1
                pause = next_delay(policy, failed, error, waited_seconds=waited, random=random.random)
                if pause is None:
                    raise
            waited += pause
            await way.sleep(pause)

    def _admit(self) -> None:
        """A call inside of a row belongs to it; one of the flow itself counts in the run's budget."""
        budget = self.run.budget
        if budget is not None and current_scope() is None and not budget.admit(self.task):
            raise RunStoppedError(budget.reached or "The run was stopped.", self.task.name)


def _wanted(refresh: Refresh) -> Callable[[Answer], bool]:
    """Whether a remembered answer will do."""
    if refresh == "incomplete":
        return lambda answer: answer.is_complete
    return lambda answer: not refresh


def _attributes(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "model": answer.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": answer.cost_usd,
        "finish_reason": answer.finish_reason,
        "attempts": answer.attempts,
    }

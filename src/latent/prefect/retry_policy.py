"""
Whether a failed attempt is made again, and after how long: pure functions on plain values.

The provider's answer decides where an error carries one, `retry_on` and `no_retry_on` where a task has them,
and Prefect's `retry_condition_fn` before both. `latent.prefect.retries` applies the decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from latent.errors import ContextWindowError, LatentError, RegistryError, RowEndedError, TaskExecutionError
from latent.provider_errors.responses import answer_of

if TYPE_CHECKING:
    from latent.provider_errors.responses import ProviderAnswer

Matcher: TypeAlias = "type[BaseException] | int | Callable[[BaseException], object]"
"""What `retry_on` names errors by: a class, an HTTP status, or a function that looks at the error."""

RetryOn: TypeAlias = "Matcher | Iterable[Matcher]"
"""What `@task(retry_on=...)` takes."""

_SHORTEST_DAY_SECONDS = 60.0
"""Gemini names a wait of some seconds also where the allowance of a day is used up, which is no help."""

HINT_SPREAD = 0.1
"""Share that a provider's wait is prolonged by at most, so that rows told the same do not return together."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Pauses that double, each drawn independently.

    With jitter 1 a pause is anything between nothing and its full length: the "full jitter" of AWS's
    "Exponential Backoff And Jitter" (Brooker 2015), which spreads rows that failed together best.
    """

    base_seconds: float
    max_seconds: float
    jitter: float = 1.0
    """The share of a pause that is left to chance, 0 to 1."""

    def length(self, attempt: int) -> float:
        """The longest pause after the given attempt, 1-based."""
        # 2.0 ** 1024 overflows; no cap is reached later than after 60 doublings of a microsecond.
        return min(self.base_seconds * 2.0 ** min(attempt - 1, 60), self.max_seconds)

    def pause(self, attempt: int, random: Callable[[], float]) -> float:
        """The pause after the given attempt."""
        return self.length(attempt) * (1.0 - self.jitter * random())


@dataclass(frozen=True, slots=True)
class ListedPauses:
    """Pauses as Prefect takes them: exactly these, then the last one again, varied by Prefect's factor."""

    seconds: tuple[float, ...]
    jitter_factor: float | None = None

    def pause(self, attempt: int, random: Callable[[], float]) -> float:
        """The pause after the given attempt; 0 when none is listed."""
        if not self.seconds:
            return 0.0
        average = self.seconds[min(attempt, len(self.seconds)) - 1]
        return _varied(average, self.jitter_factor, random) if self.jitter_factor else average

    def longest_total(self, retries: int) -> float:
        """All pauses of a call together, at their longest."""
        if not self.seconds:
            return 0.0
        listed = self.seconds[:retries]
        repeated = self.seconds[-1] * (retries - len(listed))
        return (sum(listed) + repeated) * (1.0 + (self.jitter_factor or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What a task and its workspace's settings say about trying again."""

    retries: int
    """Further attempts after the first."""
    backoff: Backoff
    listed: ListedPauses | None = None
    """
    The task's own pauses; None: the backoff's.

    Without a single one, as with `retries=2` alone, there is no pause as in Prefect, except after a
    provider's answer: asked again at once, it would refuse again.
    """
    max_total_seconds: float = math.inf
    """All pauses of one call together are at most this long; a longer wait is not begun."""
    retry_on: tuple[Matcher, ...] | None = None
    """None: what can succeed later; see `can_succeed_later`."""
    no_retry_on: tuple[Matcher, ...] = ()
    condition: Callable[[BaseException], bool] | None = None
    """Prefect's `retry_condition_fn`: what it declines is not retried."""


def next_delay(
    policy: RetryPolicy,
    attempt: int,
    error: BaseException,
    *,
    waited_seconds: float = 0.0,
    random: Callable[[], float],
) -> float | None:
    """
    Seconds until the next attempt; None when there is none.

    A provider's own wait is kept in full, also beyond the cap on a single pause. If it would not end within
    the cap on all pauses together, the call fails at once: to ask before is no use.

    Args:
        attempt: 1-based number of the attempt that failed.
        waited_seconds: The pauses of this call so far.
        random: Gives numbers from 0 to 1.
    """
    if attempt > policy.retries or isinstance(error, RowEndedError):
        return None
    answer = answer_of(error)
    if not _is_retried(policy, original_of(error), answer):
        return None
    pause = _pause(policy, attempt, answer, random)
    hint = answer.retry_after_seconds if answer is not None else None
    if hint:
        spread = HINT_SPREAD if policy.backoff.jitter else 0.0
        pause = max(pause, hint * (1.0 + spread * random()))
    return pause if waited_seconds + pause <= policy.max_total_seconds else None


def can_succeed_later(error: BaseException, answer: ProviderAnswer | None) -> bool:
    """
    Whether the same attempt may succeed later, when nobody said more about it.

    Not what latent itself refuses, since that stays wrong until a user corrects it, and not what a provider
    refused (400, 401, 403, 404, 422, ...). Everything else may.
    """
    if answer is None:
        return not isinstance(error, LatentError)
    # llama.cpp says of a prompt that is too long for it that it failed (500).
    return not answer.is_refusal and not isinstance(error, ContextWindowError)


def why_everything_stops(error: BaseException) -> str | None:
    """
    Why no other call can succeed either, in a sentence or two for the user; None when others can.

    That is so only for an exhausted quota. A refused key (401) is not counted: rows may use different keys
    and services. A task whose rows use the same says so (`fatal`), and `max_failures` ends a map that
    fails all over.
    """
    answer = answer_of(error)
    if answer is None or not answer.quota_exhausted:
        return None
    said = f": {answer.message.strip()}" if answer.message.strip() else ""
    what, until = "quota is used up", "credit is added or the limit is raised there"
    if answer.is_of_a_day:
        what, until = "allowance of the day, or longer, is used up", _until(answer.retry_after_seconds)
    return (
        f"The provider says that the {what} (HTTP {answer.status}{said}). No further request can succeed "
        f"until {until}. What is finished is kept: run again then, and it goes on from there."
    )


def _until(seconds: float | None) -> str:
    """When an allowance is there again, by the local clock."""
    if seconds is None or seconds < _SHORTEST_DAY_SECONDS:
        return "it starts over (the provider does not say when), or the limit is raised there"
    moment = datetime.now().astimezone() + timedelta(seconds=seconds)
    return f"{moment:%H:%M on %Y-%m-%d}, when there is room again, or the limit is raised there"


def original_of(error: BaseException) -> BaseException:
    """What failed innermost: a nested task's failure is about that."""
    while isinstance(error, TaskExecutionError):
        error = error.original_error
    return error


def matchers(owner: str, option: str, given: object) -> tuple[Matcher, ...] | None:
    """
    What `retry_on=` or `no_retry_on=` names; None for None.

    Raises:
        RegistryError: It names something else than exception classes, HTTP statuses and functions.
    """
    if given is None:
        return None
    listed = given if isinstance(given, Iterable) and not isinstance(given, str | bytes | type) else (given,)
    return tuple(_matcher(owner, option, each) for each in listed)


def _matcher(owner: str, option: str, given: object) -> Matcher:
    if isinstance(given, type):
        if issubclass(given, BaseException):
            return given
    elif isinstance(given, int) and not isinstance(given, bool):
        if 100 <= given <= 599:
            return given
    elif callable(given):
        return given
    raise RegistryError(
        f"{owner}: `{option}` names errors by exception classes, HTTP statuses (100 to 599) or functions of "
        f"the error, one or several, not {given!r}. "
        f"Write {option}=TimeoutError or {option}=(429, TimeoutError)."
    )


def _is_retried(policy: RetryPolicy, error: BaseException, answer: ProviderAnswer | None) -> bool:
    if answer is not None and answer.quota_exhausted:
        return False
    if policy.condition is not None and not policy.condition(error):
        return False
    if _matches(policy.no_retry_on, error, answer):
        return False
    if policy.retry_on is not None:
        return _matches(policy.retry_on, error, answer)
    return policy.condition is not None or can_succeed_later(error, answer)


def _matches(named: tuple[Matcher, ...], error: BaseException, answer: ProviderAnswer | None) -> bool:
    return any(_is_meant(matcher, error, answer) for matcher in named)


def _is_meant(matcher: Matcher, error: BaseException, answer: ProviderAnswer | None) -> bool:
    if isinstance(matcher, int):
        return answer is not None and answer.status == matcher
    if isinstance(matcher, type):
        return _is_instance(error, matcher)
    return bool(matcher(error))


def _is_instance(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether it, or one of the errors that a group holds (a TaskGroup's, say), is of this kind."""
    if isinstance(error, kind):
        return True
    return isinstance(error, BaseExceptionGroup) and any(
        _is_instance(each, kind) for each in error.exceptions
    )


def _pause(
    policy: RetryPolicy, attempt: int, answer: ProviderAnswer | None, random: Callable[[], float]
) -> float:
    answered = answer is not None and answer.status is not None
    if policy.listed is None or (answered and not policy.listed.seconds):
        return policy.backoff.pause(attempt, random)
    return policy.listed.pause(attempt, random)


def _varied(average: float, factor: float, random: Callable[[], float]) -> float:
    """Prefect's jitter: a Poisson interval, clamped so that it is `average` in the mean."""
    from prefect.utilities.math import exponential_cdf, lower_clamp_multiple

    if average <= 0:
        return 0.0
    upper = exponential_cdf(average * (1 + factor), average)
    lower = exponential_cdf(max(0.0, average * lower_clamp_multiple(1 + factor)), average)
    drawn = lower + (upper - lower) * random()
    return -math.log(max(1.0 - drawn, 1e-10)) * average

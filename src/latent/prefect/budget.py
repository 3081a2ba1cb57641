"""What a run may spend: calls, money and time. When one is used up, rows that have not begun are skipped."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.errors import NotInRunError
from latent.prefect.run import current_run
from latent.prefect.run_options import RunOptions
from latent.prefect.scope import current_scope
from latent.prefect.usage import ServiceAccount, merged
from latent.registry import TaskRegistry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latent.config import Settings
    from latent.prefect.tasks import Task


_booking = Lock()
"""One row's calls may be made by several threads."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What runs have used up of a budget."""

    calls: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.calls + other.calls, self.cost_usd + other.cost_usd, self.seconds + other.seconds)


@dataclass(slots=True, kw_only=True)
class SharedBudget:
    """A budget that a run shares with others, such as those of a day; what is None is not limited."""

    max_calls: int | None = None
    max_cost_usd: float | None = None
    max_minutes: float | None = None
    per: str = "day"
    """The time that it is for."""
    others: Spent = Spent()
    """What the others have used up; the code that watches them puts a new value here."""

    def used_up(self, cost_usd: float, seconds: float) -> str | None:
        """What a run that spent so much has used up together with the others; None: there is more."""
        cost = self.others.cost_usd + cost_usd
        if self.max_cost_usd is not None and cost >= self.max_cost_usd:
            return (
                f"The budget of {_dollars(self.max_cost_usd)} a {self.per} is used up ({_dollars(cost)} were "
                f"spent, {_dollars(self.others.cost_usd)} of it by other runs)."
            )
        if self.max_minutes is not None and self.others.seconds + seconds >= self.max_minutes * 60:
            return f"The budget of {self.max_minutes:g} minutes a {self.per} is used up."
        return None


class Budget:
    """
    What is left of a run's budget; subflows share it; safe in threads.

    Args:
        max_calls: Calls of models, and rows of tasks under a limit, that may run; when there is neither,
            rows of all mapped tasks.
        max_cost_usd: What calls may cost, as told by `spend`; rows under way may bring more.
        max_minutes: Time from now on in which rows may begin.
        shared: A budget that holds beside this one, and for other runs, too.
    """

    def __init__(
        self,
        *,
        max_calls: int | None = None,
        max_cost_usd: float | None = None,
        max_minutes: float | None = None,
        shared: SharedBudget | None = None,
    ) -> None:
        self.shared = shared
        self._began = time.monotonic()
        self.max_calls, self.max_cost_usd, self.max_minutes = max_calls, max_cost_usd, max_minutes
        self.calls = 0
        self.cost_usd = 0.0
        self._deadline = None if max_minutes is None else time.monotonic() + max_minutes * 60
        self._lock = Lock()
        self.reached: str | None = None
        """Which part was used up, as a sentence; None while rows may begin."""

    @classmethod
    def of(cls, settings: Settings, options: RunOptions | None) -> Budget:
        """The budget of the settings, with what the run's own options replace."""
        given, wanted = settings.budget, options or RunOptions()
        return cls(
            max_calls=given.max_calls if wanted.max_calls is None else wanted.max_calls,
            max_cost_usd=given.max_cost_usd if wanted.max_cost_usd is None else wanted.max_cost_usd,
            max_minutes=given.max_minutes if wanted.max_minutes is None else wanted.max_minutes,
            shared=wanted.shared_budget,
        )

    def admit(self, task: Task[..., Any] | None, rows: int = 1) -> int:
        """
        How many of so many rows may begin; they count as calls from now on.

        Args:
            task: None: a request to a model, outside of rows.
        """
        if task is not None and task.is_free:
            return rows
        bounds = (self.reached, self.max_calls, self.max_cost_usd, self._deadline, self.shared)
        if all(bound is None for bound in bounds):
            return rows
        with self._lock:
            if self._is_used_up():
                return 0
            return self._counted(rows) if self.counts(task) else rows

    def admit_inside(self) -> bool:
        """Whether a task that is under way may ask a model; once money or time is used up, it still may."""
        if not self._limits_calls:
            return True
        with self._lock:
            return self._counted(1) > 0

    def counts(self, task: Task[..., Any] | None) -> bool:
        """Whether rows of a task count as calls; None: a request to a model."""
        if not self._limits_calls:
            return False
        is_service = task is None or task.limit is not None or task.estimator is not None
        return is_service or not TaskRegistry.is_any_paid()

    def spend(self, cost_usd: float) -> None:
        """Book what a call cost."""
        with self._lock:
            self.cost_usd += cost_usd

    def end(self, reason: str) -> None:
        """Let no further rows begin, whatever is left."""
        with self._lock:
            self.reached = self.reached or reason

    @property
    def _limits_calls(self) -> bool:
        return self.max_calls is not None or (self.shared is not None and self.shared.max_calls is not None)

    def _counted(self, calls: int) -> int:
        """How many of so many calls may be made; these are counted."""
        granted, reason = calls, ""
        if self.max_calls is not None and self.max_calls - self.calls < granted:
            granted = self.max_calls - self.calls
            reason = f"The budget of {self.max_calls:,} calls is used up."
        if (shared := self.shared) is not None and shared.max_calls is not None:
            left = max(shared.max_calls - shared.others.calls - self.calls, 0)
            if left < granted:
                granted = left
                reason = f"The budget of {shared.max_calls:,} calls a {shared.per} is used up."
        self.calls += granted
        self.reached = self.reached or reason or None
        return granted

    def _is_used_up(self) -> bool:
        if self.reached is None and self.max_cost_usd is not None and self.cost_usd >= self.max_cost_usd:
            budget, spent = _dollars(self.max_cost_usd), _dollars(self.cost_usd)
            self.reached = f"The budget of {budget} is used up ({spent} were spent)."
        if self.reached is None and self._deadline is not None and time.monotonic() >= self._deadline:
            self.reached = f"The budget of {self.max_minutes:g} minutes is used up."
        if self.reached is None and self.shared is not None:
            self.reached = self.shared.used_up(self.cost_usd, time.monotonic() - self._began)
        return self.reached is not None


def _dollars(amount: float) -> str:
    """Small amounts to a hundredth of a cent, as the summary of a run shows them."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:,.4f}"


def use(service: str, amounts: Mapping[str, int], cost_usd: float | None) -> None:
    """
    Book one answered call to a paid service on the row and the run that made it; nothing outside of runs.

    Args:
        service: Names it in the run's account: a model.
        amounts: What it counts, by name.
        cost_usd: None: its price is not known, which is told apart from free.
    """
    run, scope = current_run(), current_scope()
    account = ServiceAccount(1, int(cost_usd is None), Counter(amounts), cost_usd)
    with _booking:
        while scope is not None:
            scope.used = scope.used or {}
            merged(scope.used, {service: account})
            scope = scope.parent
    if run is None or (run.outcomes is None and current_scope() is None):
        return
    if run.outcomes is not None:
        run.outcomes.used({service: account})
    if cost_usd is not None:
        spend(cost_usd)


def spend(cost_usd: float) -> None:
    """
    Book what a call to a paid service cost, in US dollars, on the row and the run that made it.

    The live view, the run's records and the budget (`--max-cost`) count it. A remembered result costs nothing
    again.

    Raises:
        NotInRunError: No run is under way.
        ValueError: The cost is negative or no number.
    """
    if not cost_usd >= 0:
        raise ValueError(f"A cost is a number of US dollars, at least 0, not {cost_usd!r}.")
    run, scope = current_run(), current_scope()
    if run is None:
        raise NotInRunError("`spend` books a cost on the running task, but no flow or task is running.")
    name = scope.task_name if scope is not None else run.flow_name
    with _booking:
        while scope is not None:
            scope.cost_usd = (scope.cost_usd or 0.0) + cost_usd
            scope = scope.parent
    run.spent(name, cost_usd)

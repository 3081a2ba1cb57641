"""
One limit within a process: who waits, who is in, and when the limit store must be asked.

Without locks and without a clock of its own: `Limiter` holds the lock, and passes the time in.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from latent.limits.allocation import Ask, Grant
from latent.limits.bucket import at_new_rate, departure_bucket
from latent.limits.controller import Answers, News
from latent.limits.waiting import FairQueue, Place, Waiter

if TYPE_CHECKING:
    from latent.config.settings import LimitSettings

POLL_SECONDS = 0.005
"""How often the others are looked at while slots are wanted here, or idle."""
RECHECK_SECONDS = 0.1
"""How often a process that lacks slots asks again without a sign that anything has changed."""
BEAT_SECONDS = 1.0
"""How often a process that holds anything says that it is there, and what it holds."""
KEEP_SECONDS = 0.25
"""While there is no other process, idle slots stay for so long: the next call will not have to ask."""
REST_SECONDS = 5.0
"""The file is closed after this long without a call."""
NEWS_SECONDS = 0.1
"""Successes are told to the controller together."""
BLOCK_SECONDS = 0.02
"""Calls that begin within this time are booked together."""

NEVER = float("inf")


class Action(Enum):
    """What the limit worker does for a limit."""

    NONE = "nothing before `due`"
    CHECK = "sync with the limit store if what others did is a reason to"
    SYNC = "sync with the limit store"
    LEAVE = "take this process off the list"
    CLOSE = "let go of the file"


@dataclass(frozen=True, slots=True)
class Plan:
    """An action with what it needs."""

    action: Action
    ask: Ask | None = None
    """What is told on a sync; for a check it is made up only once there is something new to see."""
    booking: tuple[Waiter, ...] = ()
    """The waiters whose calls are booked on this sync."""


class LocalQueue:
    """Who waits for a limit in this process and who was let in."""

    def __init__(self, name: str, settings: LimitSettings) -> None:
        self.name, self.settings = name, settings
        self.due = NEVER
        """When the thread has something to do."""
        self.grant: Grant | None = None
        """What the limit store said last; None while this process is not on its list."""
        self.owned = 0
        """Slots of this process, used or idle."""
        self.in_use = 0
        """Calls that hold a slot: under way, or booked to begin soon."""
        self.queue = FairQueue()
        self._booked: list[tuple[float, int, Waiter]] = []
        self._runs: Counter[str] = Counter()
        self._news: list[News] = []
        self._answers: list[tuple[float, int, bool]] = []
        self._begun = self._sequence = 0
        self._returned_requests, self._returned_tokens = 0, 0.0
        self._has_gone = False
        self._tell_at = self._idle_since = self._rest_at = NEVER
        self._sync_at = 0.0
        self._departures_full_at = 0.0
        self._departures_rate: float | None = None
        self._delayed = 0
        """Calls that were let in, and wait for others of this process to go first."""

    def enter(self, waiter: Waiter, now: float) -> bool:
        """Let a call in, or put it in the queue; whether it is in."""
        if not self.queue and self._may_begin():
            self._hold(waiter)
            self._begin(waiter, now)
            return True
        waiter.place = Place.QUEUED
        self.queue.append(waiter)
        if self.grant is None or len(self.queue) == 1:
            self.hasten(now)
        elif self._may_get_more(self.grant):
            self.ask_soon(now)
        return False

    def depart(self, waiter: Waiter, now: float) -> float:
        """
        How long a call that was let in still waits, as others here begin only now too; 0.0: it goes.

        No place is reserved for waiting calls: the first one awake when a call may start is the next,
        so that an overslept moment is lost to nobody.
        """
        if not waiter.rate:
            return 0.0
        rate = self.grant.rate if self.grant is not None and self.grant.rate else waiter.rate
        bucket = departure_bucket(rate, self.settings.burst)
        self._departures_full_at = at_new_rate(self._departures_full_at, now, self._departures_rate, rate)
        self._departures_rate = rate
        next_at = self._departures_full_at - (bucket.capacity - 1) / bucket.per_second
        if next_at <= now:
            self._forget_delay(waiter)
            self._departures_full_at = max(self._departures_full_at, now) + 1 / bucket.per_second
            waiter.began_at = now
            return 0.0
        if waiter.departs_at is None:
            waiter.departs_at = next_at + self._delayed / bucket.per_second
            self._delayed += 1
        elif waiter.departs_at <= now:
            waiter.departs_at = next_at
        return waiter.departs_at - now

    def leave(self, waiter: Waiter, now: float, *, succeeded: bool) -> None:
        """A call has ended: its slot goes to the next one here, or becomes idle."""
        if succeeded and self.settings.adaptive:
            self._answers.append((now - waiter.began_at, waiter.in_flight, waiter.was_held_back))
            self._tell_at = min(self._tell_at, now + NEWS_SECONDS)
            self.hasten(self._tell_at)
        self._free(waiter, now)

    def give_up(self, waiter: Waiter, now: float) -> None:
        """A call that waited was cancelled; if it had just been let in, it leaves again."""
        if waiter.place is Place.QUEUED:
            self.queue.remove(waiter)
        elif waiter.place is Place.BOOKED:
            self._has_gone = True
        elif waiter.place is Place.IN:
            self._forget_delay(waiter)
            self._refund(waiter, now)
            self._free(waiter, now)
        waiter.place = Place.GONE
        self.hasten(now)

    def tell(self, news: News, now: float) -> None:
        """Let the controller hear of an answer, at once."""
        self._news.append(news)
        self._tell_at = now
        self.hasten(now)

    def book(self, tokens: float, requests: int, now: float) -> None:
        """Take `tokens` and requests more for a call that is in; negative gives some back."""
        self._returned_tokens -= tokens
        self._returned_requests -= requests
        self._tell_at = min(self._tell_at, now + NEWS_SECONDS)
        self.hasten(self._tell_at)

    def ask_soon(self, now: float) -> None:
        """Sync with the limit store whether or not anything happened here."""
        if self.grant is not None:
            self._sync_at = now
            self.hasten(now)

    def hasten(self, due: float) -> None:
        """Have the thread come by then."""
        self.due = min(self.due, due)

    def plan(self, now: float) -> Plan:
        """What the thread has to do now; begins booked calls whose time has come."""
        self.due = NEVER  # what comes up from here on hastens it again
        self._clear_gone(now)
        self._begin_booked(now)
        if self.grant is None:
            if self.queue:
                return Plan(Action.SYNC, self.ask())
            return Plan(self._rest(now))
        booking = self._bookable()
        gave_back = self._give_back_idle(now)
        if booking or gave_back or now >= min(self._tell_at, self._sync_at):
            return Plan(Action.SYNC, self.ask(booking), booking)
        if self._is_unused() and now - self._idle_since >= KEEP_SECONDS:
            return Plan(Action.LEAVE)
        return Plan(Action.CHECK if self._watches_others() else Action.NONE)

    def apply(self, plan: Plan, grant: Grant, now: float) -> None:
        """Act on what the limit store granted."""
        self.grant, self.owned = grant, grant.owned
        for waiter, start in zip(plan.booking, grant.starts, strict=True):
            self._sequence += 1
            waiter.start_at, waiter.rate = start, grant.rate
            heapq.heappush(self._booked, (start, self._sequence, waiter))
        self._sync_at = now + BEAT_SECONDS
        self._clear_gone(now)
        self._begin_booked(now)
        self._hurry_booked(now)
        self._admit(now)
        self._note_idle(now)
        if plan.ask is not None and self.in_use != plan.ask.in_use:
            self._sync_at = now + RECHECK_SECONDS  # so that others are shown what is true now
        if self._lacks_slots():
            self._sync_at = now if self._may_get_more(grant) else now + RECHECK_SECONDS

    def abandon(self, plan: Plan, told: Ask, now: float) -> None:
        """The sync came to nothing: calls that were to be booked wait again, what was told is told again."""
        requests, tokens = told.returned
        self._news = [*told.news, *self._news]
        self._begun += told.begun
        self._returned_requests += requests
        self._returned_tokens += tokens
        self._tell_at = min(self._tell_at, now + BEAT_SECONDS)
        for waiter in reversed(plan.booking):
            self._unhold(waiter)
            if waiter.place is Place.BOOKED:
                waiter.place = Place.QUEUED
                self.queue.push_back(waiter)
        self.hasten(now + BEAT_SECONDS)

    def retire(self, now: float) -> None:
        """This process is off the list; the next call puts it on again."""
        self.grant, self.owned = None, 0
        self._tell_at = self._idle_since = NEVER
        self._rest_at = now + REST_SECONDS

    def schedule(self, now: float) -> None:
        """Set `due` to when the thread has to come next, unless something sooner came up meanwhile."""
        if self.grant is None:
            self.hasten(now if self.queue else self._rest_at)
            return
        if self._booked:
            self.hasten(self._booked[0][0])
        if self._is_unused():
            self.hasten(self._idle_since + KEEP_SECONDS)
        if self._watches_others():
            self.hasten(now + POLL_SECONDS)
        self.hasten(min(self._tell_at, self._sync_at))

    def _may_begin(self) -> bool:
        grant = self.grant
        if grant is None or grant.is_paced:
            return False
        return grant.capacity is None or self.in_use < self._usable(grant)

    def _usable(self, grant: Grant) -> int:
        """Slots that may be used: while others lack theirs, no more than a fair share."""
        return min(self.owned, grant.share) if grant.others_wait else self.owned

    def _lacks_slots(self) -> bool:
        grant = self.grant
        return bool(
            self.queue and grant and grant.capacity is not None and self.in_use >= self._usable(grant)
        )

    def _may_get_more(self, grant: Grant) -> bool:
        """Whether it pays to ask again at once: more wait than the limit store knows, or slots are free."""
        has_grown = self.in_use + len(self.queue) > grant.asked
        return self._lacks_slots() and has_grown and (grant.free > 0 or grant.share >= grant.asked)

    def _rest(self, now: float) -> Action:
        """What is due without any call: to let go of the file, once."""
        if now < self._rest_at:
            return Action.NONE
        self._rest_at = NEVER
        return Action.CLOSE

    def _watches_others(self) -> bool:
        if self.grant is None or self.grant.capacity is None:
            return False
        return bool(self.queue) or self.owned > self.in_use

    def _is_unused(self) -> bool:
        return not self.in_use and not self.queue

    def _hold(self, waiter: Waiter) -> None:
        self.in_use += 1
        self._runs[waiter.run_id] += 1
        if self.in_use >= self.owned:
            self._idle_since = NEVER

    def _unhold(self, waiter: Waiter) -> None:
        self.in_use -= 1
        self._runs[waiter.run_id] -= 1
        if not self._runs[waiter.run_id]:
            del self._runs[waiter.run_id]

    def _begin(self, waiter: Waiter, now: float) -> bool:
        """Wake a waiter that holds a slot; False when nobody is there any more, and the slot is free."""
        grant = self.grant
        waiter.place, waiter.began_at = Place.IN, now
        waiter.rate = grant.rate if grant else None
        waiter.in_flight = self.in_use - len(self._booked) + (grant.others_in_use if grant else 0)
        if not waiter.wake():
            waiter.place = Place.GONE
            self._refund(waiter, now)
            self._unhold(waiter)
            return False
        if waiter.start_at is None:
            self._begun += 1
        return True

    def _admit(self, now: float) -> None:
        while self.queue and self._may_begin():
            waiter = self.queue.pop()
            self._hold(waiter)
            self._begin(waiter, now)

    def _free(self, waiter: Waiter, now: float) -> None:
        self._unhold(waiter)
        self._admit(now)
        self._note_idle(now)
        grant = self.grant
        if grant is not None and self.queue and (grant.is_paced or grant.others_wait):
            self.hasten(now)

    def _note_idle(self, now: float) -> None:
        """Slots became idle, or there is nothing left to do: the thread watches what becomes of it."""
        grant = self.grant
        if grant is None or (self.in_use and (grant.capacity is None or self.in_use >= self.owned)):
            self._idle_since = NEVER
            return
        self._idle_since = min(self._idle_since, now)
        if grant.capacity is None:
            self.hasten(now + KEEP_SECONDS)
        else:
            self.hasten(now if grant.others_wait else now + POLL_SECONDS)

    def _give_back_idle(self, now: float) -> int:
        """Let go of slots that others lack, or that nobody here has used for a while; how many."""
        grant = self.grant
        if grant is None or grant.capacity is None or (idle := self.owned - self.in_use) <= 0:
            return 0
        patience = 0.0 if grant.others_wait else POLL_SECONDS if grant.members > 1 else KEEP_SECONDS
        if now - self._idle_since < patience:
            return 0
        extra = min(idle, max(0, self.owned - grant.share)) if self.queue else idle
        self.owned -= extra
        return extra

    def _bookable(self) -> tuple[Waiter, ...]:
        """Waiters taken out of the queue whose calls are booked next; they hold their slots from now on."""
        grant = self.grant
        if grant is None or not grant.is_paced or not self.queue:
            return ()
        # Each process looks ahead by its own part of the rate: what all of them have booked may begin at once
        # when the whole machine stood still.
        rate = (grant.rate or 1 / BLOCK_SECONDS) / max(1, grant.members)
        block = math.ceil(rate * BLOCK_SECONDS)
        # At a high rate a second block is booked while the first one begins, so that no time is lost. At a
        # low one that would put calls off for long that a change of the rate could let begin sooner.
        room = (2 if rate > 20 else 1) * block - len(self._booked)
        if grant.capacity is not None:
            room = min(room, self._usable(grant) - self.in_use)
        taken: list[Waiter] = []
        while self.queue and len(taken) < room:
            waiter = self.queue.pop()
            waiter.place = Place.BOOKED
            self._hold(waiter)
            taken.append(waiter)
        return tuple(taken)

    def _begin_booked(self, now: float) -> None:
        while self._booked and self._booked[0][0] <= now:
            _, _, waiter = heapq.heappop(self._booked)
            self._begin(waiter, now)

    def _hurry_booked(self, now: float) -> None:
        """Book waiting calls again when the rate has doubled since: they would wait too long."""
        rate = self.grant.rate if self.grant else None
        if not rate or not any(waiter.rate and rate >= 2 * waiter.rate for _, _, waiter in self._booked):
            return
        for _, _, waiter in sorted(self._booked, reverse=True):
            self._refund(waiter, now)
            self._unhold(waiter)
            waiter.place, waiter.start_at = Place.QUEUED, None
            self.queue.push_back(waiter)
        self._booked.clear()

    def _forget_delay(self, waiter: Waiter) -> None:
        if waiter.departs_at is not None:
            waiter.departs_at = None
            self._delayed -= 1

    def _clear_gone(self, now: float) -> None:
        """Free the slots of booked calls that were cancelled."""
        if not self._has_gone:
            return
        self._has_gone = False
        gone = [each for each in self._booked if each[2].place is Place.GONE]
        self._booked = [each for each in self._booked if each[2].place is not Place.GONE]
        heapq.heapify(self._booked)
        for _, _, waiter in gone:
            self._refund(waiter, now)
            self._free(waiter, now)

    def _refund(self, waiter: Waiter, now: float) -> None:
        """What was booked for a call that was not made is there for others."""
        if waiter.start_at is not None:
            self._tell_at = now
            self.hasten(now)
            self._returned_requests += 1
            self._returned_tokens += waiter.tokens

    def ask(self, booking: tuple[Waiter, ...] = ()) -> Ask:
        """What this process holds and wants now, with the calls that are to be booked."""
        waiting = self.queue.by_run()
        runs = {run: (self._runs[run], waiting.get(run, 0)) for run in {*self._runs, *waiting}}
        return Ask(
            name=self.name,
            settings=self.settings,
            owned=self.owned,
            in_use=self.in_use,
            waiting=len(self.queue),
            runs=json.dumps(runs),
            tokens=tuple(waiter.tokens for waiter in booking),
        )

    def with_news(self, ask: Ask) -> Ask:
        """`ask` with all that happened since the last sync; it counts as told from now on."""
        news = list(self._news)
        if self._answers:
            seconds, in_flight, held_back = zip(*self._answers, strict=True)
            answers = Answers(len(seconds), sum(seconds) / len(seconds), max(in_flight), any(held_back))
            news.insert(0, answers)
        told = replace(
            ask,
            begun=self._begun,
            returned=(self._returned_requests, self._returned_tokens),
            news=tuple(news),
        )
        self._news, self._answers, self._begun, self._tell_at = [], [], 0, NEVER
        self._returned_requests, self._returned_tokens = 0, 0.0
        return told

"""Results that say that there is no usable answer in them: their calls count as `abstained`, not `ok`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from latent.tracking.records import Outcome


class Abstaining(Protocol):
    """What a result has that may abstain: an answer of a model, say. It is remembered like any other."""

    @property
    def latent_abstained(self) -> bool:
        """Whether there is no usable answer in it."""


def unremembered(value: object) -> Any:
    """What a task returns whose result is `value`, but is not to be remembered."""
    from prefect.states import Completed

    return Completed(data=value)


def outcome_of(value: object) -> Outcome:
    """The outcome of a call that returned `value`."""
    return "abstained" if getattr(value, "latent_abstained", False) is True else "ok"


def recalled_outcome(value: object) -> Outcome:
    """
    The outcome of a call whose remembered result is `value`.

    One that abstained then abstains again: whoever counts answers must not take it for one.
    """
    return "abstained" if getattr(value, "latent_abstained", False) is True else "cached"

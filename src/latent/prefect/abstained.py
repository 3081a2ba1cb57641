"""
Results that say that there is no usable answer in them: their calls count as `abstained`, not `ok`.

Such a result has a property `latent_abstained` that is True: an answer of a model, say. It is remembered like
any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latent.tracking.records import Outcome


def unremembered(value: object) -> Any:
    """What a task returns whose result is `value`, but is not to be remembered."""
    from prefect.states import Completed

    return Completed(data=value)


def outcome_of(value: object) -> Outcome:
    """The outcome of a call that returned `value`."""
    return "abstained" if _abstains(value) else "ok"


def recalled_outcome(value: object) -> Outcome:
    """
    The outcome of a call whose remembered result is `value`.

    One that abstained then abstains again: it must not be counted as an answer.
    """
    return "abstained" if _abstains(value) else "cached"


def _abstains(value: object) -> bool:
    return getattr(value, "latent_abstained", False) is True

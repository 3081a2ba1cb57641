"""Admission: how many calls, requests and tokens a named limit lets through; and what providers answer."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.errors import UnknownLimitError as UnknownLimitError
    from latent.limits.block import LimitBlock as LimitBlock
    from latent.limits.block import limit as limit
    from latent.limits.limiter import Limiter as Limiter
    from latent.limits.lookup import limiter_for as limiter_for
    from latent.limits.permit import Permit as Permit
    from latent.limits.permit import observe as observe
    from latent.limits.status import Holder as Holder
    from latent.limits.status import LimitStatus as LimitStatus
    from latent.limits.status import snapshot as snapshot
    from latent.limits.waiting import AdmissionStopped as AdmissionStopped
    from latent.provider_errors.headers import HeaderLimit as HeaderLimit
    from latent.provider_errors.responses import ProviderAnswer as ProviderAnswer
    from latent.provider_errors.responses import answer_of as answer_of

_HOME = {
    "AdmissionStopped": "latent.limits.waiting",
    "HeaderLimit": "latent.provider_errors.headers",
    "Holder": "latent.limits.status",
    "LimitBlock": "latent.limits.block",
    "LimitStatus": "latent.limits.status",
    "Limiter": "latent.limits.limiter",
    "Permit": "latent.limits.permit",
    "ProviderAnswer": "latent.provider_errors.responses",
    "UnknownLimitError": "latent.errors",
    "answer_of": "latent.provider_errors.responses",
    "limit": "latent.limits.block",
    "limiter_for": "latent.limits.lookup",
    "observe": "latent.limits.permit",
    "snapshot": "latent.limits.status",
}

__all__ = [  # noqa: RUF022  # listed by what they are for
    "limit",
    "LimitBlock",
    "limiter_for",
    "Limiter",
    "Permit",
    "observe",
    "AdmissionStopped",
    "UnknownLimitError",
    "snapshot",
    "LimitStatus",
    "Holder",
    "ProviderAnswer",
    "HeaderLimit",
    "answer_of",
]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)

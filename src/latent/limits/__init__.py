"""Admission: how many calls, requests and tokens a named limit lets through; and what providers answer."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.limits.response_headers import HeaderLimit as HeaderLimit
    from latent.limits.responses import ProviderAnswer as ProviderAnswer
    from latent.limits.responses import answer_of as answer_of

_HOME = {
    "HeaderLimit": "latent.limits.response_headers",
    "ProviderAnswer": "latent.limits.responses",
    "answer_of": "latent.limits.responses",
}

__all__ = ["ProviderAnswer", "HeaderLimit", "answer_of"]  # noqa: RUF022  # listed by what they are for


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)

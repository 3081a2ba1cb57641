"""One call to a model: providers, structured output, embeddings, usage and cost."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.errors import ModelCallError as ModelCallError

_HOME = {
    "ModelCallError": "latent.errors",
}

__all__ = [
    "ModelCallError",
]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)

"""One call to a model: providers, structured output, embeddings, usage and cost."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.errors import ModelCallError as ModelCallError
    from latent.llm.answer import Answer as Answer
    from latent.llm.answer import Usage as Usage
    from latent.llm.embedder import Embedder as Embedder
    from latent.llm.messages import File as File
    from latent.llm.messages import Image as Image
    from latent.llm.messages import Message as Message
    from latent.llm.model import Model as Model
    from latent.llm.prompts import PromptTemplate as PromptTemplate
    from latent.llm.prompts import prompt as prompt

_HOME = {
    "Answer": "latent.llm.answer",
    "Embedder": "latent.llm.embedder",
    "File": "latent.llm.messages",
    "Image": "latent.llm.messages",
    "Message": "latent.llm.messages",
    "Model": "latent.llm.model",
    "PromptTemplate": "latent.llm.prompts",
    "Usage": "latent.llm.answer",
    "prompt": "latent.llm.prompts",
    "ModelCallError": "latent.errors",
}

__all__ = [  # noqa: RUF022  # listed by what they are for
    "Model",
    "Embedder",
    "Answer",
    "Usage",
    "Message",
    "Image",
    "File",
    "prompt",
    "PromptTemplate",
    "ModelCallError",
]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)

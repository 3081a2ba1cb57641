"""Prepare: cut Python's language reference into chunks that can be searched by meaning."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from flows.embedding import embed
from pydantic import BaseModel, Field, model_validator

from latent.prefect import flow, logger, params, task

if TYPE_CHECKING:
    import pandas as pd


class PrepareConfig(BaseModel):
    """What `parameters.yaml` may say; checked when the flow starts."""

    chunk_chars: int = Field(default=500, ge=100, le=10_000, description="Longest chunk, in characters")
    overlap_chars: int = Field(default=100, ge=0, description="What neighbours share, in characters")

    @model_validator(mode="after")
    def overlap_leaves_something_new(self) -> Self:
        if self.overlap_chars > self.chunk_chars // 2:
            raise ValueError("overlap_chars must be at most half of chunk_chars")
        return self


@task("load_topics", output="topics")
def load_topics(python: str) -> dict[str, str]:
    """
    The text of each topic of the language reference, by the topic's name.

    Args:
        python: The interpreter's version. Nothing else changes the text, so the result is remembered by it.
    """
    from pydoc_data.topics import topics

    logger.info(f"Python {python.split()[0]} carries {len(topics)} topics")
    return dict(topics)


@task("split_topics", input="topics", output="passages")
def split_topics(topics: dict[str, str]) -> pd.DataFrame:
    """All topics in overlapping passages: their id, topic, offset in the topic (`start`) and text."""
    import pandas as pd

    passages = [
        {"id": f"{topic}:{number}", "topic": topic, "start": start, "text": text[start:end]}
        for topic, text in topics.items()
        for number, (start, end) in enumerate(spans(text, params.chunk_chars, params.overlap_chars))
    ]
    logger.info(f"{len(passages)} passages of at most {params.chunk_chars} characters")
    return pd.DataFrame(passages)


@task("embed_passages", input="passages", output="chunks", span_type="EMBEDDING")
def embed_passages(passages: pd.DataFrame) -> pd.DataFrame:
    """The passages with a column `embedding`: the meaning of topic heading and text, as a vector."""
    headings = passages["topic"].map(passages.groupby("topic")["text"].first().map(heading))
    vectors = embed((headings + "\n" + passages["text"]).to_list(), params.dimensions)
    return passages.assign(embedding=list(vectors))


@flow("prepare", config_schema=PrepareConfig)
def prepare() -> pd.DataFrame:
    """From the reference to its chunks, each with its embedding."""
    topics = load_topics(sys.version)
    passages = split_topics(topics)
    return embed_passages(passages)


def heading(text: str) -> str:
    """The first line of a topic: a passage from its middle seldom says what it is about."""
    return text.split("\n", 1)[0]


def spans(text: str, chunk_chars: int, overlap_chars: int) -> list[tuple[int, int]]:
    """
    Where to cut a text: (start, end) of each chunk, in order; together they cover all of it.

    A chunk ends after a paragraph if it can, else after a line or a word, and the next one begins at the
    first such border within the overlap.
    """
    found: list[tuple[int, int]] = []
    start = end = 0
    while end < len(text):
        end = _last_border(text, end, start + chunk_chars)
        found.append((start, end))
        start = _first_border(text, max(start + 1, end - overlap_chars), end)
    return found


BORDERS = ("\n\n", "\n", " ")


def _last_border(text: str, after: int, before: int) -> int:
    if before >= len(text):
        return len(text)
    for border in BORDERS:
        if (position := text.rfind(border, after, before)) >= 0:
            return position + len(border)
    return before


def _first_border(text: str, after: int, before: int) -> int:
    for border in BORDERS:
        if (position := text.find(border, after, before)) >= 0:
            return position + len(border)
    return after

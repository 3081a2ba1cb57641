"""Prepare: bring Python's language reference into an index that can be searched."""

from __future__ import annotations

import sys
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from latent.flows.document_ingestion import document_ingestion
from latent.prefect import flow, logger, params, task
from latent.rag import index_summary, open_store


class PrepareConfig(BaseModel):
    """What `parameters.yaml` may say; checked when the flow starts."""

    chunk_size: int = Field(default=500, ge=100, le=10_000, description="Longest chunk, in characters")
    overlap: int = Field(default=100, ge=0, description="What neighbours share, in characters")

    @model_validator(mode="after")
    def overlap_leaves_something_new(self) -> Self:
        if self.overlap > self.chunk_size // 2:
            raise ValueError("overlap must be at most half of chunk_size")
        return self


@task("load_topics", output="topics")
def load_topics(python: str) -> dict[str, str]:
    """
    The text of each topic of the language reference, by the topic's name: a file each.

    Args:
        python: The interpreter's version. Nothing else changes the text, so the result is remembered by it.
    """
    from pydoc_data.topics import topics

    logger.info(f"Python {python.split()[0]} carries {len(topics)} topics")
    return dict(topics)


@task("describe_index", cache=False, output="index")
def describe_index() -> dict[str, Any]:
    """What the index holds, in short: what is read from it depends on this, and on nothing else."""
    return index_summary(open_store("lancedb", params.index_name, create=False))


@flow("prepare", config_schema=PrepareConfig)
def prepare() -> None:
    """From the reference to an index of its chunks, by a flow that comes with latent."""
    load_topics(sys.version)
    document_ingestion(
        ["data/prepare/topics/*.txt"],
        params.index_name,
        chunk_size=params.chunk_size,
        overlap=params.overlap,
        embedder=params.embedder,
        max_loss=1.0,  # another Python has other topics
    )
    describe_index()

"""Clean a table of product reviews, find the mood of each, and count moods by product."""

from collections import Counter
from typing import Any

import pandas as pd

from latent.prefect import flow, logger, params, task


@task("clean", input="reviews", output="clean_reviews")
def clean(reviews: pd.DataFrame) -> pd.DataFrame:
    """Keep reviews with enough words. Remembered until the table, this code or `min_words` changes."""
    words = reviews["text"].str.split().str.len()
    return reviews[words >= params.min_words]


@task("mood")
def mood(text: str) -> str:
    """The mood of one review; a call to a model would stand here. Each row is remembered by itself."""
    words = [word.strip(".,!?").lower() for word in text.split()]
    score = sum(word in params.praise for word in words) - sum(word in params.complaints for word in words)
    return "positive" if score > 0 else "negative" if score < 0 else "mixed"


@flow("reviews", output="summary")
def reviews() -> dict[str, Any]:
    """Clean the reviews, find the mood of each, and count moods by product."""
    table = clean()
    moods = mood.map(text=table["text"].tolist()).result()
    logger.info(f"{len(moods)} reviews: {dict(Counter(moods))}")
    counts: dict[str, Counter[str]] = {}
    for product, found in zip(table["product"], moods, strict=True):
        counts.setdefault(product, Counter())[found] += 1
    return {product: dict(found) for product, found in sorted(counts.items())}

"""The same rows for every tool: questions, answers and passages cut from Python's own manual."""

from __future__ import annotations

import random
from pydoc_data.topics import topics
from typing import Any

PASSAGES = 2_000
"""Different ones; rows share them, as rows of one index do."""
PASSAGE_CHARS, ANSWER_CHARS, QUESTION_CHARS, EXPECTED_CHARS, REASON_CHARS = 800, 300, 80, 40, 120


def rows(count: int, passages: int) -> list[dict[str, Any]]:
    """
    Rows with `id`, `question`, `expected`, `output`, `reason` of a judge, and `passages`.

    Args:
        passages: Of each row.
    """
    text = "\n".join(topics.values())
    chance = random.Random(count)  # no secret: the same rows each time

    def cut(chars: int) -> str:
        at = chance.randrange(len(text) - chars)
        return " ".join(text[at : at + chars].split())

    pool = [cut(PASSAGE_CHARS) for _ in range(PASSAGES)]
    return [
        {
            "id": f"q{number:05}",
            "question": cut(QUESTION_CHARS),
            "expected": cut(EXPECTED_CHARS),
            "output": cut(ANSWER_CHARS),
            "reason": cut(REASON_CHARS),
            **({"passages": chance.sample(pool, passages)} if passages else {}),
        }
        for number in range(count)
    ]


def right(output: str) -> bool:
    """A score that is yes or no."""
    return len(output) % 3 > 0


def grade(output: str) -> int:
    """A score from 1 to 5."""
    return len(output) % 5 + 1

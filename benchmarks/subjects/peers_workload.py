"""The evaluation that latent and its peers do alike: what each row asks, and how its answer is scored."""

from __future__ import annotations

AT_ONCE = 64
MODEL = "gpt-5-mini"
MAX_TOKENS = 64


def rows_from(first: int, rows: int) -> list[dict[str, str]]:
    """Rows whose question no row before `first` has; the simulated model answers with the question."""
    numbers = range(first, first + rows)
    # Every second answer lacks what is expected, so that a mean of one cannot come from not looking.
    return [
        {"id": f"{n}", "question": f"Is it {n % 500} or {n}?", "expected": f"{n + n % 2}"} for n in numbers
    ]


def is_contained(output: str, expected: str) -> bool:
    return expected in output


def is_short(output: str, longest: int) -> bool:
    """The scorer that changes: by its `longest`."""
    return len(output) <= longest

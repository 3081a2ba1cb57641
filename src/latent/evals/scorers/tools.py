"""Whether a model called the expected tools, in the expected order, with the expected arguments."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from latent.errors import ScorerError
from latent.evals.scoring import Score, scorer

Call = tuple[str, dict[str, Any]]


@scorer(revision=1, scale=(0, 1))
def tool_calls(
    tool_calls: Sequence[Any] | None,
    expected_tool_calls: Sequence[Any] | None,
    *,
    order: Literal["exact", "in_order", "any"] = "any",
    arguments: Literal["exact", "subset"] = "subset",
) -> dict[str, Score] | None:
    """
    Three metrics of the tools that were called: `names_f1`, `order` and `arguments`.

    - `names_f1`: harmonic mean of the share of calls that were expected and of expected calls that were
      made, by name.
    - `order`: whether the calls are the expected ones (`exact`); hold them in their order, with others
      between (`in_order`); or hold them in any order (`any`).
    - `arguments`: share of the expected calls that were made with the expected arguments: these and no others
      (`exact`), or at least these (`subset`). Each call made answers for one that is expected.

    Source: the trajectory matches of LangChain's agentevals and of Google's Vertex AI. Unit: share, higher
    is better.

    Args:
        tool_calls: Of the answer: `name` and `arguments`, as JSON or as a mapping.
        expected_tool_calls: Names, or mappings with `name` and `arguments`. An empty list: none should be
            called.
    """
    if expected_tool_calls is None:
        return None
    made = [_call(each) for each in _listed(tool_calls)]
    wanted = [_call(each) for each in _listed(expected_tool_calls)]
    return {
        "names_f1": Score(_names_f1(made, wanted), answer=", ".join(name for name, _ in made)),
        "order": Score(_is_ordered([name for name, _ in made], [name for name, _ in wanted], order)),
        "arguments": Score(_arguments(made, wanted, arguments)),
    }


def _names_f1(made: Sequence[Call], wanted: Sequence[Call]) -> float:
    if not made and not wanted:
        return 1.0
    both = Counter(name for name, _ in made) & Counter(name for name, _ in wanted)
    return 2.0 * sum(both.values()) / (len(made) + len(wanted))


def _is_ordered(made: list[str], wanted: list[str], order: str) -> bool:
    if order == "exact":
        return made == wanted
    if order == "any":
        return not Counter(wanted) - Counter(made)
    left = iter(made)
    return all(name in left for name in wanted)


def _arguments(made: Sequence[Call], wanted: Sequence[Call], how: str) -> float:
    """The share of expected calls that can each be given a call of their own (by augmenting paths)."""
    if not wanted:
        return float(not made)
    fits = [[place for place, call in enumerate(made) if _fits(call, expected, how)] for expected in wanted]
    taken: dict[int, int] = {}

    def assign(number: int, tried: set[int]) -> bool:
        for place in fits[number]:
            if place not in tried:
                tried.add(place)
                if place not in taken or assign(taken[place], tried):
                    taken[place] = number
                    return True
        return False

    return sum(assign(number, set()) for number in range(len(wanted))) / len(wanted)


def _fits(call: Call, expected: Call, how: str) -> bool:
    (name, given), (wanted, needed) = call, expected
    if name != wanted:
        return False
    return (
        given == needed
        if how == "exact"
        else all(key in given and given[key] == needed[key] for key in needed)
    )


def _listed(calls: Any) -> Sequence[Any]:
    """Calls as a list, also where a file holds them as JSON, or a single one."""
    if isinstance(calls, str):
        try:
            calls = json.loads(calls)
        except ValueError:
            calls = [calls]
    return calls if isinstance(calls, list | tuple) else [calls] if calls else []


def _call(each: Any) -> Call:
    if isinstance(each, str):
        return each, {}
    if not isinstance(each, Mapping) or not isinstance(each.get("name"), str):
        raise ScorerError(
            "tool_calls", f"a call is a name, or a mapping with `name` and `arguments`, not {each!r:.80}."
        )
    given = each.get("arguments") or {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = {"": given}  # invalid JSON equals nothing that was expected
    return each["name"], dict(given) if isinstance(given, Mapping) else {"": given}

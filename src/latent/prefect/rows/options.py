"""How a task is mapped: what `.map`, `.map_stream` and `@task` take beside the rows themselves."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from latent.errors import UsageError

RowId = str | Callable[[Mapping[str, Any]], object] | Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOptions:
    """Options of a map; those that are None are left to the workspace's `[rows]` settings."""

    row_id: RowId | None = None
    """
    What names a row for good: an argument, a column of mapped mappings, a function of the row's arguments,
    or a list with a name for each row.

    None: its index and the hash of its content.
    """
    row_runs: Literal["auto", "all"] = "auto"
    """`all`: each row that is not remembered is a task run of its own, however many there are."""
    batch_size: int | None = None
    """Rows of one task run; None: chosen by the number of rows."""
    max_workers: int | None = None
    """Rows under way at the same time, over all batches."""
    on_error: Literal["raise", "collect"] = "raise"
    """`collect`: failed rows do not fail the flow, and stand as errors among the results."""
    max_failures: int | float | None = None
    """Stop once more rows than this have failed, or a larger share (a float below 1) of those that ended."""
    share_in_flight: bool = True
    """Whether a row that is under way elsewhere is waited for instead of being paid twice."""

    def checked(self, owner: str) -> RowOptions:
        """
        These options.

        Raises:
            UsageError: One of them cannot be; the message names the task, the option and what it may be.
        """
        for name in ("batch_size", "max_workers"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(f"{owner}: `{name}` is a number of rows, at least 1, not {value!r}.")
        self._check_choice(owner, "row_runs", ("auto", "all"))
        self._check_choice(owner, "on_error", ("raise", "collect"))
        _check_max_failures(owner, self.max_failures)
        is_usable = callable(self.row_id) or isinstance(self.row_id, str | list | tuple)
        if self.row_id is not None and not is_usable:
            raise UsageError(
                f"{owner}: `row_id` is the name of a column or argument, a function, or a list of ids, not "
                f"{self.row_id!r}."
            )
        return self

    def _check_choice(self, owner: str, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise UsageError(f"{owner}: `{name}` is {' or '.join(map(repr, choices))}, not {value!r}.")

    def with_changes(self, owner: str, changes: Mapping[str, Any]) -> RowOptions:
        """These options with some replaced, checked."""
        return replace(self, **changes).checked(owner) if changes else self


NAMES = tuple(each.name for each in fields(RowOptions))
"""The options' names."""


def split_options(
    given: Mapping[str, Any], parameters: Container[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments and the options among keywords: a name that the function has itself is its argument."""
    options = {name: value for name, value in given.items() if name in NAMES and name not in parameters}
    return {name: value for name, value in given.items() if name not in options}, options


def _check_max_failures(owner: str, value: float | None) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value < 0 or (isinstance(value, float) and not 0 < value < 1):
        raise UsageError(
            f"{owner}: `max_failures` is a number of rows, or a share between 0.0 and 1.0, not {value!r}."
        )

"""Which rows a run's options compute again (`--refresh`) or leave out (`--only-failed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latent.tracking.row_filter import parse_where
from latent.tracking.rows_view import failed_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from latent.prefect.rows.columns import Columns
    from latent.prefect.run import Run
    from latent.tracking.row_filter import Where

NOT_FAILED = "It did not fail in the last run, and only rows that did were asked for."


class Selection:
    """
    What the options of a run say about the rows of one task.

    Args:
        row_id: Gives the id of a row, by which `--only-failed` knows it again.
    """

    def __init__(self, task_name: str, run: Run, columns: Columns, row_id: Callable[[int], str]) -> None:
        self._columns, self._row_id = columns, row_id
        options = run.options
        self._refreshes_all = task_name in options.refresh and options.refresh[task_name] is None
        expression = options.refresh.get(task_name)
        self._where: Where | None = None if expression is None else parse_where(expression)
        self.is_active = self._refreshes_all or self._where is not None
        """Whether any row is computed again."""
        self._failed_before: set[str] | None = None
        if options.only_failed:
            self._failed_before = failed_rows(run.workspace, run.flow_name, task_name, without=run.run_id)

    def refreshes(self, index: int) -> bool:
        """Whether a row is computed again, whatever is remembered."""
        if self._where is None:
            return self._refreshes_all
        # An argument whose values are mappings is known by its own name too; it hides none of their keys.
        named: dict[str, Any] = {**self._columns.own(index), **self._columns.picture(index)}
        picture = {**named, "index": index, "id": self._row_id(index)}
        return self._where.matches(picture)

    def leaves_out(self, index: int) -> str | None:
        """Why a row that is not remembered does not run; None when it does."""
        if self._failed_before is None or self._row_id(index) in self._failed_before:
            return None
        return NOT_FAILED

"""How rows travel back from a worker process: one by one, so that a result that cannot costs only its row."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

from latent.errors.text import text_of

if TYPE_CHECKING:
    from latent.prefect.rows.ends import RowEnd


class Payload(NamedTuple):
    """How one row ended, as bytes."""

    row: int
    """Position among the mapped rows, from 0."""
    content: bytes | None
    problem: str | None = None
    """Why there is no content."""

    def open(self) -> RowEnd:
        """
        How the row ended.

        Raises:
            TypeError: It could not be packed; the text says why.
            Exception: Whatever Python raises for bytes that it cannot turn back into the value.
        """
        if self.content is None:
            raise TypeError(self.problem)
        end: RowEnd = pickle.loads(self.content)  # noqa: S301  # from a worker process of this map
        return end


def packed(end: RowEnd) -> Payload:
    """What a worker process sends back of a row."""
    try:
        return Payload(end.index, _pickled(end))
    except Exception as error:
        kind = type(end.value).__name__
        problem = (
            f"The row's result ({kind}) cannot leave the worker process: {text_of(error)}. "
            "Return plain data, or map on threads."
        )
        return Payload(end.index, None, problem)


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # a class or function of the flow's own file, say
        import cloudpickle  # type: ignore[import-untyped]  # ships no types

        content: bytes = cloudpickle.dumps(value)
        return content

"""What a call brings back from a worker process beside its value, so that it is counted where the run is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from prefect._internal.result_records import ResultRecord
from prefect.client.schemas.objects import State

if TYPE_CHECKING:
    from latent.prefect.call import Call
    from latent.tracking.records import Outcome

_FACTS = (
    "attempts", "started_at", "duration_seconds", "queue_seconds", "cost_usd", "used", "task_run_id", "key",
)  # fmt: skip


class Delivery(NamedTuple):
    """A value, and what its call knows of itself."""

    value: Any
    facts: dict[str, Any]
    outcome: Outcome


def packed(call: Call, value: Any) -> Any:
    """What a worker process returns for a call that ended well; a state that the task returned stays one."""
    if isinstance(value, State):
        return value
    facts = {name: getattr(call, name) for name in _FACTS}
    return Delivery(value, facts, call.outcome or "ok")


def unpack(call: Call, state: State[Any]) -> None:
    """Put the value of a final state in its place, and what came with it into the call; once."""
    holder = state.data if isinstance(state.data, ResultRecord) else None
    content = state.data if holder is None else holder.result
    if not isinstance(content, Delivery):
        return
    if holder is None:
        state.data = content.value
    else:
        holder.result = content.value
    vars(call).update(content.facts)
    call.run.brought(call.task.name, call.cost_usd, call.used)
    call.account(content.outcome, content.value, cache=call.cache_state)

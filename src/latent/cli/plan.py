"""`latent run FLOW --plan`: what the run would ask of paid services, before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent.cli.summary import show_facts
from latent.cli.terminal import printable, say, show_table
from latent.cli.wording import duration, money, several
from latent.errors import RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Workspace
    from latent.prefect.cost_plan import CostPlan, Estimate, Range
    from latent.prefect.running import RunResult

SAMPLE_CHARS = 600
"""The first prompt of each model is shown up to this length."""


def show_plan(workspace: Workspace, result: RunResult) -> None:
    """Print what a planned run has counted; it spent nothing."""
    cost_plan = result.cost_plan
    assert cost_plan is not None, "only a planned run has a cost plan"
    estimates = cost_plan.estimates
    if not estimates:
        say(f"Flow {result.flow_name!r} would pay for nothing: everything is remembered, or free.")
        return
    calls = sum(estimate.calls for estimate in estimates)
    known = several(result.reused, "result is", "results are")
    reused = f" {known} remembered." if result.reused else ""
    say(f"Flow {result.flow_name!r} would make {several(calls, 'call')}. Nothing was sent.{reused}")
    show_table(
        ["model", "calls", "tokens in", "tokens out", "cost", "limit", "time"],
        [_row(workspace, estimate) for estimate in estimates],
    )
    show_facts(_facts(workspace, result, cost_plan))


def is_left_open(error: BaseException | None) -> bool:
    """Whether a planned flow ended only for want of the answers that it did not ask for."""
    if isinstance(error, RunStoppedError):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_left_open, error.exceptions))
    return error is not None and is_left_open(error.__cause__)


def _row(workspace: Workspace, estimate: Estimate) -> tuple[object, ...]:
    return (
        estimate.service,
        f"{estimate.calls:,}",
        _range(estimate.input_tokens),
        _range(estimate.output_tokens),
        _cost(estimate),
        estimate.limit,
        _time(workspace, estimate),
    )


def _range(tokens: Range) -> str | None:
    least, most = tokens
    if most is None:
        return f"from {least:,.0f}" if least else None
    return f"{least:,.0f} to {most:,.0f}" if most > least else f"{least:,.0f}"


def _cost(estimate: Estimate) -> str:
    if estimate.cost_usd is None:
        return "unknown"
    least, most = estimate.cost_usd
    if most is None:
        return f"from {money(least)}"
    return f"{money(least)} to {money(most)}" if most > least else money(least)


def _time(workspace: Workspace, estimate: Estimate) -> str | None:
    """The least time that the limit leaves; None where nothing is known of it."""
    from latent.prefect.cost_plan import seconds_under

    limit = workspace.settings.limits.get(estimate.limit or "")
    seconds = None if limit is None else seconds_under(limit, estimate)
    return None if seconds is None else f"at least {duration(seconds)}"


def _facts(workspace: Workspace, result: RunResult, cost_plan: CostPlan) -> Iterator[tuple[str, str]]:
    from latent.config import masker_for

    mask = masker_for(workspace).text
    known = [estimate.cost_usd for estimate in cost_plan.estimates if estimate.cost_usd is not None]
    if len(known) > 1:
        least = sum(cost[0] for cost in known)
        tops = [cost[1] for cost in known]
        most = None if None in tops else sum(top for top in tops if top is not None)
        total = f"{money(least)} to {money(most)}" if most is not None else f"from {money(least)}"
        unpriced = [each.service for each in cost_plan.estimates if each.cost_usd is None]
        yield "Total", f"{total}, and {', '.join(unpriced)}, whose price is unknown" if unpriced else total
    for estimate in cost_plan.estimates:
        if estimate.sample:
            shown = printable(mask(estimate.sample))
            cut = f"{shown[:SAMPLE_CHARS]}..." if len(shown) > SAMPLE_CHARS else shown
            yield "First prompt", f"{cut} ({estimate.service})"
    if is_left_open(result.error):
        yield "Open", "what comes after these answers depends on them, and is not in the plan"

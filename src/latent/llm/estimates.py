"""What a call would take, before it is made: tokens by the length of the text, money by the price list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latent.llm.answer import Usage
from latent.llm.dialects import speaker_of
from latent.llm.messages import messages_of, split_system
from latent.llm.prices import cost_usd
from latent.llm.tokens import booked_tokens
from latent.prefect.cost_plan import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latent.llm.messages import Turns
    from latent.llm.request import Request

FEWEST, MOST = 0.8, 1.35
"""
What the rule of four bytes a token is multiplied by for the range: five bytes a token in easy
English, three in code and in most other languages.
"""


def estimate_of(request: Request, turns: Turns) -> Estimate:
    """What one call would take; repairs, which most answers do not need, are not in it."""
    endpoint = request.endpoint
    rough = booked_tokens(request, turns)
    few, many = round(rough * FEWEST), round(rough * MOST) + 10
    most = speaker_of(endpoint.dialect).max_tokens(request.sampling)
    least_cost = cost_usd(endpoint.provider, endpoint.model, Usage(input_tokens=few, output_tokens=1))
    most_cost = (
        None
        if most is None
        else cost_usd(endpoint.provider, endpoint.model, Usage(input_tokens=many, output_tokens=most))
    )
    return Estimate(
        service=endpoint.spec,
        limit=request.limit,
        input_tokens=(few, many),
        output_tokens=(1, most),
        cost_usd=None if least_cost is None else (least_cost, most_cost),
        sample=rendered(request, turns),
    )


def estimator(arguments: Mapping[str, Any]) -> Estimate:
    """What a row of a map would take."""
    return estimate_of(arguments["model"], arguments["prompt"])


def rendered(request: Request, turns: Turns) -> str:
    """A prompt as people read it: who says what; attachments by their kind and name."""
    system, messages = split_system(request.system, messages_of(turns))
    lines = ["system: " + "\n\n".join(system)] if system else []
    for message in messages:
        parts = [part if isinstance(part, str) else f"[{part!r}]" for part in message.parts]
        lines.append(f"{message.role}: " + "\n".join(parts))
    return "\n".join(lines)

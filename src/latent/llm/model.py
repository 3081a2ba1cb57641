"""`Model`: a model by its name, and the three ways to ask it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from latent.errors import ModelSpecError, NotInRunError
from latent.llm.dialects import speaker_of
from latent.llm.endpoints import check_seconds, endpoint_of
from latent.llm.messages import Attachment, Message, turns_of
from latent.llm.request import OUTPUT_MODES, Request, sampling_of
from latent.llm.schemas import output_type
from latent.llm.surrogates import check_whole
from latent.registry import TaskRegistry

if TYPE_CHECKING:
    from pydantic import BaseModel

    from latent.llm.answer import Answer
    from latent.llm.calls import Refresh
    from latent.llm.messages import Prompt, Turns
    from latent.llm.request import OutputMode
    from latent.prefect.rows.futures import MappedFutures

_SAMPLING = ("max_tokens", "temperature", "top_p", "stop", "seed", "reasoning")
_OTHERS = ("base_url", "api_key", "headers", "system", "limit", "timeout_seconds", "output_mode", "repairs")
PARAMETERS = frozenset({*_SAMPLING, *_OTHERS, "retries", "cache_expiration"})

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "temperature": ((int, float), "a number"),
    "top_p": ((int, float), "a number"),
    "stop": ((str, list, tuple), "a string or a list of strings"),
    "seed": ((int,), "a whole number"),
    "reasoning": ((str, int, Mapping), "an effort, a number of tokens, or a mapping"),
    "system": ((str,), "a string"),
    "limit": ((str,), "the name of a limit"),
    "cache_expiration": ((timedelta,), "a timedelta"),
}
"""What parameters may be, beside None; a number is never True or False."""

REFRESH = (True, False, "incomplete")


class Model:
    """
    A model, with everything that decides how it answers.

    Answers are remembered, for ever unless `cache_expiration` says otherwise, by everything that can change
    them: see `docs/models.md`. The key of the account is not among it, and is written nowhere.
    """

    def __init__(
        self,
        spec: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        reasoning: str | int | Mapping[str, Any] | None = None,
        system: str | None = None,
        limit: str | None = None,
        timeout_seconds: float = 600.0,
        output_mode: OutputMode | None = None,
        repairs: int = 1,
        retries: int | None = None,
        cache_expiration: timedelta | None = None,
        **sampling: Any,
    ) -> None:
        """
        Args:
            spec: `provider:name`: `anthropic:`, `openai:` (chat), `openai-responses:`, `local:`, or with a
                `base_url` any name for a provider that speaks OpenAI's chat API.
            base_url: Where the API is, say `http://localhost:11434/v1`.
            api_key: Instead of the environment variable: `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, or for
                another provider its name with `_API_KEY` behind it.
            headers: Further headers of each request: `{"api-key": ...}` for Azure, or what a gateway goes by.
            max_tokens: Where an answer is cut. None: where the provider does; 4,096 with Anthropic.
            reasoning: How much the model thinks before it answers: an effort (`"low"`), for Anthropic also a
                number of tokens, or what the provider's API takes, as a mapping.
            system: What the model is told before every conversation.
            limit: Name of a `[limits.NAME]` section of the settings that each request takes part in.
            timeout_seconds: How long one request may take.
            output_mode: How structured output is asked for. None: what is best for the model.
            repairs: How often an answer that does not validate is sent back to be mended.
            retries: Further attempts of a call that failed; None: as the settings say of tasks.
            cache_expiration: How long answers are remembered; None: for ever.
            sampling: Further parameters, as the provider's API names them; sent as they are.

        Raises:
            ModelSpecError: There is no such provider, or a parameter cannot be used.
        """
        self.endpoint = endpoint_of(spec, base_url=base_url, api_key=api_key, headers=headers)
        self._base_url = None if base_url is None else self.endpoint.place
        self._check_kinds(
            temperature=temperature, top_p=top_p, stop=stop, seed=seed, reasoning=reasoning, system=system,
            limit=limit, cache_expiration=cache_expiration,
        )  # fmt: skip
        check_whole(self.spec, "`system`", system or "")
        own = {
            "max_tokens": max_tokens,
            # One form for what is the same, so that it is remembered as one.
            "temperature": _number(temperature),
            "top_p": _number(top_p),
            "stop": [stop] if isinstance(stop, str) else list(stop or ()) or None,
            "seed": seed,
            "reasoning": dict(reasoning) if isinstance(reasoning, Mapping) else reasoning,
        }
        self.sampling = sampling_of(self.spec, sampling, own, PARAMETERS)
        speaker_of(self.endpoint.dialect).check(self.spec, self.sampling)
        self._check("max_tokens", max_tokens, least=1)
        self._check("repairs", repairs, least=0)
        self._check("retries", retries, least=0)
        check_seconds(self.spec, "timeout_seconds", timeout_seconds)
        if output_mode is not None and output_mode not in OUTPUT_MODES:
            raise ModelSpecError(self.spec, f"`output_mode` is one of {OUTPUT_MODES}, not {output_mode!r}.")
        self.system, self.limit, self.timeout_seconds = system, limit, timeout_seconds
        self.output_mode, self.repairs = output_mode, repairs
        self.retries, self.cache_expiration = retries, cache_expiration
        TaskRegistry.note_service()

    @property
    def spec(self) -> str:
        """`provider:name`."""
        return self.endpoint.spec

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make it again, as JSON values; without its key, and its headers."""
        given: dict[str, Any] = {
            "spec": self.spec,
            "base_url": self._base_url,
            "system": self.system,
            "limit": self.limit,
            "output_mode": self.output_mode,
            "repairs": self.repairs,
            "retries": self.retries,
            "timeout_seconds": self.timeout_seconds,
            **self.sampling,
        }
        return {name: value for name, value in given.items() if value is not None}

    def __repr__(self) -> str:
        return f"Model({self.spec!r})"

    def complete(
        self,
        prompt: Prompt,
        *,
        output: type[BaseModel] | None = None,
        repeat: int = 0,
        refresh: Refresh = False,
    ) -> Answer:
        """
        The model's answer to a prompt: remembered, or asked for.

        Args:
            prompt: A text; texts, images and files of one message; or messages with `role` and `content`.
            output: The type of `answer.output`.
            repeat: Another number asks for another answer to the same prompt.
            refresh: `True` asks again whatever is remembered; `"incomplete"` when what is remembered was cut,
                refused or not valid.

        Raises:
            ModelCallError: There is no answer; its subclasses say why.
            MissingKeyError: The provider wants a key, and none is set.
            ModelSpecError: The prompt or the output type cannot be used.
        """
        from latent.llm.calls import complete

        request, turns = self._request(output), self._turns(prompt, repeat, refresh)
        return complete(self._task, request, turns, repeat, refresh)

    async def complete_async(
        self,
        prompt: Prompt,
        *,
        output: type[BaseModel] | None = None,
        repeat: int = 0,
        refresh: Refresh = False,
    ) -> Answer:
        """As `complete`, without blocking the event loop."""
        from latent.llm.calls import complete_async

        request, turns = self._request(output), self._turns(prompt, repeat, refresh)
        return await complete_async(self._task, request, turns, repeat, refresh)

    def map(
        self,
        prompts: Iterable[Prompt],
        *,
        output: type[BaseModel] | None = None,
        repeat: int | Sequence[int] = 0,
        refresh: Refresh = False,
        **row_options: Any,
    ) -> MappedFutures[Answer]:
        """
        Ask about each prompt, as rows of a map: remembered ones at once, the others as limits allow.

        Args:
            repeat: One for all prompts, or one for each.
            row_options: `max_workers`, `on_error`, ...: see `RowOptions`.

        Returns:
            Futures in input order; `.result()` of the list gives all answers, or raises one error that groups
            the failures of all rows.

        Raises:
            NotInRunError: No flow is running.
            ModelSpecError: It is a single prompt, or one of them cannot be used.
        """
        from latent.llm.calls import refreshing
        from latent.prefect.run import current_run

        if isinstance(prompts, str | bytes | Mapping | Message | Attachment):
            raise ModelSpecError(
                self.spec,
                f"`map` takes a list of prompts, not one {type(prompts).__name__}: put it into a list.",
            )
        if current_run() is None:
            raise NotInRunError(f"Model {self.spec!r}: `map` works inside of a flow. Call it from one.")
        self._check_refresh(refresh)
        turns = [turns_of(self.spec, prompt, f"prompts[{place}]") for place, prompt in enumerate(prompts)]
        if not isinstance(repeat, int) and len(repeat) != len(turns):
            numbers = f"{len(repeat):,} numbers for {len(turns):,} prompts"
            raise ModelSpecError(self.spec, f"`repeat` has {numbers}: give one for each, or one for all.")
        for number in {repeat} if isinstance(repeat, int) else set(repeat):
            self._check("repeat", number, least=0)
        task = refreshing(self._task, refresh)
        futures: MappedFutures[Answer] = task.map(self._request(output), turns, repeat, **row_options)
        return futures

    @cached_property
    def _task(self) -> Any:
        from latent.llm.calls import task_for

        return task_for(
            self.spec, limit=self.limit, retries=self.retries, cache_expiration=self.cache_expiration
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_task"}

    def __latent_hash__(self) -> Any:
        # So that a task which uses a model is computed again when the model is another, or asked otherwise.
        identity = self._request(None).identity()
        return ("latent.llm.model", identity, self.output_mode, self.repairs)

    def _request(self, output: type[BaseModel] | None) -> Request:
        request = Request(
            endpoint=self.endpoint,
            sampling=self.sampling,
            system=self.system,
            output=output_type(self.spec, output),
            output_mode=self.output_mode,
            repairs=self.repairs,
            timeout_seconds=self.timeout_seconds,
            limit=self.limit,
            retries=self.retries,
        )
        self._check_schema_mode(request)
        own = next((name for name in ("tools", "tool_choice") if name in self.sampling), None)
        if request.output is not None and request.mode == "tool" and own is not None:
            raise ModelSpecError(
                self.spec,
                f"`{own}` and an output that is asked for as a tool exclude one another: say "
                'output_mode="schema" or "json", or leave out one of the two.',
            )
        return request

    def _check_schema_mode(self, request: Request) -> None:
        output = request.output
        if output is None or request.mode != "schema" or request.endpoint.dialect != "anthropic":
            return
        if (trouble := output.mode_schema("anthropic").trouble) is not None:
            raise ModelSpecError(
                self.spec,
                f"the schema mode of Anthropic does not take `output` {output.name}: {trouble}. Leave out "
                'output_mode, or say output_mode="tool" or "json".',
            )

    def _turns(self, prompt: Prompt, repeat: int, refresh: Refresh) -> Turns:
        self._check("repeat", repeat, least=0)
        self._check_refresh(refresh)
        return turns_of(self.spec, prompt)

    def _check_refresh(self, refresh: Refresh) -> None:
        if refresh not in REFRESH:
            raise ModelSpecError(self.spec, f"`refresh` is one of {REFRESH}, not {refresh!r}.")

    def _check_kinds(self, **given: Any) -> None:
        for name, value in given.items():
            kinds, words = _KINDS[name]
            is_one = isinstance(value, kinds) and not isinstance(value, bool)
            if name == "stop" and isinstance(value, list | tuple):
                is_one = all(isinstance(each, str) for each in value)
            if value is not None and not is_one:
                raise ModelSpecError(self.spec, f"`{name}` is {words}, not {value!r}.")

    def _check(self, name: str, value: int | None, *, least: int) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ModelSpecError(self.spec, f"`{name}` is a whole number, at least {least}, not {value!r}.")


def _number(value: float | None) -> float | None:
    """0 and 0.0 are the same; what is not a number is left for others to refuse."""
    return float(value) if type(value) is int else value

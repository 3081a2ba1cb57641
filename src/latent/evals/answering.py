"""What answers the rows of an evaluation: a model, a function, a task, or nothing when answers are there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from latent.errors import PromptError, RunStoppedError, UsageError
from latent.evals.scoring import Abstain
from latent.llm import Answer

if TYPE_CHECKING:
    from latent.evals.items import Item, Items
    from latent.llm import Model, PromptTemplate
    from latent.prefect import RowEnd

OUTPUT, ANSWER, EXPECTED, INPUT = "output", "answer", "expected", "input"

KNOWN_OF_ANSWERS = (
    "latency_seconds", "cost_usd", "input_tokens", "output_tokens", "finish_reason", "tool_calls",
)  # fmt: skip
"""What scorers can ask of an answer by name."""


@dataclass(slots=True)
class Answered:
    """What became of one row, asked once."""

    item: Item
    repeat: int = 0
    outcome: str = "ok"
    """`ok`, `cached`, `failed`, `abstained` or `skipped`."""
    values: dict[str, Any] = field(default_factory=dict)
    """What scorers may read beside the row's columns: the output, and what is known of the answer."""
    error: str | None = None
    """Why there is no output."""
    error_type: str | None = None
    exception: Exception | None = None
    """The error itself, where this process saw it."""
    attempts: int = 0
    cost_usd: float | None = None
    """What was paid in this run: nothing for what was remembered; None: unknown."""
    saved_usd: float | None = None
    """What memory saved: the cost of a remembered answer."""

    @property
    def output(self) -> Any:
        """What is scored; None where there is none."""
        return self.values.get(OUTPUT)

    @property
    def has_output(self) -> bool:
        return self.outcome in ("ok", "cached")

    @property
    def name(self) -> str:
        """Names the answer among all of the evaluation."""
        return self.item.id if self.repeat == 0 else f"{self.item.id}#{self.repeat}"


class Target(Protocol):
    """Something that answers rows."""

    name: str
    """How tables and records call it."""
    about: dict[str, Any]
    """What it is, for the records: JSON values."""

    def check(self, items: Items) -> None:
        """See that the rows have what it needs, before anything is paid."""

    def answer(self, items: Items, repeats: int, first: int = 0) -> list[Answered]:
        """All rows, each `repeats` times; these are numbered from `first` on."""


def target_of(target: Any, prompt: Any) -> Target:
    """
    What answers the rows.

    Raises:
        UsageError: It is nothing that can, or there is a prompt for something else than a model.
    """
    from latent.llm import Model

    if isinstance(target, Model):
        return ModelTarget(target, _template(prompt))
    if prompt is not None:
        raise UsageError("`prompt` is for a model: a function renders its own. Leave it out.")
    if target is None:
        return GivenOutputs()
    if isinstance(target, str):
        raise UsageError(f"`target` is a Model or a function, not {target!r}: write Model({target!r}).")
    if callable(target):
        return FunctionTarget(target)
    raise UsageError(f"`target` is a Model, a function of a row, a task or None, not {target!r:.200}.")


def _template(prompt: Any) -> PromptTemplate:
    from latent.llm import PromptTemplate

    if isinstance(prompt, PromptTemplate):
        return prompt
    return PromptTemplate("{{ prompt }}" if prompt is None else str(prompt))


class GivenOutputs:
    """Answers that stand in the data: nothing is asked."""

    name = "given outputs"

    def __init__(self) -> None:
        self.about: dict[str, Any] = {"kind": "given"}

    def check(self, items: Items) -> None:
        items.check_column(OUTPUT, "Without a model or another target, an evaluation")

    def answer(self, items: Items, repeats: int, first: int = 0) -> list[Answered]:
        if repeats > 1 or first:
            raise UsageError("`repeats` asks a target again, and there is none: leave it out.")
        return [self._given(item) for item in items.rows]

    def _given(self, item: Item) -> Answered:
        if (output := item.values.get(OUTPUT)) is None:
            return Answered(item, outcome="failed", error="The row has no output.", error_type="NoOutput")
        return Answered(item, outcome="ok", values={OUTPUT: output})


class ModelTarget:
    """A model, asked with a template that the row fills."""

    def __init__(self, model: Model, template: PromptTemplate) -> None:
        self.model, self.template = model, template
        self.name = model.spec
        self.about: dict[str, Any] = {
            "kind": "model",
            "model": model.spec,
            "sampling": dict(model.sampling),
            "system": model.system,
            "prompt": template.text,
            "prompt_file": None if template.path is None else str(template.path),
        }

    def check(self, items: Items) -> None:
        for name in sorted(self.template.names):
            # `{% if context %}` asks whether there is a value: rendering tells what is really needed.
            if name not in items.columns and not self._renders(items.rows[0]):
                items.check_column(name, "The prompt")
        self.prompts(items)

    def _renders(self, item: Item) -> bool:
        try:
            self.template.render(**item.values)
        except PromptError:
            return False
        return True

    def prompts(self, items: Items) -> list[str]:
        """
        The prompt of each row.

        Raises:
            EvaluationDataError: A row lacks what the template needs.
        """
        prompts = []
        for place, item in enumerate(items.rows):
            try:
                prompts.append(self.template.render(**item.values))
            except PromptError as error:
                raise items.error(
                    f"row {place} (id {item.id!r}) does not fill the prompt: {error.reason}"
                ) from error
        return prompts

    def answer(self, items: Items, repeats: int, first: int = 0) -> list[Answered]:
        numbers = range(first, first + repeats)
        answered = [Answered(item, repeat) for repeat in numbers for item in items.rows]
        prompts = self.prompts(items)
        futures = self.model.map(
            prompts * repeats,
            repeat=[each.repeat for each in answered],
            row_id=[each.name for each in answered],
            on_error="collect",
        )
        for each, end, prompt in zip(answered, futures.ends(), prompts * repeats, strict=True):
            take_end(each, end)
            each.values.setdefault(INPUT, prompt)
        return answered


class FunctionTarget:
    """
    A function of a row, or a task.

    Its parameters are columns; a single one that is none gets the whole row, without the expected answer.
    """

    def __init__(self, target: Callable[..., Any]) -> None:
        from latent.prefect import Task

        self.is_task = isinstance(target, Task)
        self.task: Any = target if isinstance(target, Task) else Task(target, _name_of(target))
        self.name = self.task.name
        self.about: dict[str, Any] = {"kind": "task" if self.is_task else "function", "function": self.name}
        self.whole: str | None = None
        """The parameter that gets the row."""

    def check(self, items: Items) -> None:
        needed = [p for p in self._parameters.values() if p.default is p.empty]
        known = items.columns
        if len(needed) == 1 and needed[0].name not in known:
            self.whole = needed[0].name
            return
        for parameter in needed:
            items.check_column(parameter.name, f"Target {self.name!r}")

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        parameters = inspect.signature(self.task.fn).parameters
        variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return {
            name: each
            for name, each in parameters.items()
            if each.kind not in variadic and name not in self.task.binder.fills and name != "self"
        }

    def answer(self, items: Items, repeats: int, first: int = 0) -> list[Answered]:
        from latent.cache import code_fingerprint
        from latent.config import find_workspace

        self.about["code"] = code_fingerprint(self.task.fn, find_workspace().root).digest
        columns = self._columns(items)
        ids = [item.id for item in items.rows]
        maps = {}
        for repeat in range(first, first + repeats):
            if repeat == 0:
                maps[repeat] = self.task.map(**columns, row_id=ids, on_error="collect")
                continue
            again = _repeating(self.task)
            names = [f"{name}#{repeat}" for name in ids]
            maps[repeat] = again.map(**columns, repeat=repeat, row_id=names, on_error="collect")
        answered = []
        for repeat, futures in maps.items():
            for item, end in zip(items.rows, futures.ends(), strict=True):
                answered.append(take_end(Answered(item, repeat), end))
        return answered

    def _columns(self, items: Items) -> dict[str, list[Any]]:
        if self.whole is not None:
            return {
                self.whole: [
                    {name: value for name, value in item.values.items() if name != items.expected}
                    for item in items.rows
                ]
            }
        columns: dict[str, list[Any]] = {}
        for name, each in self._parameters.items():
            if name in items.columns:
                default = None if each.default is each.empty else each.default
                columns[name] = [item.values.get(name, default) for item in items.rows]
        return columns


def _name_of(target: Any) -> str:
    name = getattr(target, "__name__", type(target).__name__)
    return "target" if name == "<lambda>" else str(name)


def _repeating(task: Any) -> Any:
    """The task with a further argument, so that each repeat is remembered by itself."""
    import functools

    fn = task.fn
    signature = inspect.signature(fn)
    if "repeat" in signature.parameters:
        return task

    def body(*args: Any, repeat: int, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    async def body_async(*args: Any, repeat: int, **kwargs: Any) -> Any:
        return await fn(*args, **kwargs)

    chosen: Any = body_async if inspect.iscoroutinefunction(fn) else body
    functools.update_wrapper(chosen, fn)
    own = inspect.Parameter("repeat", inspect.Parameter.KEYWORD_ONLY)
    chosen.__signature__ = signature.replace(parameters=[*signature.parameters.values(), own])
    options = {**task.own, **task.options, **task.given_row_options}
    return type(task)(chosen, task.name, cache_expiration=task.expiration_option, **options)


def take_end(answered: Answered, end: RowEnd) -> Answered:
    """Note how a row of a map ended."""
    answered.outcome, answered.attempts = end.outcome, end.attempts
    answered.cost_usd = end.cost_usd
    if end.error is not None:
        answered.exception = end.error
        answered.error, answered.error_type = error_text(end.error)
        if answered.error_type == Abstain.__qualname__:
            answered.outcome, answered.exception = "abstained", None
        return answered
    answered.values = values_of(end.value)
    if end.outcome not in ("ok", "cached"):
        problem = getattr(end.value, "problem", None)
        answered.error, answered.error_type = str(problem or "It abstained."), "Abstained"
    elif answered.output is None:
        answered.outcome, answered.error, answered.error_type = (
            "abstained",
            "It returned nothing.",
            "Abstained",
        )
    known = answered.values
    if end.attempts and end.started_at is not None:
        known.setdefault("latency_seconds", end.duration_seconds)
        if end.cost_usd is not None:
            known.setdefault("cost_usd", end.cost_usd)
    if getattr(end.value, "from_memory", False):
        answered.cost_usd, answered.saved_usd = 0.0, end.value.cost_usd
    elif end.outcome == "cached" or (end.outcome == "abstained" and not end.attempts):
        answered.cost_usd = 0.0
    return answered


def values_of(value: Any) -> dict[str, Any]:
    """What scorers can read of what a target returned."""
    if isinstance(value, Answer):
        usage = value.usage
        known: dict[str, Any] = {
            OUTPUT: value.text,
            ANSWER: value,
            "latency_seconds": value.latency_seconds,
            "cost_usd": value.cost_usd,
            "input_tokens": None if usage is None else usage.input_tokens,
            "output_tokens": None if usage is None else usage.output_tokens,
            "finish_reason": value.finish_reason,
            "tool_calls": list(value.tool_calls),
        }
        return known
    if isinstance(value, Mapping) and OUTPUT in value:
        inner = value[OUTPUT]
        known = values_of(inner) if isinstance(inner, Answer) else {OUTPUT: inner}
        return {ANSWER: value, **known, **{str(k): v for k, v in value.items() if k != OUTPUT}}
    return {OUTPUT: value, ANSWER: value}


def input_of(answered: Answered, expected: str) -> str:
    """What the target was asked, as text: the prompt, the question, or all columns of the row."""
    values = answered.item.values
    for name in ("prompt", "question", "query"):
        if isinstance(text := values.get(name), str):
            return text
    own = {name: value for name, value in values.items() if name not in (expected, OUTPUT, ANSWER)}
    return "\n".join(f"{name}: {value}" for name, value in own.items() if value is not None)


def error_text(error: BaseException) -> tuple[str, str]:
    """What an error says in one text, and its type's name; of a task's error, the original's."""
    if isinstance(error, RunStoppedError):
        return error.reason, "Skipped"
    original = getattr(error, "original_error", error)
    text = getattr(error, "original_text", None) or str(original)
    return str(text), type(original).__qualname__


def names_of(answered: Sequence[Answered]) -> list[str]:
    """What scorers can ask for by name: columns of the rows, and what is known of the answers."""
    found: dict[str, None] = {INPUT: None, OUTPUT: None, ANSWER: None, **dict.fromkeys(KNOWN_OF_ANSWERS)}
    for each in answered:
        found |= dict.fromkeys(each.values)
    return list(found)

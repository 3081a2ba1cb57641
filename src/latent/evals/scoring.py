"""`@scorer`: a function of an answer becomes a scorer, whose every score is a remembered row of its own."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

from latent.errors import ScorerError, ScoringError
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from datetime import timedelta

Kind = Literal["binary", "ordinal", "continuous", "label"]
"""What a score is: yes or no, a grade on a scale, a number, a name."""

KINDS: tuple[Kind, ...] = ("binary", "ordinal", "continuous", "label")

Scale = tuple[float, float] | Mapping[Any, str]
"""The ends of a scale, or its grades with what each means."""

Value = bool | int | float | str | None
"""A score; None: the scorer does not apply to the row."""

_PLAIN = (bool, int, float, str, type(None))

SCORING = "scoring"
"""The argument of a scorer's task that holds what else the meaning of its scores depends on."""

_MADE = ("task", "signature")
"""What a scorer makes when it is first asked for it."""

LARGEST = 1e150
"""The largest score: squares of larger ones, of which a spread is made, are beyond all numbers."""

RESERVED = frozenset({SCORING, "name"})


class Abstain(Exception):  # noqa: N818  # an outcome, not an error
    """Raised by a scorer that applies to a row and cannot tell its score; `evidence` is kept."""

    def __init__(self, reason: str = "", evidence: Any = None) -> None:
        super().__init__(reason, evidence)
        self.reason, self.evidence = reason, evidence

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Score:
    """A score with what explains it."""

    value: Value
    """None: the scorer does not apply to the row, or it abstained."""
    reason: str | None = None
    """Why, in words."""
    answer: str | None = None
    """What was taken from the output and compared: the number, the letter, the label."""
    evidence: Any = None
    """What the score rests on: JSON values."""
    abstained: bool = False
    """Whether the scorer could not tell: the row counts as missing, not as not applicable."""

    @property
    def latent_abstained(self) -> bool:
        """The engine's mark of a result that is none: the outcome of its row is `abstained`."""
        return self.abstained


Scored = Value | Score | Mapping[str, Value | Score]
"""What a scorer may return; a mapping gives several metrics."""

Aggregate = Callable[..., Mapping[str, Any]]
"""
Metrics of all rows together by name, from their scores: numbers, or estimates of `latent.evals.stats`.

Called with the scores; if it has a parameter `clusters`, also with what each belongs to that varies
together, its cluster or its row, for intervals (None where each score stands alone).
"""


@dataclass(eq=False)
class Scorer:
    """
    A scorer; `latent.evals.scorer` makes it.

    Called with the function's arguments it is the function. Called with some of its options alone
    (`contains(expected="yes")`) it gives a scorer that has these options.
    """

    fn: Callable[..., Any]
    """The function as it was written."""
    name: str
    kind: Kind | None = None
    """None: told by the values; see `kind_of`."""
    scale: Scale | None = None
    """None: a binary score is on 0 to 1, any other is unbounded."""
    higher_is_better: bool | None = True
    """None: neither end is better, as of a length."""
    unit: str | None = None
    revision: int | str | None = None
    """Stands for the function's code, where that comes with a library and is not looked at."""
    aggregate: Aggregate | None = None
    """What all rows together have beside the mean: an F1, say."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Values of parameters that are the same for every row."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns by the parameter that they fill, where the two have different names."""
    note: str | None = None
    """What a reader of its scores has to know."""
    about: Mapping[str, Any] | None = None
    """What the records say of the model that judges: `model`, `rubric`, ...; None: none does."""
    task_options: Mapping[str, Any] = field(default_factory=dict)
    """What else its task is told: `timeout_seconds`, `retries`, `limit`, `cache_expiration`."""
    made_by: tuple[tuple[str, str], Mapping[str, Any]] | None = None
    """The module and name of the factory that made it, and its arguments; None: its function can be found."""

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.fn)
        _check_parameters(self)
        _check_kind(self)

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The function's."""
        return inspect.signature(self.fn)

    def __call__(self, *args: Any, **given: Any) -> Any:
        if not args and given and not self._is_call(given):
            return self.with_options(**given)
        return self.fn(*args, **{**self.options, **given})

    def _is_call(self, given: Mapping[str, Any]) -> bool:
        """Whether keywords are the function's arguments, and not options alone."""
        known = self.signature.parameters
        if all(name == "name" or (name in known and _is_option(known[name])) for name in given):
            return False
        try:
            self.signature.bind(**{**self.options, **given})
        except TypeError:
            return False
        return True

    def with_options(self, *, name: str | None = None, **options: Any) -> Scorer:
        """
        A scorer with these values of parameters for every row, and another name where one is given.

        Raises:
            ScorerError: The function has no such parameter.
        """
        known = [*self.signature.parameters]
        for option in options:
            if option not in known:
                hint = did_you_mean(option, [*known, "name"], f"it has {', '.join(known)}.")
                raise ScorerError(self.name, f"there is no option {option!r}: {hint}")
        return self.changed(options={**self.options, **options}, name=name or self.name)

    def from_columns(self, **columns: str) -> Scorer:
        """
        A scorer whose parameters are filled from columns of other names: `from_columns(expected="gold")`.

        Raises:
            ScorerError: The function has no such parameter.
        """
        known = [*self.signature.parameters]
        for parameter in columns:
            if parameter not in known:
                hint = did_you_mean(parameter, known, f"it has {', '.join(known)}.")
                raise ScorerError(self.name, f"there is no parameter {parameter!r}: {hint}")
        return self.changed(columns={**self.columns, **columns})

    def changed(self, **fields: Any) -> Self:
        """A copy in which some fields are others."""
        made = copy(self)
        for name in _MADE:
            made.__dict__.pop(name, None)
        made.__dict__.update(fields)
        return made

    @property
    def is_async(self) -> bool:
        """Whether the function is."""
        return inspect.iscoroutinefunction(self.fn)

    @property
    def parameters(self) -> dict[str, tuple[str, bool]]:
        """
        What is read of each row: for each parameter the name of its column, and whether it is needed.

        Parameters that can only be given by keyword are options: they are not looked for in rows.
        """
        return {
            name: (self.columns.get(name, name), each.default is each.empty)
            for name, each in self.signature.parameters.items()
            if name not in self.options and (not _is_option(each) or name in self.columns)
        }

    @property
    def missing_options(self) -> list[str]:
        """Options that have no default and no value yet."""
        return [
            name
            for name, each in self.signature.parameters.items()
            if _is_option(each)
            and each.default is each.empty
            and name not in self.options
            and name not in self.columns
        ]

    @property
    def version(self) -> str:
        """
        Tells apart what scores mean: of the function's code, its options, its kind and its scale.

        The code is looked at again each time: a notebook may define the function again.
        """
        from latent.cache import code_fingerprint, code_identity, stable_hash
        from latent.config import find_workspace

        root = find_workspace().root
        identify, given = code_identity(root), [dict(self.options), self.identity]
        stable_hash(given, identify)  # takes down the user's own classes among the options
        classes = frozenset(identify.classes)
        meaning = (
            self.revision if self.revision is not None else code_fingerprint(self.fn, root, classes).digest
        )
        return stable_hash([meaning, *given], identify)[:12]

    @property
    def identity(self) -> tuple[Any, ...]:
        """What scores depend on beside the code and the arguments."""
        scale = dict(self.scale) if isinstance(self.scale, Mapping) else self.scale
        return (self.revision, self.kind, scale)

    @functools.cached_property
    def task(self) -> Any:
        """The task that is mapped over the rows; its arguments say all that a score depends on."""
        from latent.prefect import Task

        # Scores of answers that were paid for are there even where the budget ended the asking.
        given: dict[str, Any] = {
            "cache_expiration": None,
            "free": True,
            "retry": "retries" in self.task_options,
        }
        given |= self.task_options
        return Task(_body(self), self.name, span_type="EVALUATOR", **given)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _MADE}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"Scorer({self.name}{': ' + options if options else ''})"


@overload
def scorer(fn: Callable[..., Any], /) -> Scorer: ...
@overload
def scorer(
    fn: None = None,
    /,
    *,
    kind: Kind | None = None,
    scale: Scale | None = None,
    higher_is_better: bool | None = True,
    name: str | None = None,
    unit: str | None = None,
    revision: int | str | None = None,
    aggregate: Aggregate | None = None,
    timeout_seconds: float | None = None,
    retries: int | None = None,
    limit: str | None = None,
    cache_expiration: timedelta | None = None,
) -> Callable[[Callable[..., Any]], Scorer]: ...
def scorer(
    fn: Any = None,
    /,
    *,
    kind: Kind | None = None,
    scale: Scale | None = None,
    higher_is_better: bool | None = True,
    name: str | None = None,
    unit: str | None = None,
    revision: int | str | None = None,
    aggregate: Aggregate | None = None,
    **task_options: Any,
) -> Any:
    """
    Make a function a scorer of answers.

    Its arguments come by name: `output`, `expected` and `answer` (what the target returned, whole), the
    columns of the row, and what is known of the answer: `latency_seconds`, `cost_usd`, `input_tokens`,
    `output_tokens`, `finish_reason`, `tool_calls`. A row that lacks a needed one is not applicable.
    Parameters behind a `*` are options.

    It returns a value, None where it does not apply, a `Score`, or a mapping of several metrics; it raises
    `Abstain("why")` where it cannot tell. True and False make a binary score, whole numbers on a scale an
    ordinal one, other numbers a continuous one, texts a label.

    Args:
        kind: What the values are; None: told by them.
        scale: The ends, `(1, 5)`, or grades with their meaning. Without one a number is unbounded.
        higher_is_better: None where neither end is better.
        name: The metric's; the function's when omitted.
        unit: Of the values: `"s"`, `"USD"`.
        revision: For functions of libraries, whose code is not looked at: change it with the meaning.
        aggregate: Gives further metrics of all rows, from their scores.
        task_options: `timeout_seconds` and `limit` of each score, `retries` after an error (none by
            default), `cache_expiration` (for ever by default).

    Raises:
        ScorerError: The function or an option cannot be used.
    """

    def made(function: Callable[..., Any]) -> Scorer:
        options = {key: value for key, value in task_options.items() if value is not None}
        label = name or str(getattr(function, "__name__", type(function).__name__))
        return Scorer(
            function, label, kind, scale, higher_is_better, unit, revision, aggregate, task_options=options
        )

    return made if fn is None else made(fn)


def kind_of(values: Sequence[Value], scorer: Scorer) -> Kind:
    """What scores are: as their scorer says, else as their types show."""
    if scorer.kind is not None:
        return scorer.kind
    types = {type(value) for value in values if value is not None}
    if str in types:
        return "label"
    if types == {bool}:
        return "binary"
    if types <= {int, bool} and types and scorer.scale is not None:
        return "ordinal"
    return "continuous"


def bounds_of(kind: Kind, scale: Scale | None) -> tuple[float, float] | None:
    """The ends of a scale; None for what has none."""
    if kind == "label":
        return None
    if scale is None:
        return (0.0, 1.0) if kind == "binary" else None
    low, high = (min(scale), max(scale)) if isinstance(scale, Mapping) else scale
    return float(low), float(high)


def checked(scorer: Scorer, scored: Any) -> Any:
    """
    What a scorer returned, if it can be a score.

    Raises:
        ScoringError: It is not a value, a `Score` or a mapping of them, is not a number (NaN), or lies
            off the scale.
    """
    if type(scored) in _PLAIN:
        return _checked_value(scorer, scored)
    if isinstance(scored, Score):
        return replace(scored, value=_checked_value(scorer, scored.value))
    if isinstance(scored, Mapping):
        return {str(name): _checked_metric(scorer, value) for name, value in scored.items()}
    return _checked_value(scorer, scored)


def _checked_metric(scorer: Scorer, scored: Any) -> Any:
    if isinstance(scored, Mapping):
        raise ScoringError(scorer.name, "it returned a mapping inside of a mapping")
    return checked(scorer, scored)


def _checked_value(scorer: Scorer, value: Any) -> Value:
    if value is None:
        return None
    if type(value) not in _PLAIN:
        plain = value.item() if callable(getattr(value, "item", None)) else value  # numpy's
        if type(plain) not in _PLAIN:
            raise ScoringError(scorer.name, f"it returned {value!r:.100}, a {type(value).__name__}")
        value = cast("bool | int | float | str", plain)
    found: bool | int | float | str = value
    if isinstance(found, str):
        if scorer.kind not in (None, "label"):
            raise ScoringError(scorer.name, f"it returned {found!r:.100}, and its scores are {scorer.kind}")
        return found
    if scorer.kind == "label":
        return str(found)
    if not abs(found) <= LARGEST:  # NaN neither
        shown = found if isinstance(found, float) else f"a whole number of {found.bit_length():,} bits"
        raise ScoringError(scorer.name, f"it returned {shown}, which is not a score")
    if scorer.kind == "binary":
        if found not in (0, 1):
            raise ScoringError(scorer.name, f"it returned {found!r}, and its scores are binary")
        return bool(found)
    if scorer.scale is not None and not _is_on(scorer.scale, found):
        shown = _shown(scorer.scale)
        raise ScoringError(scorer.name, f"it returned {found!r}, which is not on its scale of {shown}")
    return found


def _is_on(scale: Scale, value: float) -> bool:
    if isinstance(scale, Mapping):
        return value in scale
    return scale[0] <= value <= scale[1]


def _shown(scale: Scale) -> str:
    if isinstance(scale, Mapping):
        return ", ".join(str(grade) for grade in scale)
    return f"{scale[0]:g} to {scale[1]:g}"


def _body(scorer: Scorer) -> Callable[..., Any]:
    """The function of a scorer's task: its own code does not count, that of the function inside does."""
    fn = scorer.fn

    def body(**arguments: Any) -> Any:
        del arguments[SCORING]
        try:
            return checked(scorer, fn(**arguments))
        except Abstain as error:
            return _abstention(error)

    async def body_async(**arguments: Any) -> Any:
        del arguments[SCORING]
        try:
            return checked(scorer, await fn(**arguments))
        except Abstain as error:
            return _abstention(error)

    chosen: Any = body_async if scorer.is_async else body
    named = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=scorer.options.get(name, each.default),
        )
        for name, each in scorer.signature.parameters.items()
    ]
    own = inspect.Parameter(SCORING, inspect.Parameter.KEYWORD_ONLY, default=scorer.identity)
    functools.update_wrapper(chosen, fn)
    chosen.__signature__ = inspect.Signature([*named, own])
    return cast("Callable[..., Any]", chosen)


def _abstention(error: Abstain) -> Score:
    return Score(None, reason=str(error) or "It abstained.", evidence=error.evidence, abstained=True)


def _check_parameters(scorer: Scorer) -> None:
    for name, each in scorer.signature.parameters.items():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            shown = str(each)
            raise ScorerError(
                scorer.name,
                f"its arguments come by name, and {shown!r} has none: name the columns that it reads.",
            )
        if name in RESERVED:
            raise ScorerError(scorer.name, f"no parameter can be called {name!r}: rename it.")


def _is_option(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.KEYWORD_ONLY


def _check_kind(scorer: Scorer) -> None:
    if scorer.kind is not None and scorer.kind not in KINDS:
        hint = did_you_mean(str(scorer.kind), KINDS, f"it is one of {', '.join(KINDS)}.")
        raise ScorerError(scorer.name, f"there is no kind {scorer.kind!r}: {hint}")
    if scorer.scale is None:
        return
    if scorer.kind in ("label", "binary"):
        raise ScorerError(scorer.name, f"{scorer.kind} scores have no scale: leave it out.")
    if isinstance(scorer.scale, Mapping):
        numbers: list[Any] = [*scorer.scale]
        usable = len(numbers) > 1
    else:
        numbers = [*scorer.scale]
        usable = len(numbers) == 2 and numbers[0] < numbers[1]
    is_number = all(isinstance(each, int | float) and math.isfinite(each) for each in numbers)
    if not usable or not is_number:
        raise ScorerError(
            scorer.name, f"a scale is (lowest, highest) or grades by number, not {scorer.scale!r}."
        )

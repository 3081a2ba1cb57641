"""Whether an answer is JSON, keeps to a schema, and has the expected fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from latent.errors import ScorerError
from latent.evals.scorers.words import normalized
from latent.evals.scoring import Abstain, Score, scorer

_FENCE = re.compile(r"^\s*```[\w-]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


@scorer(kind="binary", revision=1)
def json_valid(output: Any, *, fenced: bool = True) -> Score:
    """
    Whether the output is JSON (RFC 8259): nothing before it or behind it, no NaN.

    Args:
        fenced: Whether it may stand in a fence of Markdown (```json), as chat models like to write it.

    Unit: share of rows, higher is better.
    """
    _, problem = parsed(output, fenced)
    return Score(problem is None, reason=problem)


@scorer(kind="binary", revision=1)
def json_schema(output: Any, *, schema: Mapping[str, Any], fenced: bool = True) -> Score:
    """
    Whether the output is JSON that a JSON Schema accepts; says where it first does not.

    Args:
        schema: The schema; draft 2020-12 where it does not say its own.

    Source: json-schema.org, by the library jsonschema. Unit: share of rows, higher is better.

    Raises:
        ScorerError: The schema itself is not valid, or refers to what is not in it: nothing is fetched.
    """
    found, problem = parsed(output, fenced)
    if problem is not None:
        return Score(False, reason=problem)
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(_validator(json.dumps(schema, sort_keys=True)).iter_errors(found))
    except Unresolvable as missing:
        raise ScorerError(
            "json_schema", f"its schema refers to {missing.ref!r}, which is not in it."
        ) from missing
    if error is None:
        return Score(True)
    return Score(False, reason=f"{error.json_path}: {error.message:.300}")


@scorer(revision=1, scale=(0, 1))
def json_fields(
    output: Any, expected: Any, *, fields: Sequence[str] | None = None, fenced: bool = True
) -> dict[str, Score | None] | None:
    """
    Whether each expected field has the expected value: a metric for each, and `all`.

    Fields of mappings inside have names with a dot (`address.city`). Numbers are equal by value, texts as in
    `exact_match`, lists item by item; what the output has beside the expected fields does not count. An
    output that is not JSON has none of them.

    Args:
        expected: A mapping, or JSON.
        fields: The fields to score, where rows expect different ones: of those that a row does not expect,
            its score is not applicable.

    Unit: share of rows, higher is better.
    """
    if expected is None:
        return None
    wanted, problem = parsed(expected, fenced=False)
    if not isinstance(wanted, Mapping):
        raise Abstain(f"The expected fields are not a JSON object: {problem or type(wanted).__name__}.")
    found, problem = parsed(output, fenced)
    flat = {".".join(path): (path, value) for path, value in _flat(wanted).items()}
    scores: dict[str, Score | None] = dict.fromkeys(fields or ())
    for name, (path, value) in flat.items():
        if fields is None or name in fields:
            scores[name] = _field(found, value, path, problem)
    wrong = [name for name, score in scores.items() if score is not None and not score.value]
    reason = f"Wrong or missing: {', '.join(wrong)}." if wrong else None
    return {"all": Score(not wrong, reason=reason), **scores}


def parsed(output: Any, fenced: bool) -> tuple[Any, str | None]:
    """The value of JSON text, and what is wrong with it where it is invalid; other values are as they are."""
    if not isinstance(output, str):
        return output, None if output is not None else "there is no output"
    text = found.group(1) if fenced and (found := _FENCE.match(output)) else output
    try:
        return json.loads(text, parse_constant=_refuse), None
    except RecursionError:
        return None, "it is nested too deeply"
    except ValueError as error:
        return None, str(error)


def _field(found: Any, wanted: Any, path: tuple[str, ...], problem: str | None) -> Score:
    if problem is not None:
        return Score(False, reason=problem)
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return Score(False, reason="missing")
        found = found[name]
    same = _equal(found, wanted)
    return Score(
        same, answer=json.dumps(found, ensure_ascii=False, default=str), reason=None if same else "differs"
    )


def _flat(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Values by their path; a mapping without fields is a value."""
    fields: dict[tuple[str, ...], Any] = {}
    for name, each in value.items():
        path = (*above, str(name))
        fields.update(_flat(each, path) if isinstance(each, Mapping) and each else {path: each})
    return fields


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, str) and isinstance(wanted, str):
        return normalized(found) == normalized(wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_equal, found, wanted))
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return found.keys() == wanted.keys() and all(_equal(found[name], wanted[name]) for name in wanted)
    return bool(found == wanted)


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    from referencing import Registry

    plain = json.loads(schema)
    chosen = validator_for(plain, default=Draft202012Validator)
    try:
        chosen.check_schema(plain)
    except SchemaError as error:
        raise ScorerError(
            "json_schema", f"its schema is not valid at {error.json_path}: {error.message}"
        ) from error
    # With a registry of its own, it looks up no reference on the network.
    return chosen(plain, registry=Registry())


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")

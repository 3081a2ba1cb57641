"""Scorers and judges as configuration and command lines name them."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from latent.errors import ScorerError
from latent.errors.text import did_you_mean
from latent.evals.judging import Judge
from latent.evals.scoring import Scorer

_CALL = re.compile(r"(?P<name>[^()]+)\((?P<options>.*)\)", re.DOTALL)


def find_scorer(spec: str | Mapping[str, Any]) -> Scorer:
    """
    A scorer by its name: one of latent's, one of the running flow's file, or `file.py:function`.

    `contains`, `numeric(tolerance=0.01)`, `{contains: {expected: [yes]}}`, `my_scorers.py:names_a_source`.

    Args:
        spec: A name, a name with options in parentheses, or a mapping of a name to options.

    Raises:
        ScorerError: There is none of this name, or it has no such option.
    """
    from latent.prefect import current_run

    run = current_run()
    name, options = _parsed(spec)
    path, _, function = name.rpartition(":")
    found = (
        _in_file(path, function, None if run is None else run.workspace.root)
        if path
        else _by_name(name, "" if run is None else run.flow_name)
    )
    return found.with_options(**options) if options else found


def find_judge(settings: Mapping[str, Any]) -> Judge:
    """
    The judge that settings describe: `model`, `rubric`, and what else `Judge` takes.

    Raises:
        ScorerError: A setting is unknown, or `rubric` or `model` is missing.
    """
    known = [name for name in inspect.signature(Judge).parameters if name != "output"]
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, known, f"there are {', '.join(known)}.")
            raise ScorerError("judge", f"there is no setting {name!r}: {hint}")
    for name in ("rubric", "model"):
        if not settings.get(name):
            raise ScorerError("judge", f"it needs a {name}: say `{name}`.")
    given = dict(settings)
    if isinstance(given.get("scale"), list):
        given["scale"] = tuple(given["scale"])
    return Judge(given.pop("rubric"), **given)


def _parsed(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, Mapping):
        if len(spec) != 1:
            raise ScorerError(
                str(dict(spec)), "write one name with its options: `contains: {expected: [yes]}`."
            )
        name, options = next(iter(spec.items()))
        return str(name), dict(options or {})
    call = _CALL.fullmatch(spec.strip())
    if call is None:
        return spec.strip(), {}
    try:
        parsed = ast.parse(f"f({call['options']})", mode="eval").body
        assert isinstance(parsed, ast.Call)
        if parsed.args:
            raise ValueError("options are written `name=value`")
        options = {str(each.arg): ast.literal_eval(each.value) for each in parsed.keywords}
    except (SyntaxError, ValueError) as error:
        raise ScorerError(
            call["name"], f"its options {call['options']!r} cannot be read: {error}."
        ) from error
    return call["name"].strip(), options


def _by_name(name: str, flow_name: str) -> Scorer:
    from latent.evals import scorers

    own = sys.modules.get(f"flows.{flow_name}.flow")
    for module in (own, scorers):
        if module is not None and isinstance(found := getattr(module, name, None), Scorer):
            return found
    known = [
        *scorers.__all__,
        *(each for each in vars(own or object) if isinstance(getattr(own, each), Scorer)),
    ]
    hint = did_you_mean(
        name, known, f"there are {', '.join(sorted(known))}; or name one as file.py:function."
    )
    raise ScorerError(name, f"there is no such scorer: {hint}")


def _in_file(path: str, function: str, root: Path | None) -> Scorer:
    file = Path(path)
    if not file.is_file() and root is not None:
        file = root / path
    if not file.is_file():
        raise ScorerError(f"{path}:{function}", f"there is no file {path!r}.")
    module = module_of_file(file)
    found = getattr(module, function, None)
    if isinstance(found, Scorer):
        return found
    if callable(found):
        from latent.evals.scoring import scorer

        made: Scorer = scorer(found)
        return made
    known = [
        name
        for name, value in vars(module).items()
        if isinstance(value, Scorer) or (inspect.isfunction(value) and value.__module__ == module.__name__)
    ]
    hint = did_you_mean(function, known, f"it has {', '.join(known) or 'no functions'}.")
    raise ScorerError(f"{path}:{function}", f"{path} has none of this name: {hint}")


def module_of_file(file: Path) -> ModuleType:
    """
    The module of a file that is named by its path, imported once.

    Raises:
        ScorerError: It cannot be imported.
    """
    file = file.resolve()
    name = "latent_scorers" + re.sub(r"\W", "_", str(file))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ScorerError(str(file), f"it cannot be imported: {type(error).__name__}: {error}") from error
    return module

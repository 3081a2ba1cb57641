"""
How to ask and to score again what an evaluation asked and scored, from its records alone.

A recipe is JSON that says how a model, a function, a prompt or a scorer was made, with a fingerprint of what
it was. What is made of it is held against the fingerprint: it is the same, or there is none.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from latent.errors import LatentError, RecipeError
from latent.evals.answering import FunctionTarget, ModelTarget
from latent.evals.scoring import Scorer, scorer
from latent.llm import Model, PromptTemplate

P = ParamSpec("P")
S = TypeVar("S", bound=Scorer)

Recipe = Mapping[str, Any]

BY_PATH = "latent_scorers"
"""How the names of modules begin that were imported by their files' paths."""

_PLAIN = (str, int, float, bool, type(None))


def recipe_of_scorer(given: Scorer) -> dict[str, Any] | None:
    """How a scorer was made; None where nothing could find or make it again."""
    found: dict[str, Any] = {"name": given.name, "columns": dict(given.columns)}
    options = written(dict(given.options))
    if given.made_by is None:
        where = _where(given.fn)
        return None if where is None or options is None else {**found, **where, "options": options}
    (module, function), arguments = given.made_by
    if (of_factory := written(arguments)) is None:
        return None
    return {**found, "module": module, "factory": function, "arguments": of_factory, "options": options}


def scorer_of(recipe: Recipe | None, name: str) -> Scorer:
    """
    The scorer of a recipe, as it is now: its version tells whether it still means the same.

    Raises:
        RecipeError: There is no recipe, or nothing can be made of it any more.
    """
    what = f"Scorer {name!r}"
    if recipe is None:
        raise RecipeError(what, "its records do not say how it was made: those of a module, with options "
                          "that JSON holds, do")  # fmt: skip
    if "factory" in recipe:
        factory = _found(what, {**recipe, "function": recipe["factory"]})
        found = _made(what, lambda: factory(**read_back(recipe["arguments"])))
    else:
        found = _found(what, recipe)
        found = found if isinstance(found, Scorer) else scorer(found)
    options = _made(what, lambda: read_back(recipe["options"])) if recipe["options"] else {}
    made: Scorer = found.changed(
        options={**found.options, **options}, name=recipe["name"], columns=recipe["columns"]
    )
    return made


def recipe_of_model(model: Model) -> dict[str, Any]:
    """How a model was set up, without its key, and its headers, which may hold one."""
    return {"settings": model.settings, "fingerprint": _fingerprint(model)}


def model_fingerprint(recipe: Recipe | None) -> str | None:
    """Tells apart models that answer otherwise; None where the records do not say."""
    return None if recipe is None else recipe["fingerprint"]


def model_of(recipe: Recipe | None) -> Model:
    """
    The model of a recipe.

    Raises:
        RecipeError: It would answer otherwise than the one of the records.
    """
    if recipe is None:
        raise RecipeError("The model", "its records do not say how it was set up")
    what = f"Model {recipe['settings']['spec']!r}"
    made: Model = _made(what, lambda: Model(**recipe["settings"]))
    if _fingerprint(made) != recipe["fingerprint"]:
        raise RecipeError(
            what, "set up as its records say it is another one: headers are not recorded, and an address may "
            "stand in the environment"
        )  # fmt: skip
    return made


def prompt_of(target: Mapping[str, Any]) -> PromptTemplate:
    """The template that a target's records hold."""
    path = target.get("prompt_file")
    return PromptTemplate(target["prompt"], None if path is None else Path(path))


def recipe_of_target(target: Any) -> dict[str, Any] | None:
    """How a model was set up, or where a function stands; None for answers that were there."""
    if isinstance(target, ModelTarget):
        return recipe_of_model(target.model)
    return _where(target.task.fn) if isinstance(target, FunctionTarget) else None


def function_of(recipe: Recipe | None, name: str) -> Any:
    """
    The function, or the task, of a recipe.

    Raises:
        RecipeError: It is gone.
    """
    what = f"Target {name!r}"
    if recipe is None:
        raise RecipeError(
            what, "its records do not say where it stands: only functions of a module are found"
        )
    return _found(what, recipe)


def remade(factory: Callable[P, S]) -> Callable[P, S]:
    """Have the scorers of a factory say how they were made: they are closures, which nobody finds again."""
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def made(*args: P.args, **kwargs: P.kwargs) -> S:
        given = dict(signature.bind(*args, **kwargs).arguments)
        return factory(*args, **kwargs).changed(made_by=((factory.__module__, factory.__qualname__), given))

    return made


def written(value: Any) -> Any:
    """A value in JSON, marked where JSON has no form for it; None where it cannot be made again."""
    if isinstance(value, _PLAIN):
        return {"is": value}
    if isinstance(value, Model):
        return {"model": recipe_of_model(value)}
    if isinstance(value, Mapping):
        pairs = [[written(key), written(each)] for key, each in value.items()]
        return None if any(None in pair for pair in pairs) else {"mapping": pairs}
    if isinstance(value, list | tuple):
        items = [written(each) for each in value]
        return None if None in items else {"list" if isinstance(value, list) else "tuple": items}
    if isinstance(value, Scorer):
        recipe = recipe_of_scorer(value)
        return None if recipe is None else {"scorer": recipe}
    fields = getattr(value, "recipe_fields", None)  # a judge's rubric
    if fields is None or (given := written(fields())) is None:
        return None
    return {"made": [type(value).__module__, type(value).__qualname__, given]}


def read_back(value: Mapping[str, Any]) -> Any:
    """What `written` wrote."""
    ((kind, content),) = value.items()
    if kind == "is":
        return content
    if kind == "model":
        return model_of(content)
    if kind == "mapping":
        return {read_back(key): read_back(each) for key, each in content}
    if kind == "scorer":
        return scorer_of(content, content["name"])
    if kind == "made":
        module, name, fields = content
        return getattr(importlib.import_module(module), name)(**read_back(fields))
    items = [read_back(each) for each in content]
    return items if kind == "list" else tuple(items)


def _where(fn: Callable[..., Any]) -> dict[str, Any] | None:
    """The module and name of a function, with the file of one that is imported by its path."""
    from latent.config import find_workspace

    module = sys.modules.get(getattr(fn, "__module__", None) or "")
    named = getattr(fn, "__qualname__", "<")
    if module is None:
        return None
    for name, value in vars(module).items():  # a scorer may have another name than its function
        if isinstance(value, Scorer) and value.fn is fn:
            named = name
    if "<" in named:
        return None
    found = {"module": module.__name__, "function": named}
    if module.__name__.startswith(BY_PATH) and module.__file__:
        found["file"] = find_workspace().label(Path(module.__file__))
    return found


def _found(what: str, where: Mapping[str, Any]) -> Any:
    """
    What stands at a place that `_where` gave.

    Raises:
        RecipeError: Nothing does any more.
    """
    shown = where.get("file") or where["module"]
    try:
        found: Any = _module(where)
        for part in where["function"].split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise RecipeError(what, f"{shown} has no {where['function']!r} any more") from error
    except Exception as error:
        raise RecipeError(what, f"{shown} cannot be imported: {type(error).__name__}: {error}") from error
    return found


def _module(where: Mapping[str, Any]) -> Any:
    from latent.config import find_workspace
    from latent.evals.finding import module_of_file

    root = find_workspace().root
    if "file" in where:
        return module_of_file(root / where["file"])
    if str(root) not in sys.path:  # where the flows of the workspace are imported from
        sys.path.insert(0, str(root))
    return importlib.import_module(where["module"])


def _made(what: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except RecipeError:
        raise
    except (LatentError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise RecipeError(what, f"it cannot be made again: {error}") from error


def _fingerprint(value: Any) -> str:
    from latent.cache import stable_hash

    return stable_hash(value)

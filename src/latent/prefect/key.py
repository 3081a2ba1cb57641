"""Under which key a call's result is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from prefect.client.schemas.objects import TaskRun
from prefect.context import FlowRunContext, TaskRunContext

from latent.cache.code import CodeFingerprint, code_fingerprint
from latent.cache.keys import file_key_of_parts, key_of_parts
from latent.errors import CatalogError, UnhashableError
from latent.prefect.logs import warn_once

if TYPE_CHECKING:
    from latent.prefect.run import Run
    from latent.prefect.shared import Shared
    from latent.prefect.tasks import Task


class CallKey(NamedTuple):
    """
    The key of one call, with its named parts.

    A tuple, since each of ten thousand rows has one.
    """

    key: str
    parts: Mapping[str, str]
    """The fingerprint of each argument and dataset, by name: what `latent why` compares."""
    code: CodeFingerprint | None = None
    """Of the task with the user's own classes among the arguments; None where there are none."""
    users_own: bool = False
    """Made by a `cache_key_fn` or `cache_policy`: then it alone decides, as in Prefect."""


def call_key(task: Task[..., Any], run: Run, arguments: Mapping[str, Any], shared: Shared) -> CallKey | None:
    """
    The key of a call, or None when the call cannot be remembered; the user is told why, once.

    A task with `input` datasets is keyed by their fingerprints, any other by its arguments.
    """
    try:
        if task.users_key:
            return _users_key(task, arguments)
        fills = task.binder.fills
        observed = {name: shared.look_at(name, value) for name, value in arguments.items()}
        parts = {name: known for name, (known, _) in observed.items() if name not in fills}
        code = code_with(task, run, frozenset().union(*(classes for _, classes in observed.values())))
        if not task.inputs:
            return CallKey(key_of_parts(task.name, parts), parts, code)
        given = {dataset: observed[name][0] for name, dataset in fills.items() if name in observed}
        datasets = _dataset_fingerprints(task, run, given, shared)
        key = file_key_of_parts(list(datasets.values()), task.key_signature, parts)
        return CallKey(key, datasets | parts, code)
    except UnhashableError as error:
        warn_once(
            f"unhashable:{task.name}",
            f"Task {task.name!r} is not remembered, since it has an argument without a fingerprint: {error}",
        )
    except CatalogError:
        # The task itself will load the dataset, fail, and say so with its full context.
        pass
    return None


def code_with(task: Task[..., Any], run: Run, classes: frozenset[type]) -> CodeFingerprint | None:
    """The task's code with that of classes; None when there are none, or code does not count."""
    return code_fingerprint(task.fn, run.workspace.root, classes) if classes and task.counts_code else None


def is_still_key(
    key: CallKey, task: Task[..., Any], run: Run, arguments: Mapping[str, Any], shared: Shared
) -> bool:
    """
    Whether the arguments are still those that the key was made of, after more than one attempt.

    A function that changed them in place before it failed would have a later attempt's result remembered for
    what it was first called with. The user is told, once.
    """
    if key.users_own:
        return True
    now = call_key(task, run, arguments, shared)
    if now is not None and now.key == key.key:
        return True
    warn_once(
        f"changed:{task.name}",
        f"Task {task.name!r} changed its arguments in place before an attempt failed, so the result of the "
        "next attempt is not remembered: work on a copy.",
    )
    return False


def _dataset_fingerprints(
    task: Task[..., Any], run: Run, given: Mapping[str, str], shared: Shared
) -> dict[str, str]:
    """By dataset name; a value that was `given` in a dataset's place stands with its own hash."""
    return {
        dataset: given[dataset] if dataset in given else shared.fingerprint(run.catalog, dataset)
        for dataset in task.inputs
    }


def _users_key(task: Task[..., Any], arguments: Mapping[str, Any]) -> CallKey | None:
    """
    The key from Prefect's own `cache_key_fn` or `cache_policy`.

    Both expect the context of a task run, which a hit never makes: they get one that names the task, the flow
    run and the arguments.
    """
    flow = FlowRunContext.get()
    flow_run_id = flow.flow_run.id if flow and flow.flow_run else None
    task_run = TaskRun.model_construct(id=uuid4(), flow_run_id=flow_run_id, task_key=task.task_key)
    context = TaskRunContext.model_construct(task=task, task_run=task_run, parameters=dict(arguments))
    try:
        if task.cache_key_fn is not None:
            key = task.cache_key_fn(context, dict(arguments))
        else:
            flow_parameters = flow.parameters if flow else None
            key = task.users_policy.compute_key(
                task_ctx=context, inputs=dict(arguments), flow_parameters=flow_parameters or {}
            )
    except Exception as error:
        which = "cache_policy" if task.cache_key_fn is None else "cache_key_fn"
        warn_once(
            f"no-key:{task.name}",
            f"Task {task.name!r} is not remembered where its {which} cannot make a key. It raised "
            f"{type(error).__name__}: {error}",
        )
        return None
    if key is None:
        return None
    digest = hashlib.md5(f"prefect:{key}".encode(), usedforsecurity=False).hexdigest()
    return CallKey(digest, {"cache_key": str(key)}, users_own=True)

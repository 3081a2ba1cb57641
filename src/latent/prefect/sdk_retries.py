"""
Retries that a provider's SDK makes by itself inside of a task, found and reported once.

They multiply with the task's own (3 + 1 attempts of 2 + 1 requests each are 12), no limit sees them, and they
sleep while they hold a slot. Nothing is imported, changed or called to find them: clients are known by the
modules of their classes and read through their own attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from latent.prefect.logs import warn_once
from latent.prefect.retry_policy import original_of

if TYPE_CHECKING:
    from types import TracebackType

    from latent.prefect.tasks import Task

MAX_DEPTH = 3
"""Functions that call functions are followed so deep in search of a client."""

MAX_FRAMES = 200
"""Frames of an error's traceback that are looked at."""

_RETRY_COUNT = "x-stainless-retry-count"
"""Request header in which the generated SDKs (openai, anthropic, groq, ...) say which retry this is."""

_reported: set[str] = set()
"""Tasks that were told about already: looking through a traceback costs 0.2 ms."""

_looked: WeakSet[FunctionType] = WeakSet()
_looking = Lock()


@dataclass(frozen=True, slots=True)
class SdkRetries:
    """A client that retries by itself."""

    sdk: str
    retries: int
    remedy: str
    """What to write so that it does not."""


def report_sdk_retries(task: Task[..., Any], error: BaseException | None = None) -> None:
    """
    Warn, once for each task and SDK, that a client which the task uses also retries by itself.

    Cheap enough for every call: a task's function is looked through once, an error's traceback when there is
    one. A task without retries and limit is left alone: there the SDK's are the only ones.

    Args:
        error: What an attempt raised: it also shows clients that are made inside of the function.
    """
    if not task.retries and task.limit is None:
        return
    if error is not None and task.name in _reported:
        return
    for found in _in_error(error) if error is not None else _in_task(task):
        _reported.add(task.name)
        warn_once(
            f"sdk-retries:{task.name}:{found.sdk}",
            f"{task.label}: its {found.sdk} client retries by itself, up to {found.retries} times within "
            "each attempt of the task. Those requests multiply with the task's own retries, and limits do "
            f"not see them. Turn them off: {found.remedy}.",
        )


def retries_of(thing: object) -> SdkRetries | None:
    """The retries that an SDK's client makes by itself; None for anything else, and when they are off."""
    for kind in type(thing).__mro__:
        root = kind.__module__.partition(".")[0]
        if kind.__module__.endswith(("._base_client", "._resource")):
            return _generated(thing, type(thing).__module__.partition(".")[0])
        if root == "pinecone":
            return _pinecone(thing)
        if root == "requests":
            return _requests(thing)
    return None


def _generated(client: object, sdk: str) -> SdkRetries | None:
    """OpenAI's, Anthropic's and all SDKs of the same make; a part of a client (`client.chat`) knows it."""
    for each in (client, _own(client, "_client")):
        retries = _own(each, "max_retries")
        if isinstance(retries, int) and retries > 0:
            return SdkRetries(sdk, retries, f"write {type(each).__name__}(max_retries=0)")
    return None


def _pinecone(client: object) -> SdkRetries | None:
    config = _own(client, "_config")
    config = _own(config, "retry_config") or config
    retries = _own(config, "max_retries")
    if not isinstance(retries, int) or retries <= 0:
        return None
    return SdkRetries("pinecone", retries, "write Pinecone(retry_config=RetryConfig(max_retries=0))")


def _requests(session: object) -> SdkRetries | None:
    adapters = _own(session, "adapters")
    policies = [_own(adapter, "max_retries") for adapter in adapters.values()] if adapters else []
    policies.append(_own(session, "max_retries"))  # an adapter itself, in a traceback
    totals = [total for policy in policies if isinstance(total := _own(policy, "total"), int)]
    retries = max(totals, default=0)
    if retries <= 0:
        return None
    return SdkRetries("requests", retries, "mount HTTPAdapter(max_retries=0), or none at all")


def _in_task(task: Task[..., Any]) -> Iterator[SdkRetries]:
    function = getattr(task.fn, "__func__", task.fn)
    if not isinstance(function, FunctionType):
        return
    with _looking:
        if function in _looked:
            return
        _looked.add(function)
    seen: set[int] = set()
    for thing in _reached(function, MAX_DEPTH, seen):
        if (found := retries_of(thing)) is not None:
            yield found


def _reached(function: FunctionType, depth: int, seen: set[int]) -> Iterator[object]:
    """What a function uses by name: closure, globals, defaults, and the same of the functions among them."""
    if id(function) in seen:
        return
    seen.add(id(function))
    for thing in _used(function):
        yield thing
        inner = getattr(thing, "__wrapped__", thing) if callable(thing) else thing
        if isinstance(inner, FunctionType) and depth > 0:
            yield from _reached(inner, depth - 1, seen)


def _used(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
    names = _names(function.__code__)
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _names(code: CodeType) -> set[str]:
    """Global names that code uses, functions defined in it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _in_error(error: BaseException) -> Iterator[SdkRetries]:
    link: BaseException | None = original_of(error)
    frames = 0
    while link is not None and frames < MAX_FRAMES:
        traceback: TracebackType | None = link.__traceback__
        while traceback is not None and frames < MAX_FRAMES:
            if (found := retries_of(traceback.tb_frame.f_locals.get("self"))) is not None:
                yield found
            traceback, frames = traceback.tb_next, frames + 1
        if (found := _in_request(link)) is not None:
            yield found
        link, frames = link.__cause__, frames + 1


def _in_request(error: BaseException) -> SdkRetries | None:
    """What the request that failed says of itself: it stays when a traceback is cut."""
    headers = _own(_own(error, "request"), "headers")
    if not isinstance(headers, Mapping):
        return None
    count = str(headers.get(_RETRY_COUNT, ""))
    if not count.isdigit() or int(count) == 0:
        return None
    sdk = type(error).__module__.partition(".")[0]
    return SdkRetries(sdk, int(count), "give the client max_retries=0")


def _own(thing: object, name: str) -> Any:
    """An attribute of the instance itself: looking must not run code of theirs."""
    try:
        own = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return getattr(thing, name, None) if type(thing).__module__.startswith("pinecone.") else None
    return own.get(name) if isinstance(own, dict) else None

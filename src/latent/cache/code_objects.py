"""What belongs to classes and objects: members that users wrote, functions in wrappers, what objects hold."""

from __future__ import annotations

import copyreg
import functools
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, ContextVar
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from latent.cache.classes import caches_of, class_name, find_class, slots_of
from latent.cache.code_origin import Noting, is_own_code
from latent.cache.code_syntax import plan_of
from latent.cache.code_watch import cell_content
from latent.cache.hashing import is_hashable_type, stable_hash
from latent.errors import UnhashableError

_INITIALISERS = frozenset({"__init__", "__new__", "__post_init__", "__attrs_post_init__", "__setstate__"})
_HOLDERS = ("fn", "__wrapped__", "pyfunc", "root_render_func")
"""Where tasks, flows, decorators, NumPy and Jinja keep their function."""

_BY_CLASS = frozenset(
    {"_contextvars", "_io", "_queue", "_thread", "asyncio", "concurrent", "contextvars", "functools", "io"}
    | {"itertools", "logging", "multiprocessing", "os", "queue", "select", "selectors", "socket", "sqlite3"}
    | {"ssl", "subprocess", "tempfile", "threading", "types", "typing", "typing_extensions", "weakref"}
    # What is beneath a client, and is another one once the client was used.
    | {"anyio", "h11", "h2", "hpack", "httpcore", "httpcore2", "sniffio"}
    # They show and count what happens, and change nothing of it.
    | {"loguru", "opentelemetry", "prometheus_client", "rich", "sentry_sdk", "structlog", "tqdm"}
    # Their data may be gigabytes on another device.
    | {"cupy", "jax", "jaxlib", "mlx", "tensorflow", "torch"}
)
"""Packages whose objects count by their class: what connections and locks hold changes with their use."""
_MACHINERY = (
    # Of latent's own: runs, parameters (they count when they are read), limits.
    *("latent.limits", "latent.prefect", "latent.tracking"),
    *("aiohttp.connector", "aiohttp.cookiejar", "botocore.httpsession", "sqlalchemy.pool"),
    *("http.cookiejar", "urllib3.connection", "urllib3.poolmanager", "urllib3._collections"),
)
"""Modules of which the same holds."""

_LEFT_OUT = frozenset(
    # A rotated key asks the same of the same service.
    {"access_key", "access_token", "api_key", "auth_header", "auth_token", "password", "passwd", "secret"}
    | {"secret_key", "session_token", "token", "webhook_secret"}
    # Other in every process, by their meaning.
    | {"created", "created_at", "pid", "start_time", "started_at", "timestamp", "uuid"}
    # Other once the object was used.
    | {"closed", "is_closed", "state"}
)
"""What does not count of a library's objects, with or without underscores before it."""

_MADE_FROM = {("pydantic", "TypeAdapter"): ("_type", "_config")}
"""Where the rest follows from some attributes, and is not the same in every process."""

_SETTABLE = (type(None), bool, int, float, str, bytes)


def library_name(value: Any) -> str:
    """`module:qualified.name` of a function or class, or of the class of an object."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', None) or 'builtins'}:{named.__qualname__}"


def wrapped(value: Any) -> list[Any]:
    """The functions inside a library's wrapper: the one it names, and the user's that it captured."""
    found: list[Any] = []
    if type(value).__module__ == "functools":
        holders: tuple[str, ...] = (*_HOLDERS, "func", "dispatcher")
    else:
        holders = () if isinstance(value, type) else _HOLDERS
    for name in holders:
        try:
            # Not getattr: asking a proxy for an attribute may run code, or count as reading a parameter.
            inner = object.__getattribute__(value, name)
        except (AttributeError, TypeError):
            continue
        if callable(inner) and not isinstance(inner, MethodType):
            found.append(inner)
            if name != "func":
                break
    if isinstance(value, FunctionType):
        cells = [cell_content(cell) for cell in value.__closure__ or ()]
        # `functools.singledispatch` keeps a mapping of functions as an attribute.
        for content in [*cells, *vars(value).values()]:
            items = content.values() if isinstance(content, Mapping) else [content]
            found.extend(item for item in items if isinstance(item, FunctionType) and is_own_code(item))
    return found


def parts_of_type(value: Any) -> tuple[Any, ...] | None:
    """What an annotation such as `Literal["a", "b"]`, `int | None` or a `NewType` is made of; else None."""
    if type(value).__module__ not in ("typing", "types", "typing_extensions"):
        return None
    parts = tuple(getattr(value, name, None) for name in _TYPE_PARTS)
    return (*parts, getattr(value, "__origin__", None)) if any(parts) else None


_TYPE_PARTS = ("__args__", "__metadata__", "__supertype__", "__bound__", "__constraints__", "__value__")


# What an object of a library holds.


@dataclass(frozen=True, slots=True)
class Content:
    """What an object held when this process first saw it: the same at each start, while it is made alike."""

    digest: str
    """Over its data."""
    parts: tuple[Any, ...]
    """The code and the objects in it, in the order in which the digest refers to them."""
    settings: Mapping[str, Any]
    """Its public attributes with plain values, which users set later, too."""


def content_of(value: Any) -> Content | None:
    """
    What an object of a library held at first: clients that open connections stay what they are.

    None for what holds nothing, or only what changes while it is used.
    """
    key = id(value)
    with _lock:
        if (known := _contents.get(key)) is not None:
            return known[1]
    if (content := _read_content(value)) is None:
        return None
    holder: Any = value  # so that no other object gets its id
    with suppress(TypeError):
        holder = weakref.ref(value, _forgetting(key))
    with _lock:
        _contents[key] = (holder, content)
        if len(_contents) > _KEPT:
            _contents.popitem(last=False)
    return content


def _forgetting(key: int) -> Callable[[Any], None]:
    forget = _contents.pop  # bound now: Python empties modules before it lets go of the last objects

    def gone(_: Any) -> None:
        forget(key, None)

    return gone


_KEPT = 4096
_contents: OrderedDict[int, tuple[Any, Content]] = OrderedDict()
_lock = threading.Lock()


def _read_content(value: Any) -> Content | None:
    held = held_by(value)
    if not held:
        return None
    parts: list[Any] = []

    def refer(part: Any) -> str:
        if isinstance(part, BuiltinFunctionType) and is_hashable_type(type(part.__self__)):
            # Such as `queue.append`: what it is bound to is the object's data, too.
            return f"{library_name(part)} of {stable_hash(part.__self__, refer)}"
        parts.append(part)
        return f"@{len(parts)}"

    noting, digests = Noting(refer), {}
    for name in sorted(held):
        try:
            digests[name] = stable_hash(held[name], noting)
        except Exception:  # it contains itself, or is a proxy that raises whatever its library likes
            digests[name] = library_name(type(held[name]))
    parts += sorted(noting.classes, key=class_name)
    settings = {
        name: item for name, item in held.items() if name[:1] != "_" and type(item) in _SETTABLE
    }  # fmt: skip
    return Content(stable_hash(digests), tuple(parts), settings)


def held_by(value: Any) -> dict[str, Any]:
    """What an object of a library was made from, by name; nothing of the user's runs to find it out."""
    cls: Any = type(value)
    if isinstance(value, ContextVar):
        with suppress(LookupError):
            return {"default": Context().run(value.get)}
    package = cls.__module__.partition(".")[0]
    if package in _BY_CLASS or any(base.__module__.startswith(_MACHINERY) for base in cls.__mro__):
        return {}
    held = dict(attributes_of(value))
    for name in slots_of(cls):
        with suppress(AttributeError):
            held[name] = object.__getattribute__(value, name)
    if only := _MADE_FROM.get((package, cls.__name__)):
        return {name: held.get(name) for name in only}
    caches, addresses = caches_of(cls), set(map(id, held.values()))
    held = {
        name: _without_secrets(item)
        for name, item in held.items()
        if name not in caches and _counts(name) and not (type(item) is int and item in addresses)
    }
    return held if held and not _says_itself(cls, package) else held | _reduced(value)


def attributes_of(value: Any) -> Mapping[str, Any]:
    """The attributes of an object as they lie in it; a proxy is not asked for those of another."""
    try:
        own = object.__getattribute__(value, "__dict__")
    except Exception:  # none, or a property of a proxy that fails outside of where it belongs
        return {}
    return own if isinstance(own, dict) else {}


def _counts(name: Any) -> bool:
    if not isinstance(name, str):
        return True
    plain = name.lstrip("_").lower()
    # What is made at the first use follows from the rest: `_lazy_tracer`.
    return plain not in _LEFT_OUT and not plain.startswith(("lazy", "cached"))


def _without_secrets(item: Any) -> Any:
    return {key: inner for key, inner in item.items() if _counts(key)} if type(item) is dict else item


def _says_itself(cls: Any, package: str) -> bool:
    """Whether objects of a class keep what they hold in C, or elsewhere, and say it when they are copied."""
    own_way = cls.__reduce_ex__ is not object.__reduce_ex__ or cls.__reduce__ is not object.__reduce__
    return own_way and (package in sys.stdlib_module_names or package == "numpy")


def _reduced(value: Any) -> dict[str, Any]:
    try:
        known = copyreg.dispatch_table.get(type(value))
        reduced: Any = value.__reduce_ex__(4) if known is None else known(value)
    except Exception:  # most of what cannot be copied says so in its own way
        return {}
    return {"(copied as)": reduced[1:3] if isinstance(reduced, tuple) else reduced}


# Classes.


def file_of(cls: type) -> str:
    """The file that a class was defined in."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None:
        # The module of a notebook has no file, but each function knows the cell it was typed in.
        codes = [member.__code__ for member in vars(cls).values() if isinstance(member, FunctionType)]
        file = codes[0].co_filename if codes else "<unknown>"
    return str(file)


def annotations_of(cls: type) -> list[tuple[str, str]]:
    """The annotated fields of a class without source."""
    return [(name, str(kind)) for name, kind in sorted(getattr(cls, "__annotations__", {}).items())]


def fields_of(cls: Any) -> dict[str, Any]:
    """The fields of a class that was made by a call, such as `create_model(...)` or `make_dataclass(...)`."""
    if "__pydantic_fields__" in vars(cls):
        return {**cls.__pydantic_fields__, "(config)": dict(cls.model_config)}
    if "__dataclass_fields__" in vars(cls):
        return {
            name: (one.type, one.default, one.default_factory, one.init, dict(one.metadata))
            for name, one in cls.__dataclass_fields__.items()
        }
    kinds = vars(cls).get("__annotations__")
    return dict(kinds) if isinstance(kinds, dict) else {}


def is_made(cls: type) -> bool:
    """Whether a class of a library's module was made by a call of the user's: no import finds it."""
    return bool(fields_of(cls)) and find_class(class_name(cls)) is not cls


def ways_of(cls: type) -> dict[str, bool]:
    """Which of the methods that `@dataclass(...)` makes by default it was told to leave out, or to add."""
    given = vars(cls).get("__dataclass_params__")
    usual = {"init": True, "repr": True, "eq": True, "order": False}
    return {name: not known for name, known in usual.items() if getattr(given, name, known) != known}


def is_member(cls: type, name: str, value: Any) -> bool:
    """Whether a class attribute was written by the user, not generated by Python, pydantic or a decorator."""
    if isinstance(value, FunctionType):
        # Dataclasses and named tuples compile their methods from strings.
        return is_own_code(value) and not value.__code__.co_filename.startswith("<string")
    if isinstance(value, property | classmethod | staticmethod):
        return True
    if name.startswith(("__", "_abc_")) or (name.startswith("_") and name.endswith("_")):
        return False
    # A model's fields stand in its statements; its other attributes are pydantic's, or SQLAlchemy's.
    if hasattr(cls, "__pydantic_fields__") or type(value).__module__.startswith("sqlalchemy."):
        return False
    return type(value).__name__ != "member_descriptor"


@functools.lru_cache(maxsize=1024)
def state_of(cls: type) -> frozenset[str]:
    """Attributes that methods of a class change after an object was made."""
    state: set[str] = set()
    for name, member in vars(cls).items():
        if isinstance(member, functools.cached_property):
            state.add(name)
        fn = getattr(member, "__func__", member)
        if isinstance(fn, FunctionType) and is_own_code(fn):
            plan = plan_of(fn.__code__)
            state |= plan.changed_attributes(cls.__name__)  # `Client.calls += 1`
            for first in fn.__code__.co_varnames[:1]:
                state |= set() if name in _INITIALISERS else plan.changed_attributes(first)
    return frozenset(state)


@functools.lru_cache(maxsize=1024)
def written_by(cls: type) -> frozenset[str] | None:
    """
    Attributes that the user's methods set on an object, where a library's class sets others.

    None when no class of a library makes the object: then all of it is the user's.
    """
    foreign = (base for base in cls.__mro__ if base.__module__ != "typing" and not is_own_code(base))
    if not any(isinstance(vars(base).get("__init__"), FunctionType) for base in foreign):
        return None
    own = [member for base in cls.__mro__ if is_own_code(base) for member in vars(base).values()]
    functions = (getattr(member, "__func__", member) for member in own)
    return frozenset(
        name
        for fn in functions
        if isinstance(fn, FunctionType)
        for first in fn.__code__.co_varnames[:1]
        for name in plan_of(fn.__code__).changed_attributes(first)
    )


# State: what code changes itself, such as a counter, a list that it appends to, a client that it makes once.
# Were it to count as it is, each call would make its own results worthless. Were it not to count at all, a
# setting beside a counter would be lost with it. So it counts as it was when this process first saw it.


def first_seen(owner: Any, name: str, value: Any) -> str:
    """The identity that the state `name` of `owner` had when it was first asked for; `value` is today's."""
    key = (id(owner), name)
    with _lock:
        if (known := _seen.get(key)) is None:
            # The owner is held, so that no other gets its id.
            known = _seen[key] = (owner, _identity(value))
            if len(_seen) > _KEPT:
                _seen.popitem(last=False)
    return known[1]


_seen: OrderedDict[tuple[int, str], tuple[Any, str]] = OrderedDict()
_CODE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)


def _identity(value: Any) -> str:
    """Data by its hash; what has none (a client, a lock, a function) by its class."""
    if isinstance(value, _CODE):
        return library_name(type(value))
    try:
        return stable_hash(value, lambda part: library_name(type(part)))
    except UnhashableError:
        return library_name(type(value))

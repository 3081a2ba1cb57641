"""Fingerprints of code: equal as long as a function would do the same, whatever happens to its comments."""

from __future__ import annotations

import functools
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import getattr_static
from pathlib import Path
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

from latent.cache.classes import caches_of, class_name, slots_of
from latent.cache.code_objects import (
    annotations_of,
    attributes_of,
    content_of,
    fields_of,
    file_of,
    first_seen,
    is_made,
    is_member,
    library_name,
    parts_of_type,
    state_of,
    ways_of,
    wrapped,
    written_by,
)
from latent.cache.code_origin import (
    Noting,
    describe_file,
    is_own_code,
    module_is_own,
    own_module,
    version_of,
)
from latent.cache.code_syntax import Plan, Read, class_syntax, module_digest, plan_of
from latent.cache.code_watch import MISSING, Watch, is_builtin
from latent.cache.hashing import children_of, is_hashable_type, stable_hash
from latent.errors import UnhashableError

_CODE_TYPES = (
    FunctionType, BuiltinFunctionType, MethodType, ModuleType, type, functools.partial,
    functools.partialmethod, property, classmethod, staticmethod,
)  # fmt: skip

_OBJECTS = 2_000
"""After so many functions, classes and objects, those of libraries count by their class alone."""


class Walk:
    """
    One walk: each function, class and object is visited once and gets a number, so cycles end.

    The digest is made of what was visited, in its order, not of files: code that moves stays the same.

    Args:
        root: Parts are named relative to it.
    """

    def __init__(self, root: Path) -> None:
        self.watch = Watch()
        self._root = root
        self._numbers: dict[int, str] = {}
        self._held: list[Any] = []
        self._queue: deque[tuple[Callable[[Any], None], Any, str]] = deque()
        self._label = ""
        self._details: dict[str, list[str]] = {}
        self._state: dict[int, set[str]] = {}
        self._facts: list[Any] = []
        self._parts: dict[str, str] = {}
        self._asked = 0

    def fingerprint(self, fn: Any, classes: Iterable[type] = ()) -> tuple[str, dict[str, str]]:
        """
        The digest over all that was visited, and its parts by name.

        Args:
            classes: Of the arguments: they count beside the function, unless it uses them anyway.
        """
        self._facts.append(self._identify(fn))
        self._drain()
        for cls in sorted(classes, key=class_name):
            if id(cls) not in self._numbers:
                self._facts.append(self._number(cls))
                self._drain()
        for label, digests in self._details.items():
            self._add_part(label, stable_hash(digests))
        return stable_hash(self._facts), self._parts

    def _drain(self) -> None:
        while self._queue:
            visit, value, self._label = self._queue.popleft()
            visit(value)

    # How a value counts where it is used.

    def _value(self, value: Any, label: str = "") -> str:
        """The identity of anything that a name stands for: data by its hash, code by its number."""
        self._label = label or self._label
        if isinstance(value, _CODE_TYPES) or value is MISSING:
            return self._identify(value)
        asked = self._asked
        fallback = Noting(self._identify)
        try:
            known = stable_hash(value, fallback)
        except UnhashableError:  # it contains itself
            return self._number(value, self._visit_parts)
        is_data = asked == self._asked  # what holds code or objects is explained by their parts
        self.watch.note_data(value, known if is_data else None)
        if is_data:
            self._add_part(label, known) if label else self._explain(known)
        # The methods of a dataclass or model count as well as its fields, wherever in a value it stands.
        classes = sorted(fallback.classes, key=lambda cls: (cls is not type(value), class_name(cls)))
        return " ".join([known, *map(self._number, classes)])

    def _identify(self, value: Any) -> str:
        """The identity of what has no hash of its own: functions, classes, modules and objects."""
        self._asked += 1
        if value is MISSING:
            return "missing"
        if isinstance(value, ModuleType):
            if module_is_own(value.__name__):
                return self._number(value, self._visit_module)
            return f"module {value.__name__}=={version_of(value.__name__)}"
        if isinstance(value, MethodType):
            return f"method {self._identify(value.__func__)} of {self._value(value.__self__)}"
        if isinstance(value, functools.partial | functools.partialmethod):
            given = f"{self._value(value.args)} {self._value(value.keywords)}"
            return f"{type(value).__name__} {self._identify(value.func)} {given}"
        if isinstance(value, property):
            return " ".join(
                ["property", *(self._identify(f) for f in (value.fget, value.fset, value.fdel) if f)]
            )
        if isinstance(value, classmethod | staticmethod):
            return f"{type(value).__name__} {self._identify(value.__func__)}"
        if is_own_code(value if isinstance(value, FunctionType | type) else type(value)):
            return self._number(value)
        return self._library(value)

    def _number(self, value: Any, visit: Callable[[Any], None] | None = None) -> str:
        """The place of a function, class or object in this walk; it is visited when it is new."""
        if id(value) not in self._numbers:
            if visit is not None and len(self._numbers) >= _OBJECTS:
                return library_name(type(value))
            self._numbers[id(value)] = f"#{len(self._numbers)}"
            self._held.append(value)
            if visit is None:
                is_code = isinstance(value, FunctionType)
                of_object = self._visit_class if isinstance(value, type) else self._visit_object
                visit = self._visit_function if is_code else of_object
            self._queue.append((visit, value, self._label))
        return self._numbers[id(value)]

    def _library(self, value: Any) -> str:
        """Code that was installed: its name and version, with what an object holds or a wrapper wraps."""
        if inner := wrapped(value):
            return " ".join([type(value).__qualname__, *map(self._identify, inner)])
        is_code = isinstance(value, FunctionType | BuiltinFunctionType | type)
        name = library_name(value if is_code else type(value))
        if version := version_of(name.partition(":")[0]):
            self._parts[name] = version
        known = f"{name}=={version}"
        if isinstance(value, BuiltinFunctionType):
            is_bound = not isinstance(value.__self__, ModuleType | None)
            return f"{known} {self._value((value.__self__,))}" if is_bound else known
        if isinstance(value, type):
            return f"{known} {self._number(value)}" if is_made(value) else known
        if not is_code and parts_of_type(value) is not None:
            return f"{known} {self._number(value, self._visit_type)}"
        if not is_code and content_of(value) is not None:
            return f"{known} {self._number(value, self._visit_library_object)}"
        return known

    # What belongs to a function, class or object.

    def _visit_function(self, fn: FunctionType) -> None:
        plan = plan_of(fn.__code__)
        file = describe_file(fn.__code__.co_filename, self._root)
        label = f"{file}:{fn.__qualname__}"
        self.watch.note_function(fn)
        self._add_part(label, plan.digest)
        cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
        used: dict[str, str] = {}
        for read in plan.reads:
            if plan.is_changed(read) and not self._stays_itself(fn, plan, cells, read):
                used.update(self._state_of_name(fn, plan, cells, read))
                continue
            found = self._find(fn, plan, cells, read, self.watch)
            if found is None or found[0] in used:
                continue
            if self._is_state(found[1], read.chain[0], plan):
                used[found[0]] = self._at_first(found[1], "", found[1])
                continue
            captured = not read.is_global and read.chain[0] in cells
            where = f"{label}[{found[0]}]" if captured else f"{file}:{found[0]}"
            used[found[0]] = self._value(found[1], where)
        self._facts.append([plan.digest, self._defaults(fn, label), used])

    def _state_of_name(
        self, fn: FunctionType, plan: Plan, cells: dict[str, CellType], read: Read
    ) -> dict[str, str]:
        """What a name that the function changes stood for at first; not watched: it is meant to change."""
        found = self._find(fn, plan, cells, read, Watch())
        if found is None or found[1] is MISSING:
            return {}
        captured = not read.is_global and read.chain[0] in cells
        owner: Any = cells[read.chain[0]] if captured else fn.__globals__
        return {f"{found[0]} (at first)": self._at_first(owner, found[0], found[1])}

    def _at_first(self, owner: Any, name: str, value: Any) -> str:
        """State by what it was at first, with the code of its class, if that is the user's."""
        known, cls = first_seen(owner, name, value), type(value)
        has_code = is_own_code(cls) and not isinstance(value, _CODE_TYPES)
        return f"{known} {self._number(cls)}" if has_code else known

    def _stays_itself(self, fn: FunctionType, plan: Plan, cells: dict[str, CellType], read: Read) -> bool:
        """Whether what a function changes is an object with methods of its own: they say what they change."""
        found = None if plan.is_rebound(read) else self._find(fn, plan, cells, read, Watch())
        return found is not None and self._is_object(found[1])

    def _is_object(self, value: Any) -> bool:
        if isinstance(value, _CODE_TYPES) or value is MISSING or is_hashable_type(type(value)):
            return False
        return is_own_code(type(value)) or content_of(value) is not None

    def _defaults(self, fn: FunctionType, label: str) -> str | None:
        if not fn.__defaults__ and not fn.__kwdefaults__:
            return None
        named = tuple(sorted((fn.__kwdefaults__ or {}).items()))
        return self._value((*(fn.__defaults__ or ()), named), f"{label}(defaults)")

    def _is_state(self, value: Any, name: str, plan: Plan) -> bool:
        """Whether a function changes parts of a value; of an object only these are left out."""
        attributes = plan.changed_attributes(name)
        if not attributes or isinstance(value, _CODE_TYPES):
            return False
        if self._is_object(value):
            self._state.setdefault(id(value), set()).update(attributes)
            return False
        return True

    def _find(
        self, fn: FunctionType, plan: Plan, cells: dict[str, CellType], read: Read, watch: Watch
    ) -> tuple[str, Any] | None:
        """What a chain of names stands for outside the function; None when that is nothing of the user's."""
        first, *rest = read.chain
        if read.is_global:
            if first.startswith("__") or (first not in fn.__globals__ and is_builtin(first)):
                return None
            return self._follow(watch.look_up(fn.__globals__, first), first, rest, watch)
        if first in cells:
            return self._follow(watch.look_into(cells[first]), first, rest, watch)
        if first in plan.imports:
            level, name, attribute = plan.imports[first]
            module = own_module("." * level + name, str(fn.__globals__.get("__package__") or ""))
            if module is not None:
                return self._follow(module, first, rest if attribute is None else [attribute, *rest], watch)
        return None

    def _follow(self, value: Any, name: str, rest: list[str], watch: Watch) -> tuple[str, Any]:
        """Through the user's own modules, and attributes set on functions, to what is used of them."""
        while rest and (
            _is_own_module(value) or (isinstance(value, FunctionType) and rest[0] in vars(value))
        ):
            attribute, *rest = rest
            inner = watch.look_up(vars(value), attribute)
            if inner is MISSING:
                # A module may make its attributes when they are asked for.
                inner = own_module(f"{value.__name__}.{attribute}") or vars(value).get("__getattr__", MISSING)
            name, value = f"{name}.{attribute}", inner
        return name, value

    def _visit_class(self, cls: type) -> None:
        file = file_of(cls)
        syntax = class_syntax(cls, file)
        digest = syntax.digest if syntax is not None else stable_hash(annotations_of(cls))
        where = describe_file(file, self._root)
        # `make_dataclass` leaves its classes in a library's module: the constant that leads to it names it.
        label = f"{where}:{cls.__qualname__}" if is_own_code(cls) else self._label or cls.__qualname__
        self._add_part(label, digest)
        self.watch.note_size(vars(cls))
        members = {}
        for name in sorted(vars(cls)):
            value = vars(cls)[name]
            if not is_member(cls, name, value):
                continue
            if name in state_of(cls) and not isinstance(value, (*_CODE_TYPES, functools.cached_property)):
                members[f"{name} (at first)"] = first_seen(cls, name, value)
            else:
                members[name] = self._value(self.watch.look_up(vars(cls), name), f"{label}.{name}")
        bases = [self._identify(base) for base in cls.__bases__ if base is not object]
        named = dict(self._class_names(cls, syntax.names if syntax is not None else frozenset(), where))
        self._facts.append([digest, bases, members, named])
        if syntax is None:
            fields = fields_of(cls)
            self._facts.append({n: self._value(item, f"{label}.{n}") for n, item in fields.items()})
        if ways := ways_of(cls):
            self._facts.append(ways)

    def _class_names(self, cls: type, names: frozenset[str], where: str) -> Iterator[tuple[str, str]]:
        """The helpers and constants that the statements of a class name: a field's type, a default."""
        known = getattr(sys.modules.get(cls.__module__), "__dict__", {})
        for name in sorted(names):
            if name in known and not name.startswith("__"):
                yield name, self._value(self.watch.look_up(known, name), f"{where}:{name}")

    def _visit_object(self, value: Any) -> None:
        """An object of the user's class: its class, and what it was set up with, but not what it changes."""
        cls: Any = type(value)
        written = written_by(cls)
        if written is not None:
            self._visit_library_object(value)
        state = frozenset(self._state.get(id(value), ())).union(*map(state_of, cls.__mro__))
        label = f"{describe_file(file_of(cls), self._root)}:{cls.__qualname__}"
        attributes = getattr(value, "__dict__", {})
        if written is None:
            self.watch.note_size(attributes)
        held = {
            name: self._value(self.watch.look_up(attributes, name), f"{label}().{name}")
            for name in sorted(attributes)
            if name not in state and (written is None or name in written)
        }
        for name in slots_of(cls):
            if (
                name not in state
                and (written is None or name in written)
                and (item := getattr(value, name, MISSING)) is not MISSING
            ):
                held[name] = self._value(item, f"{label}().{name}")
                self.watch.note_slot(value, name, item)
        for name in sorted(state - caches_of(cls)):
            held[f"{name} (at first)"] = first_seen(value, name, getattr_static(value, name, None))
        self._facts.append([self._identify(cls), held])

    def _visit_module(self, module: ModuleType) -> None:
        """What is asked of it is not known: all that it says and has from the user's other files may be."""
        file = getattr(module, "__file__", None)
        digest = None if file is None else module_digest(file)
        if digest is not None:
            self._add_part(describe_file(str(file), self._root), digest)
        names = sorted(name for name, value in vars(module).items() if _is_own_part(value))
        self._facts.append([digest, {n: self._identify(self.watch.look_up(vars(module), n)) for n in names}])

    def _visit_library_object(self, value: Any) -> None:
        """What an object of a library held at first, and what users set on it since."""
        content = content_of(value)
        if content is None:
            return
        now, then = attributes_of(value), content.settings
        names = then.keys() & now.keys() - self._state.get(id(value), set())
        today = {name: self.watch.look_up(now, name) for name in sorted(names)}
        changed = {n: self._value(v) for n, v in today.items() if (type(v), v) != (type(then[n]), then[n])}
        self._facts.append([content.digest, [self._identify(part) for part in content.parts], changed])
        self._explain(f"{content.digest} {changed}")

    def _visit_type(self, value: Any) -> None:
        parts = parts_of_type(value)
        self._facts.append(self._value(parts))
        self._explain(stable_hash(parts, library_name))

    def _visit_parts(self, value: Any) -> None:
        """Data that contains itself: each of its containers by itself."""
        self.watch.give_up()
        self._facts.append(library_name(type(value)))
        for step, item in children_of(value):
            has_parts = is_hashable_type(type(item)) and bool(list(children_of(item)))
            known = self._number(item, self._visit_parts) if has_parts else self._value(item)
            self._facts.append([step, known])

    def _explain(self, digest: str) -> None:
        """Note what belongs to the constant that led here, so that a change of it can be named."""
        if self._label:
            self._details.setdefault(self._label, []).append(digest)

    def _add_part(self, label: str, digest: str) -> None:
        name, number = label, 1
        while self._parts.get(name, digest) != digest:
            number += 1
            name = f"{label}#{number}"
        self._parts[name] = digest


def _is_own_module(value: Any) -> bool:
    return isinstance(value, ModuleType) and module_is_own(value.__name__)


def _is_own_part(value: Any) -> bool:
    return _is_own_module(value) or (isinstance(value, FunctionType | type) and is_own_code(value))


@dataclass(frozen=True, slots=True)
class CodeFingerprint:
    """What a piece of code does, in a digest, with the parts it is made of."""

    digest: str
    parts: Mapping[str, str] = field(default_factory=dict)
    """Hash of each function, class and constant that belongs to it, by `file:qualified.name`."""


def code_fingerprint(
    fn: Callable[..., Any], root: Path, classes: frozenset[type] = frozenset()
) -> CodeFingerprint:
    """
    The fingerprint of a function and of everything of the user's own that it uses.

    That is its syntax without comments, docstrings, formatting and annotations; its defaults and captured
    values; and the helpers, classes and constants that it reads, with what these use in turn. A library's
    code counts by its version. What a function changes itself (a list it appends to, a counter) is its state
    and does not count.

    Asking again costs microseconds while nothing has changed: what was seen is compared, not computed again.

    Args:
        fn: A function, method, partial, class or callable object; also an object that holds the function as
            `fn` or `__wrapped__`.
        root: The workspace's; parts are named relative to it.
        classes: The user's own among its arguments, whose methods it may call: see `code_identity`.
    """
    owner = (id(fn.__func__), id(fn.__self__)) if isinstance(fn, MethodType) else (id(fn), 0)
    key = (*owner, root, classes)
    with _lock:
        known = _known.get(key)
    if known is not None and known.watch.holds():
        return known.fingerprint

    walk = Walk(root)
    fingerprint = CodeFingerprint(*walk.fingerprint(fn, classes))
    with _lock:
        _known[key] = _Known(fn, fingerprint, walk.watch)
        _known.move_to_end(key)
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return fingerprint


def code_identity(root: Path) -> Noting:
    """
    A fallback for `stable_hash`: functions, classes and methods among the arguments count by their code.

    Of objects, the data alone is hashed: the code of their classes, which it takes down, belongs to the code
    of the call.

    Args:
        root: The workspace's.
    """

    def identify(value: Any) -> str | None:
        is_code = isinstance(
            value, FunctionType | BuiltinFunctionType | MethodType | type | functools.partial
        )
        return code_fingerprint(value, root).digest if is_code or _is_made_of_types(value) else None

    return Noting(identify)


def _is_made_of_types(value: Any) -> bool:
    """Whether it is such as `Literal["a", "b"]` or `list[int]`."""
    if type(value).__module__ not in ("typing", "types", "typing_extensions"):
        return False
    from latent.cache.code_objects import parts_of_type  # few arguments are types

    return parts_of_type(value) is not None


@dataclass(frozen=True, slots=True)
class _Known:
    fn: Any
    """Held, so that no other function gets the same id."""
    fingerprint: CodeFingerprint
    watch: Watch


# Few, since each holds what its function captured: functions may be defined by the thousand, in a loop.
_KEPT = 128
_known: OrderedDict[tuple[int, int, Path, frozenset[type]], _Known] = OrderedDict()
_lock = threading.Lock()

"""The walk from a function to all code and constants of the user's own that it uses."""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterator
from inspect import getattr_static
from pathlib import Path
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

from latent.cache.code_bytes import Read
from latent.cache.code_members import (
    annotations_of,
    caches_of,
    content_of,
    file_of,
    is_member,
    is_own_code,
    library_name,
    slots_of,
    state_of,
    wrapped,
)
from latent.cache.code_origin import describe_file, module_is_own, own_module, version_of
from latent.cache.code_plan import Plan, plan_of
from latent.cache.code_state import first_seen
from latent.cache.code_syntax import class_syntax, module_digest
from latent.cache.code_watch import MISSING, Watch, is_builtin
from latent.cache.hashing import is_hashable_type, stable_hash
from latent.errors import UnhashableError

_CODE_TYPES = (
    FunctionType, BuiltinFunctionType, MethodType, ModuleType, type, functools.partial, property, classmethod,
    staticmethod,
)  # fmt: skip


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
        self._queue: deque[Any] = deque()
        self._state: dict[int, set[str]] = {}
        self._facts: list[Any] = []
        self._parts: dict[str, str] = {}
        self._asked = 0

    def fingerprint(self, fn: Any) -> tuple[str, dict[str, str]]:
        """The digest over all that was visited, and its parts by name."""
        self._facts.append(self._identify(fn))
        while self._queue:
            value = self._queue.popleft()
            if isinstance(value, FunctionType):
                self._visit_function(value)
            elif isinstance(value, type):
                self._visit_class(value)
            else:
                self._visit_object(value)
        return stable_hash(self._facts), self._parts

    # How a value counts where it is used.

    def _value(self, value: Any, label: str = "") -> str:
        """The identity of anything that a name stands for: data by its hash, code by its number."""
        if isinstance(value, _CODE_TYPES) or value is MISSING:
            return self._identify(value)
        asked = self._asked
        try:
            known = stable_hash(value, self._identify)
        except UnhashableError:
            known = library_name(type(value))  # it contains itself, or its parts cannot be read
        is_data = asked == self._asked  # what holds code or objects is explained by their parts
        self.watch.note_data(value, known if is_data else None)
        if label and is_data:
            self._add_part(label, known)
        # The methods of a dataclass or model count as well as its fields.
        return f"{known} {self._number(type(value))}" if is_own_code(type(value)) else known

    def _identify(self, value: Any) -> str:
        """The identity of what has no hash of its own: functions, classes, modules and objects."""
        self._asked += 1
        if value is MISSING:
            return "missing"
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(value, MethodType):
            return f"method {self._identify(value.__func__)} of {self._value(value.__self__)}"
        if isinstance(value, functools.partial):
            given = f"{self._value(value.args)} {self._value(value.keywords)}"
            return f"partial {self._identify(value.func)} {given}"
        if isinstance(value, property):
            return " ".join(
                ["property", *(self._identify(f) for f in (value.fget, value.fset, value.fdel) if f)]
            )
        if isinstance(value, classmethod | staticmethod):
            return f"{type(value).__name__} {self._identify(value.__func__)}"
        if is_own_code(value if isinstance(value, FunctionType | type) else type(value)):
            return self._number(value)
        return self._library(value)

    def _number(self, value: Any) -> str:
        """The place of a function, class or object in this walk; it is visited when it is new."""
        if id(value) not in self._numbers:
            self._numbers[id(value)] = f"#{len(self._numbers)}"
            self._held.append(value)
            self._queue.append(value)
        return self._numbers[id(value)]

    def _library(self, value: Any) -> str:
        """Code that was installed: its name and version, or the user's functions that it wraps."""
        if inner := wrapped(value):
            return " ".join([type(value).__qualname__, *map(self._identify, inner)])
        name = library_name(
            value if isinstance(value, FunctionType | BuiltinFunctionType | type) else type(value)
        )
        if version := version_of(name.partition(":")[0]):
            self._parts[name] = version
        content = content_of(value)
        return f"{name}=={version}" if content is None else f"{name}=={version} {self._value(content)}"

    def _module(self, module: ModuleType) -> str:
        if not module_is_own(module.__name__):
            return f"module {module.__name__}=={version_of(module.__name__)}"
        file = getattr(module, "__file__", None)
        digest = None if file is None else module_digest(file)
        if digest is not None:
            self._add_part(describe_file(str(file), self._root), digest)
        return f"module {digest}"

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
            if plan.is_changed(read):
                used.update(self._state_of_name(fn, plan, cells, read))
                continue
            found = self._find(fn, plan, cells, read, self.watch)
            if found is None or found[0] in used:
                continue
            if self._is_state(found[1], read.chain[0], plan):
                used[found[0]] = first_seen(found[1], "", found[1])
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
        return {f"{found[0]} (at first)": first_seen(owner, found[0], found[1])}

    def _defaults(self, fn: FunctionType, label: str) -> str | None:
        if not fn.__defaults__ and not fn.__kwdefaults__:
            return None
        named = tuple(sorted((fn.__kwdefaults__ or {}).items()))
        return self._value((*(fn.__defaults__ or ()), named), f"{label}(defaults)")

    def _is_state(self, value: Any, name: str, plan: Plan) -> bool:
        """Whether a function changes parts of a value; of a user's own object only these are left out."""
        attributes = plan.changed_attributes(name)
        if not attributes or isinstance(value, _CODE_TYPES):
            return False
        if is_own_code(type(value)) and not is_hashable_type(type(value)):
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
        """Through the user's own modules to what is used of them."""
        while rest and isinstance(value, ModuleType) and module_is_own(value.__name__):
            attribute, *rest = rest
            inner = watch.look_up(vars(value), attribute)
            value = (own_module(f"{value.__name__}.{attribute}") or MISSING) if inner is MISSING else inner
            name = f"{name}.{attribute}"
        return name, value

    def _visit_class(self, cls: type) -> None:
        file = file_of(cls)
        syntax = class_syntax(cls, file)
        digest = syntax.digest if syntax is not None else stable_hash(annotations_of(cls))
        where = describe_file(file, self._root)
        label = f"{where}:{cls.__qualname__}"
        self._add_part(label, digest)
        self.watch.note_size(vars(cls))
        members = {}
        for name in sorted(vars(cls)):
            value = vars(cls)[name]
            if not is_member(cls, name, value):
                continue
            if name in state_of(cls):
                members[f"{name} (at first)"] = first_seen(cls, name, value)
            else:
                members[name] = self._value(self.watch.look_up(vars(cls), name), f"{label}.{name}")
        bases = [self._identify(base) for base in cls.__bases__ if base is not object]
        named = dict(self._class_names(cls, syntax.names if syntax is not None else frozenset(), where))
        self._facts.append([digest, bases, members, named])

    def _class_names(self, cls: type, names: frozenset[str], where: str) -> Iterator[tuple[str, str]]:
        """The helpers and constants that the statements of a class name: a field's type, a default."""
        known = getattr(sys.modules.get(cls.__module__), "__dict__", {})
        for name in sorted(names):
            if name in known and not name.startswith("__"):
                yield name, self._value(self.watch.look_up(known, name), f"{where}:{name}")

    def _visit_object(self, value: Any) -> None:
        """An object of the user's class: its class, and what it was set up with, but not what it changes."""
        cls = type(value)
        state = frozenset(self._state.get(id(value), ())).union(*map(state_of, cls.__mro__))
        label = f"{describe_file(file_of(cls), self._root)}:{cls.__qualname__}"
        attributes = getattr(value, "__dict__", {})
        self.watch.note_size(attributes)
        held = {
            name: self._value(self.watch.look_up(attributes, name), f"{label}().{name}")
            for name in sorted(attributes)
            if name not in state
        }
        for name in slots_of(cls):
            if name not in state and (item := getattr(value, name, MISSING)) is not MISSING:
                held[name] = self._value(item, f"{label}().{name}")
                self.watch.note_slot(value, name, item)
        for name in sorted(state - caches_of(cls)):  # type: ignore[arg-type]  # every class can be hashed
            held[f"{name} (at first)"] = first_seen(value, name, getattr_static(value, name, None))
        self._facts.append([self._identify(cls), held])

    def _add_part(self, label: str, digest: str) -> None:
        name, number = label, 1
        while self._parts.get(name, digest) != digest:
            number += 1
            name = f"{label}#{number}"
        self._parts[name] = digest

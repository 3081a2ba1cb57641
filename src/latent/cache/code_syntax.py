"""What a function or class says: its syntax without comments, docstrings, formatting and annotations."""

from __future__ import annotations

import ast
import dis
import linecache
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType
from typing import Any
from weakref import WeakKeyDictionary

import xxhash

from latent.cache.hashing import stable_hash

Chain = tuple[str, ...]
"""A name and the attributes that are read of it: `helpers.clean` is ("helpers", "clean")."""

_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ENCLOSED = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_VALUED = frozenset({"LOAD_CONST", "RETURN_CONST", "LOAD_SMALL_INT", "KW_NAMES"})


@dataclass(frozen=True, slots=True, order=True)
class Read:
    """A name that code reads, with the attributes read of it."""

    chain: Chain
    is_global: bool
    """False: a local or enclosed name, which has a value outside only when it is captured or imported."""


def reads(code: CodeType) -> tuple[Read, ...]:
    """Everything that a function or a function inside it reads by name, in a fixed order."""
    return tuple(sorted({read for part in _with_nested(code) for read in _reads(part)}))


def changed_names(code: CodeType) -> frozenset[Chain]:
    """Names outside the function that it assigns to."""
    stores = ("STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL", "DELETE_DEREF")
    return frozenset(
        (str(step.argval),)
        for part in _with_nested(code)
        for step in dis.get_instructions(part)
        if step.opname in stores and step.argval not in part.co_cellvars
    )


def bytecode_digest(code: CodeType) -> str:
    """
    A digest of what a function does, for functions without source; it holds for one version of Python.

    Constants count only where they are used, which leaves docstrings out.
    """
    steps: list[Any] = []
    for step in dis.get_instructions(code):
        value = step.argval
        if isinstance(value, CodeType):
            value = bytecode_digest(value)
        elif step.opname not in _VALUED:
            value = repr(value)
        steps.append((step.opname, value))
    head = (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_varnames,
    )
    return stable_hash([head, steps], repr)


def same_code(one: CodeType, other: CodeType) -> bool:
    """Whether two code objects were compiled from the same text at the same place of a file."""
    return (
        one.co_name == other.co_name
        and one.co_firstlineno == other.co_firstlineno
        and one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and one.co_freevars == other.co_freevars
        and one.co_cellvars == other.co_cellvars
        and len(one.co_consts) == len(other.co_consts)
        and all(map(_same_constant, one.co_consts, other.co_consts))
        and list(one.co_positions()) == list(other.co_positions())
    )


def _same_constant(one: Any, other: Any) -> bool:
    if isinstance(one, CodeType):
        return isinstance(other, CodeType) and same_code(one, other)
    # repr tells 1 from True and 0.0 from -0.0; frozensets have no order in it.
    return type(one) is type(other) and (
        one == other if isinstance(one, frozenset) else repr(one) == repr(other)
    )


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)


def _reads(code: CodeType) -> Iterator[Read]:
    chain: Chain = ()
    is_global = False
    for step in dis.get_instructions(code):
        if chain and step.opname in _ATTRIBUTES:
            chain = (*chain, str(step.argval))
            continue
        if chain:
            yield Read(chain, is_global)
        is_global = step.opname in _GLOBAL
        names = _loaded_names(step)
        for name in names[:-1]:
            yield Read((name,), is_global)
        chain = names[-1:]
    if chain:
        yield Read(chain, is_global)


def _loaded_names(step: dis.Instruction) -> Chain:
    if step.opname in _GLOBAL or step.opname in _ENCLOSED:
        return (str(step.argval),)
    if "LOAD_FAST" in step.opname:
        # Python 3.13 loads two locals in one step.
        return tuple(map(str, step.argval)) if isinstance(step.argval, tuple) else (str(step.argval),)
    return ()


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# Decorators are seen through the objects that they made; positions and contexts say nothing of their own.
_SKIPPED_FIELDS = frozenset(
    {"ctx", "type_comment", "kind", "decorator_list", "returns", "type_params", "type_ignores"}
)

_MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem"}
    | {"popleft", "put", "put_nowait", "remove", "reverse", "rotate", "setdefault", "sort", "update", "write"}
    | {"symmetric_difference_update", "writelines"}
)
"""Methods that change what they are called on."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """What a function or class says, and what the names in it need."""

    digest: str
    changed: frozenset[Chain]
    """Names, or names with one attribute, that it changes: its state, which is not an input of it."""
    rebound: frozenset[Chain]
    """Those of them that it lets stand for something else."""
    imports: tuple[tuple[str, int, str, str | None], ...]
    """What it imports inside: local name, level, module, and the attribute of `from ... import`."""
    names: frozenset[str]
    """Names that are read in it, for a class; a function's are read from its bytecode."""


# What is known of a function from its code alone; worked out once for each piece of code.


@dataclass(frozen=True, slots=True)
class Plan:
    """The digest of what a function says, and which names to look up for the rest."""

    digest: str
    reads: tuple[Read, ...]
    changed: frozenset[Chain]
    """Names, or names with one attribute, that it changes itself."""
    rebound: frozenset[Chain]
    """Those of them that it lets stand for something else."""
    imports: dict[str, tuple[int, str, str | None]]
    """Level, module and attribute of what it imports inside, by local name."""

    def is_changed(self, read: Read) -> bool:
        """Whether the function changes what it reads here: then that is its state."""
        return read.chain[:1] in self.changed or (len(read.chain) > 1 and read.chain[:2] in self.changed)

    def is_rebound(self, read: Read) -> bool:
        """Whether the function lets this name stand for something else."""
        return read.chain[:1] in self.rebound or read.chain[:2] in self.rebound

    def changed_attributes(self, name: str) -> set[str]:
        """Attributes that it changes of what `name` stands for."""
        return {path[1] for path in self.changed if path[0] == name and len(path) > 1}


def plan_of(code: CodeType) -> Plan:
    """The plan for a function's code."""
    known = _plans.get(id(code))
    if known is None:
        if len(_plans) >= _PLANS_KEPT:
            _plans.clear()
        # The code is held with its plan, so that no other gets the same id.
        known = _plans[id(code)] = (code, _make_plan(code))
    return known[1]


_PLANS_KEPT = 4096
_plans: dict[int, tuple[CodeType, Plan]] = {}


def _make_plan(code: CodeType) -> Plan:
    syntax = function_syntax(code)
    everything = reads(code)
    if syntax is None:
        called = {read.chain[:-1][:2] for read in everything if read.chain[-1] in _MUTATORS}
        rebound = changed_names(code)
        return Plan(bytecode_digest(code), everything, rebound | (called - {()}), rebound, {})
    imports = {name: (level, module, attribute) for name, level, module, attribute in syntax.imports}
    return Plan(syntax.digest, everything, syntax.changed, syntax.rebound, imports)


# Its source.


def function_syntax(code: CodeType) -> Syntax | None:
    """
    The syntax of the function that runs `code`; None when its source is not there or is not what runs.

    A file may have been edited after it was imported: its text is used only when it compiles to what runs.
    """
    for refresh in (False, True):
        file = _source_file(code.co_filename, refresh=refresh)
        node = None if file is None else file.function(code)
        if node is not None:
            body = node.body if isinstance(node.body, list) else [node.body]
            is_async = isinstance(node, ast.AsyncFunctionDef)
            return _syntax([ast.Constant(is_async), node.args, *_without_docstring(body)], in_class=False)
    return None


def class_syntax(cls: type, file_name: str) -> Syntax | None:
    """
    The statements of a class apart from its methods; None when its source is not there.

    What the file says when a class is first seen holds for that class: an edit reaches only a class that is
    made again.
    """
    if cls not in _classes:
        file = _source_file(file_name, refresh=True)
        node = None if file is None else file.classes.get(cls.__qualname__)
        _classes[cls] = None if node is None else _class_statements(node)
    return _classes[cls]


def _class_statements(node: ast.ClassDef) -> Syntax:
    statements = [item for item in _without_docstring(node.body) if not isinstance(item, FUNCTIONS)]
    return _syntax([*node.keywords, *statements], in_class=True)


def module_digest(file_name: str) -> str | None:
    """The digest of a whole file; None when it cannot be read."""
    file = _source_file(file_name, refresh=True)
    return None if file is None else _digest(_without_docstring(file.tree.body), in_class=False)


class _SourceFile:
    """A parsed file, and which of its functions compiles to which code."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.tree = ast.parse(text, name)
        self._codes: dict[tuple[int, str], list[CodeType]] = {}
        for code in _nested_codes(compile(text, name, "exec", dont_inherit=True)):
            self._codes.setdefault((code.co_firstlineno, code.co_name), []).append(code)
        self._functions: dict[tuple[int, str], list[Any]] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self._index(self.tree, "")

    def _index(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.ClassDef):
                self.classes[prefix + child.name] = child
                inner = f"{prefix}{child.name}."
            elif isinstance(child, FUNCTIONS):
                name = getattr(child, "name", "<lambda>")
                inner = f"{prefix}{name}.<locals>."
                first = min([child.lineno, *(item.lineno for item in getattr(child, "decorator_list", ()))])
                self._functions.setdefault((first, name), []).append(child)
            self._index(child, inner)

    def function(self, code: CodeType) -> Any:
        """The node that compiles to `code`; None when there is none, or more than one might."""
        place = (code.co_firstlineno, code.co_name)
        if not any(same_code(code, compiled) for compiled in self._codes.get(place, ())):
            return None
        nodes = self._functions.get(place, [])
        if len(nodes) > 1:
            nodes = [node for node in nodes if _covers(node, code)]
        return nodes[0] if len(nodes) == 1 else None


_classes: WeakKeyDictionary[type, Syntax | None] = WeakKeyDictionary()
_files: dict[str, _SourceFile] = {}
_files_lock = threading.Lock()


def _source_file(name: str, *, refresh: bool) -> _SourceFile | None:
    with _files_lock:
        if refresh:
            linecache.checkcache(name)
        elif name in _files:
            return _files[name]
        text = "".join(linecache.getlines(name))
        known = _files.get(name)
        if not text or (known is not None and known.text == text):
            return known if text else None
        try:
            known = _SourceFile(text, name)
        except (SyntaxError, ValueError, RecursionError):
            return None
        _files[name] = known
        return known


def _nested_codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _nested_codes(constant)


def _covers(node: Any, code: CodeType) -> bool:
    """Whether all instructions of `code` stand inside the body of `node`: tells lambdas on one line apart."""
    body = node.body if isinstance(node.body, list) else [node.body]
    start = (body[0].lineno, body[0].col_offset)
    end = (body[-1].end_lineno, body[-1].end_col_offset)
    placed = [place for place in code.co_positions() if None not in place and place[2:] != (0, 0)]
    return bool(placed) and all(start <= (p[0], p[2]) and (p[1], p[3]) <= end for p in placed)


def _syntax(nodes: list[ast.AST], *, in_class: bool) -> Syntax:
    parts = [part for node in nodes for part in ast.walk(node)]
    return Syntax(
        digest=_digest(nodes, in_class=in_class),
        changed=frozenset(path for part in parts for path in _changed_by(part)),
        rebound=frozenset(path for part in parts for path in _rebound_by(part)),
        imports=tuple(sorted(set(_imports(parts)), key=repr)),
        names=frozenset(_names_in(parts)),
    )


def _names_in(parts: list[ast.AST]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.AnnAssign):
            yield from _names_in(_quoted(part.annotation))


def _quoted(annotation: ast.AST) -> list[ast.AST]:
    """What annotations in quotes say, as in `items: list["Item"]`."""
    found: list[ast.AST] = []
    for part in ast.walk(annotation):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with suppress(SyntaxError, ValueError):  # any other text, as in Literal["..."]
                found.extend(ast.walk(ast.parse(part.value, mode="eval")))
    return found


def _digest(nodes: list[Any], *, in_class: bool) -> str:
    out: list[str] = []
    for node in nodes:
        _dump(node, out, in_class)
    return xxhash.xxh3_128_hexdigest("".join(out).encode("utf-8", "surrogatepass"))


def _dump(node: Any, out: list[str], in_class: bool) -> None:
    """
    A canonical text of a node: empty fields are left out, so that versions of Python which add some agree.

    Annotations count only where they are fields, in the body of a class.
    """
    if isinstance(node, ast.AnnAssign) and not in_class:
        if node.value is None:
            return
        node = ast.Assign(targets=[node.target], value=node.value)
    out.append(f"({type(node).__name__}")
    inner = isinstance(node, ast.ClassDef)
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED_FIELDS or (name == "annotation" and not isinstance(node, ast.AnnAssign)):
            continue
        if value is None and not isinstance(node, ast.Constant):
            continue
        if isinstance(value, list):
            items = (
                _without_docstring(value)
                if name == "body" and isinstance(node, (*FUNCTIONS, ast.ClassDef))
                else value
            )
            if items:
                out.append(f" {name}[")
                for item in items:
                    _dump_value(item, out, inner)
                out.append("]")
        else:
            out.append(f" {name}=")
            _dump_value(value, out, inner)
    out.append(")")


def _dump_value(value: Any, out: list[str], in_class: bool) -> None:
    if isinstance(value, ast.AST):
        _dump(value, out, in_class)
    else:
        out.append(f"{type(value).__name__}:{value!r};")


def _without_docstring(body: list[Any]) -> list[Any]:
    first = body[0] if body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return body[1:]
    return body


def _changed_by(node: ast.AST) -> Iterator[Chain]:
    if isinstance(node, ast.Global | ast.Nonlocal):
        yield from ((name,) for name in node.names)
    elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        yield from _path_of(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS:
        yield from _path_of(node.func.value)


def _rebound_by(node: ast.AST) -> Iterator[Chain]:
    if isinstance(node, ast.Global | ast.Nonlocal):
        yield from ((name,) for name in node.names)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        yield from (path for path in _path_of(node) if isinstance(node.value, ast.Name))


def _path_of(node: ast.AST) -> Iterator[Chain]:
    """The name, with its first attribute, under which something is reached that changes."""
    attributes: list[str] = []
    while isinstance(node, ast.Subscript | ast.Attribute):
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        yield (node.id, *attributes[::-1])[:2]


def _imports(parts: list[ast.AST]) -> Iterator[tuple[str, int, str, str | None]]:
    for node in parts:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, 0, alias.name, None) if alias.asname else (top, 0, top, None)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield (alias.asname or alias.name, node.level, node.module or "", alias.name)

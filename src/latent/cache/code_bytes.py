"""What bytecode tells about a function: the names it reads, and, without source, what it does."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

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

"""What can be known of a function from its code alone; worked out once for each piece of code."""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType

from latent.cache.code_bytes import Chain, Read, bytecode_digest, changed_names, reads
from latent.cache.code_syntax import MUTATORS, function_syntax

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """The digest of what a function says, and which names to look up for the rest."""

    digest: str
    reads: tuple[Read, ...]
    changed: frozenset[Chain]
    """Names, or names with one attribute, that it changes itself."""
    imports: dict[str, tuple[int, str, str | None]]
    """Level, module and attribute of what it imports inside, by local name."""

    def is_changed(self, read: Read) -> bool:
        """Whether the function changes what it reads here: then that is its state."""
        return read.chain[:1] in self.changed or (len(read.chain) > 1 and read.chain[:2] in self.changed)

    def changed_attributes(self, name: str) -> set[str]:
        """Attributes that it changes of what `name` stands for."""
        return {path[1] for path in self.changed if path[0] == name and len(path) > 1}


def plan_of(code: CodeType) -> Plan:
    """The plan for a function's code."""
    known = _plans.get(id(code))
    if known is None:
        if len(_plans) >= _KEPT:
            _plans.clear()
        # The code is held with its plan, so that no other gets the same id.
        known = _plans[id(code)] = (code, _make(code))
    return known[1]


_plans: dict[int, tuple[CodeType, Plan]] = {}


def _make(code: CodeType) -> Plan:
    syntax = function_syntax(code)
    everything = reads(code)
    if syntax is None:
        called = {read.chain[:-1][:2] for read in everything if read.chain[-1] in MUTATORS}
        return Plan(bytecode_digest(code), everything, changed_names(code) | (called - {()}), {})
    imports = {name: (level, module, attribute) for name, level, module, attribute in syntax.imports}
    return Plan(syntax.digest, everything, syntax.changed, imports)

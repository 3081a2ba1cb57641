"""
PyYAML, made strict: the module that knows it.

A text becomes nodes, which are completed and checked, and then plain values.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.composer import Composer
from yaml.events import ScalarEvent
from yaml.nodes import MappingNode, Node, ScalarNode

from latent.config.yaml_messages import explain
from latent.errors import ConfigError

if TYPE_CHECKING:
    from latent.config.variables import Variables

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, several times slower
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]  # two classes, one interface

MOST_ALIASED_VALUES = 100_000
"""Values that aliases may stand for beside those written down: a few lines can stand for billions."""

_TAG = "tag:yaml.org,2002:"
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TRUTH_IN_OLD_YAML = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_PLAIN = "plain"
"""Style of a scalar without quotes and tag: one whose type follows from its text."""
_DIGITS = r"[0-9](?:_?[0-9])*"


class _Loader(Composer, _SafeLoader):
    """
    Plain data only, with the plain values of YAML 1.2; PyYAML's own are those of 1.1.

    The composer is the one in Python: the one in C overflows the stack, and ends the process, on a text
    with thousands of brackets.
    """

    def __init__(self, text: str) -> None:
        _SafeLoader.__init__(self, text)
        Composer.__init__(self)

    def compose_scalar_node(self, anchor: dict[Any, Node]) -> ScalarNode:
        event = self.peek_event()
        node = super().compose_scalar_node(anchor)
        if isinstance(event, ScalarEvent) and event.implicit[0]:
            node.style = _PLAIN
        return node


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9](?:_?[0-9])*)|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    (
        "float",
        rf"[-+]?(?:(?:{_DIGITS})?\.[0-9]+|{_DIGITS}\.)(?:[eE][-+]?[0-9]+)?|[-+]?{_DIGITS}[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), _first)


def parse(text: str, label: str, variables: Variables | None, *, is_strict: bool = True) -> object:
    """
    The value of a YAML text; None when it holds only comments. See `parse_yaml` for what is not strict.

    Raises:
        ConfigError: As `load_yaml` says; the message begins with `label:line:column`.
    """
    return _Reader(text, label, variables, is_strict).value()


class _Reader:
    """One text on its way to a value."""

    def __init__(self, text: str, label: str, variables: Variables | None, is_strict: bool) -> None:
        self._label = label
        self._is_strict = is_strict
        self._variables = variables
        self._text = variables.mark(text) if variables else text
        self._written = 0
        self._open: set[int] = set()
        self._sizes: dict[int, int] = {}  # of lists and mappings, with their aliases written out

    def value(self) -> object:
        if bad := _NOT_PRINTABLE.search(self._text):
            before = self._text[: bad.start()].split("\n")
            self._fail(len(before), len(before[-1]) + 1, f"the character {bad[0]!r} is not allowed in YAML.")
        loader = _Loader(self._text)
        try:
            node = loader.get_single_node()
            return None if node is None else loader.construct_document(self._checked(node, loader))
        except yaml.MarkedYAMLError as error:
            mark, message = explain(error, self._text)
            if mark is None:
                raise ConfigError(f"{self._label}: {message}") from error
            self._fail(mark.line + 1, mark.column + 1, message, error)
        except RecursionError as error:
            raise ConfigError(f"{self._label}: nested too deeply to be read.") from error
        except ConfigError:
            raise
        except ValueError as error:  # `!!int abc`, or a number of more than 4,300 digits
            raise ConfigError(f"{self._label}: a value cannot be read: {error}.") from error
        finally:
            loader.dispose()

    def _checked(self, node: Node, loader: _Loader) -> Node:
        """`node` with its variables filled in, after a look for everything that PyYAML lets pass."""
        self._written += 1
        if isinstance(node, ScalarNode):
            filled = self._filled(node, loader)
            if isinstance(filled, ScalarNode) and filled.style == _PLAIN:
                self._refuse_ambiguous(filled, from_variable=filled is not node)
            if not self._is_strict and filled.tag not in _Loader.yaml_constructors:
                filled.tag = f"{_TAG}str"
            return filled
        if id(node) in self._open:
            self._fail_at(node, "this value contains itself: write out what is meant.")
        if id(node) in self._sizes:
            return node  # an alias of something seen before
        self._open.add(id(node))
        if isinstance(node, MappingNode):
            node.value = [(self._key(key, loader), self._checked(value, loader)) for key, value in node.value]
            if self._is_strict:
                self._refuse_duplicates(node)
            children = [value for _, value in node.value]
        else:
            node.value = children = [self._checked(child, loader) for child in node.value]
        self._open.remove(id(node))
        size = self._sizes[id(node)] = 1 + sum(self._sizes.get(id(child), 1) for child in children)
        if size > self._written + MOST_ALIASED_VALUES:
            self._fail_at(node, f"aliases make this stand for {size:,} values: write out what is meant.")
        return node

    def _key(self, node: Node, loader: _Loader) -> Node:
        # `on:` and `no:` are names to everyone who reads them as keys, so only values can be ambiguous.
        return self._filled(node, loader) if isinstance(node, ScalarNode) else self._checked(node, loader)

    def _filled(self, node: ScalarNode, loader: _Loader) -> Node:
        """A scalar with values in place of its variables, and the type that a plain text then has."""
        if self._variables is None:
            return node
        try:
            value = self._variables.fill(node.value)
        except LookupError as error:
            self._fail_at(node, error.args[0])
        if value == node.value:
            return node
        if node.style != _PLAIN:
            return ScalarNode(node.tag, value, node.start_mark, node.end_mark, node.style)
        if value.startswith(("[", "{")) and (structure := self._structure(value)) is not None:
            return structure
        tag = loader.resolve(ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]  # PyYAML's stubs
        return ScalarNode(tag, value, node.start_mark, node.end_mark, _PLAIN)

    def _structure(self, value: str) -> Node | None:
        """What a variable such as `["a", "b"]` stands for; None when it only looks like a list or mapping."""
        inner = _Loader(value)
        try:
            node = inner.get_single_node()
            return None if node is None else self._checked(node, inner)
        except yaml.YAMLError:
            return None
        finally:
            inner.dispose()

    def _refuse_ambiguous(self, node: ScalarNode, *, from_variable: bool) -> None:
        value = node.value
        if not self._is_strict:
            return
        if _TRUTH_IN_OLD_YAML.fullmatch(value):
            truth = "true" if value.lower() in ("yes", "on") else "false"
            message = f'{value} may mean {truth} or the text "{value}": write {truth} or "{value}".'
        elif _LEADING_ZERO.fullmatch(value):
            message = f'{value} may mean a text, a decimal or an octal number: write "{value}" or the number.'
        elif node.tag == f"{_TAG}float" and value[-1].isdigit() and math.isinf(float(value.replace("_", ""))):
            message = f'{value} is too large for a number: write "{value}" if it is a text.'
        else:
            return
        if from_variable:  # its value may be a secret
            message = "the variable's value may be a text or something else: put it in quotes for the text."
        self._fail_at(node, message)

    def _refuse_duplicates(self, node: MappingNode) -> None:
        seen: dict[tuple[str, str], Node] = {}
        for key, _ in node.value:
            if (
                isinstance(key, ScalarNode)
                and (first := seen.setdefault((key.tag, key.value), key)) is not key
            ):
                line = first.start_mark.line + 1
                self._fail_at(
                    key, f"the key {key.value!r} stands on line {line} already: remove one of them."
                )

    def _fail_at(self, node: Node, message: str) -> NoReturn:
        self._fail(node.start_mark.line + 1, node.start_mark.column + 1, message)

    def _fail(self, line: int, column: int, message: str, cause: Exception | None = None) -> NoReturn:
        if self._variables:
            before = self._text.split("\n")[line - 1][: column - 1]
            column = len(self._variables.restored(before)) + 1
            message = self._variables.restored(message)
        raise ConfigError(f"{self._label}:{line}:{column}: {message}") from cause

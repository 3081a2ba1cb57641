"""
YAML files: safe, strict about what is ambiguous, with environment variables filled in.

The only module that knows PyYAML: a text becomes nodes, which are completed and checked, and then
plain values.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.composer import Composer
from yaml.events import ScalarEvent
from yaml.nodes import MappingNode, Node, ScalarNode

from latent.config.text_files import read_text
from latent.config.variables import Variables
from latent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from yaml import Mark, MarkedYAMLError

_OPENED = re.compile(r"while parsing a flow (sequence|mapping)|while scanning a (quoted) scalar")
_BRACKETS = {"sequence": "[", "mapping": "{", "quoted": "quote"}
_HINTS = {
    "mapping values are not allowed": "a second `: ` on this line: put a text that holds one in quotes.",
    "did not find expected key": "this fits no level above: check the indentation, brackets and quotes.",
    "did not find expected '-'": "a list ends here without its level ending: check the indentation.",
    "unknown escape character": "a backslash means nothing here: double it, or use single quotes.",
    "found unhashable key": "a list or mapping cannot be a key.",
    "but found another document": "a second document begins here: one file holds one mapping.",
    "expected <document start>": "a second value begins here: one file holds one mapping.",
    "found a tab character": "a tab: YAML is indented with blanks.",
}


def explain(error: MarkedYAMLError, text: str) -> tuple[Mark | None, str]:
    """
    Where a user should look, and what to tell them.

    Args:
        error: What PyYAML raised.
        text: The text it was reading.
    """
    problem, context = error.problem or "", error.context or ""
    mark = error.problem_mark or error.context_mark
    if opened := _OPENED.search(context):
        unclosed = "did not find expected ','" in problem or "unexpected end of stream" in problem
        if unclosed and error.context_mark:
            what = _BRACKETS[opened[1] or opened[2]]
            return error.context_mark, f"the {what} opened here is not closed, or not where it should be."
    if tag := re.search(r"constructor for the tag '(?:tag:yaml\.org,2002:)?(.*)'", problem):
        return mark, f"the tag {tag[1]} is not allowed: only plain data is read. Remove the tag."
    if alias := re.search(r"undefined alias '(.*)'", problem):
        return mark, f"*{alias[1]} refers to nothing: define &{alias[1]} before, or put the text in quotes."
    if "could not find expected ':'" in problem:
        return error.context_mark, "a key without a `:` after it."
    for known, message in _HINTS.items():
        if known in problem:
            return mark, message
    first = _character_at(text, error.context_mark or mark)
    if first == "\t":
        return mark, "a tab: YAML is indented with blanks."
    if first and first in "@`%*&!|>":
        return error.context_mark or mark, f"a plain text cannot begin with {first}: put it in quotes."
    return mark, f"not valid YAML: {problem}."


def _character_at(text: str, mark: Mark | None) -> str:
    lines = text.split("\n")
    if mark is None or mark.line >= len(lines):
        return ""
    return lines[mark.line][mark.column : mark.column + 1]


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
            message = f'{value} is too large for a number: write "{value}" if it is a string.'
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


@dataclass(frozen=True)
class Document:
    """What a YAML file says, and which environment variables had a part in it."""

    values: dict[str, Any]
    variables: dict[str, str | None] = field(default_factory=dict)


def load_yaml(
    path: Path,
    label: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    keeps_kedro: bool = False,
) -> dict[str, Any]:
    """
    The mapping that a YAML file holds; empty when the file is absent or empty.

    Plain values are read by the rules of YAML 1.2, whose numbers, `true`, `false` and `null` are no
    surprise; `no`, `off` and `017`, which other readers turn into something else, are errors. Dates are
    text. `${VAR}` and `${VAR:default}` stand for environment variables; an empty variable takes the
    default, and `$${VAR}` is plain text.

    Args:
        path: The file.
        label: How messages name it; the path when not given.
        environ: The environment variables; those of the process when not given.
        keeps_kedro: Whether Kedro's `${_name}` and `${globals:name}`, and `$${text}`, are left to the caller.

    Raises:
        ConfigError: Not text, not YAML, not a mapping, a key twice, an unset variable without default, an
            unsafe tag, aliases that grow or refer to themselves; with line, column and what to do.
    """
    return load_document(path, label, environ, keeps_kedro=keeps_kedro).values


def load_document(
    path: Path,
    label: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    keeps_kedro: bool = False,
) -> Document:
    """Like `load_yaml`, with the environment variables that the file refers to."""
    label = label or str(path)
    try:
        text = read_text(path, label)
    except (FileNotFoundError, NotADirectoryError):
        return Document({})
    variables = Variables(os.environ if environ is None else environ, keeps_kedro=keeps_kedro)
    values = _parse(text, label, variables)
    if values is None:
        return Document({}, variables.used)
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a single value"
        raise ConfigError(f"{label}:1:1: holds {kind}: it must be a mapping of the form `key: value`.")
    return Document(values, variables.used)


def parse_yaml(text: str, label: str, *, is_strict: bool = True) -> Any:
    """
    The value that `text` stands for by the same rules, but without variables.

    Args:
        is_strict: Whether what is ambiguous is an error. Else, `no` and `017` are texts, of a key that
            stands there twice the last one counts, and a value with a tag that is not plain data is a text.

    Raises:
        ConfigError: It is not YAML, or ambiguous.
    """
    return _parse(text, label, None, is_strict=is_strict)


def _parse(text: str, label: str, variables: Variables | None, *, is_strict: bool = True) -> Any:
    if not text.strip():
        return None

    return parse(text, label, variables, is_strict=is_strict)

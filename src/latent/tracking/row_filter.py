"""
Conditions on rows, written as a small part of Python: `attempts > 1 and '429' in error`.

Nothing is executed: Python's own parser reads the text, and each part that is known here becomes a function
of a row. Everything else is refused by name.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors import ExpressionError
from latent.errors.text import did_you_mean
from latent.tracking.arrow import column_of

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

Row = Mapping[str, Any]
_Part = Callable[[Row], Any]


@dataclass(frozen=True)
class Where:
    """A condition on rows; `parse_where` makes it."""

    text: str
    names: frozenset[str]
    """The columns that it asks for."""
    _test: _Part

    def matches(self, row: Row) -> bool:
        """
        Whether the condition holds for a row, given as its values by name.

        Raises:
            ExpressionError: The row has no value of a name, or two values cannot be compared.
        """
        if not self.names <= row.keys():
            self.check(row)
        return bool(self._test(row))

    def filter(self, table: pa.Table) -> pa.Table:
        """
        The rows of an Arrow table for which the condition holds.

        Raises:
            ExpressionError: As `matches`.
        """
        self.check(table.column_names)
        # Only what is asked for becomes Python values: a table may have a million rows.
        names = sorted(self.names)
        columns = [table.column(name).to_pylist() for name in names]
        rows = zip(*columns, strict=True) if names else iter([()] * len(table))
        mask = [self.matches(dict(zip(names, values, strict=True))) for values in rows]
        return table.filter(column_of(mask, "bool"))

    def check(self, known: Iterable[str]) -> None:
        """
        See that there is a column of each name.

        Raises:
            ExpressionError: There is none; with the nearest one.
        """
        columns = list(known)
        for name in sorted(self.names.difference(columns)):
            hint = did_you_mean(name, columns, f"known here: {', '.join(columns)}.")
            quote = f" Text stands in quotes: '{name}'." if "did you mean" not in hint else ""
            raise ExpressionError(self.text, f"there is no {name!r}, {hint}{quote}")


def parse_where(text: str) -> Where:
    """
    The condition that `text` says.

    Names of columns, numbers, text in quotes, None; `==`, `<` and their kin, also chained; `in`, `not in`,
    `is None`; `and`, `or`, `not`; `+ - * / // %` on numbers; lists; `column['key']`; and the functions of
    `FUNCTIONS`. What is not known (None) is neither less nor more than anything and contains nothing.

    Raises:
        ExpressionError: It says something else, or cannot be read.
    """
    stripped = text.strip()
    if not stripped:
        raise ExpressionError(text, "it is empty; an example is `attempts > 1`")
    try:
        tree = ast.parse(stripped, mode="eval")
        test = _Reader(stripped).part(tree.body)
    except SyntaxError as error:
        at = f" at character {error.offset}" if error.offset else ""
        raise ExpressionError(text, f"{error.msg}{at}{_hint(stripped)}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(text, "it is nested too deeply or holds what is not text") from error
    calls = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in calls}
    return Where(stripped, frozenset(names), test)


def _contains(text: Any, part: Any) -> bool:
    """Whether a text holds another, in whatever case; or a list an item."""
    if isinstance(text, str) and isinstance(part, str):
        return part.lower() in text.lower()
    return text is not None and part in text


def _length(value: Any) -> int | None:
    return None if value is None else len(value)


def _lower(value: Any) -> Any:
    return None if value is None else str(value).lower()


def _starts_with(text: Any, beginning: Any) -> bool:
    return text is not None and str(text).startswith(str(beginning))


FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "contains": (2, _contains),
    "len": (1, _length),
    "lower": (1, _lower),
    "startswith": (2, _starts_with),
}
"""What a condition may call, with the number of its arguments."""

_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALITIES: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_MEMBERSHIPS: dict[type[ast.cmpop], bool] = {ast.In: True, ast.NotIn: False}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


class _Reader:
    """Turns the parts of one expression into functions of a row."""

    def __init__(self, text: str) -> None:
        self.text = text

    def part(self, node: ast.expr) -> _Part:
        """The function that gives the value of `node`."""
        match node:
            case ast.Constant(value=str() | int() | float() | None as value):
                return lambda _: value
            case ast.Name(id=name):
                return lambda row: row[name]
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                parts = [self.part(item) for item in items]
                return lambda row: [part(row) for part in parts]
            case ast.BoolOp(op=op, values=values):
                parts = [self.part(value) for value in values]
                combine = all if isinstance(op, ast.And) else any
                return lambda row: combine(part(row) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.part(operand)
                return lambda row: not inner(row)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                return self.arithmetic(
                    ast.Constant(0), ast.Sub() if isinstance(sign, ast.USub) else ast.Add(), operand
                )
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self.arithmetic(left, op, right)
            case ast.Compare():
                return self.comparison(node)
            case ast.Subscript(value=value, slice=ast.Constant(value=str() | int() as key)):
                return self.item(self.part(value), key)
            case ast.Subscript(value=value, slice=ast.UnaryOp(ast.USub(), ast.Constant(value=int() as key))):
                return self.item(self.part(value), -key)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self.call(name, arguments)
        raise ExpressionError(self.text, f"`{ast.unparse(node)}` is more than a condition on rows may say")

    def arithmetic(self, left: ast.expr, op: ast.operator, right: ast.expr) -> _Part:
        first, second, compute = self.part(left), self.part(right), _ARITHMETIC[type(op)]

        def value(row: Row) -> Any:
            a, b = first(row), second(row)
            if a is None or b is None:
                return None
            if not isinstance(a, int | float) or not isinstance(b, int | float):
                raise ExpressionError(self.text, f"{_kind(a)} and {_kind(b)} cannot be calculated with")
            try:
                return compute(a, b)
            except (ZeroDivisionError, OverflowError):
                return None

        return value

    def comparison(self, node: ast.Compare) -> _Part:
        parts = [self.part(each) for each in (node.left, *node.comparators)]
        tests = [self.test(op) for op in node.ops]

        def value(row: Row) -> bool:
            values = [part(row) for part in parts]
            return all(test(a, b) for test, a, b in zip(tests, values[:-1], values[1:], strict=True))

        return value

    def test(self, op: ast.cmpop) -> Callable[[Any, Any], bool]:
        if (equality := _EQUALITIES.get(type(op))) is not None:
            return equality
        if (wanted := _MEMBERSHIPS.get(type(op))) is not None:
            return lambda a, b: self.is_in(a, b) is wanted
        order = _ORDERS[type(op)]

        def test(a: Any, b: Any) -> bool:
            if a is None or b is None:
                return False
            try:
                return bool(order(a, b))
            except TypeError as error:
                reason = f"{_kind(a)} ({a!r:.40}) and {_kind(b)} ({b!r:.40}) have no order"
                raise ExpressionError(self.text, reason) from error

        return test

    def is_in(self, value: Any, container: Any) -> bool:
        if container is None or (value is None and isinstance(container, str)):
            return False
        try:
            return value in container
        except TypeError as error:
            reason = f"{_kind(value)} cannot be looked for in {_kind(container)}"
            raise ExpressionError(self.text, reason) from error

    def item(self, holder: _Part, key: str | int) -> _Part:
        def value(row: Row) -> Any:
            try:
                return holder(row)[key]
            except (LookupError, TypeError):
                return None  # not every row needs to have it

        return value

    def call(self, name: str, arguments: list[ast.expr]) -> _Part:
        if name not in FUNCTIONS:
            hint = did_you_mean(name, FUNCTIONS, f"known here: {', '.join(FUNCTIONS)}.")
            raise ExpressionError(self.text, f"there is no function {name!r}, {hint}")
        count, function = FUNCTIONS[name]
        if len(arguments) != count:
            raise ExpressionError(self.text, f"{name} takes {count} arguments, not {len(arguments)}")
        parts = [self.part(argument) for argument in arguments]

        def value(row: Row) -> Any:
            values = [part(row) for part in parts]
            try:
                return function(*values)
            except TypeError as error:
                kinds = " and ".join(map(_kind, values))
                raise ExpressionError(self.text, f"{name} cannot be asked of {kinds}") from error

        return value


def _kind(value: Any) -> str:
    """What a value is, in the user's words."""
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else f"a {type(value).__name__}"


def _hint(text: str) -> str:
    """The most likely slip."""
    if "=" in text.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", ""):
        return "; equality is written `==`"
    return "; `and` and `or` are words here" if "&&" in text or "||" in text else ""

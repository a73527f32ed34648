"""Expressions over variable names, such as ``filters * conv_layers <= 128``: conditions and constraints.

They are checked against a short list of syntax when they are parsed, and evaluated here, never by `eval`.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_app.errors import InputError

MAX_LENGTH = 500
MAX_DEPTH = 100
MAX_EXPONENT = 100
MAX_BASE = 1_000_000

ALLOWED = "numbers, strings, true/false, variable names, + - * / // % **, comparisons, and/or/not, `in` (a, b)"
_SYNTAX: tuple[type[ast.AST], ...] = (
    *(ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.List),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(ast.UnaryOp, ast.USub, ast.UAdd, ast.Not, ast.BoolOp, ast.And, ast.Or),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
)


@dataclass(frozen=True)
class Expression:
    """A parsed expression; two are equal if their texts are. Create one with `Expression.parse`.

    Attributes:
        text: as written, without surrounding spaces.
        names: every variable name it reads.
    """

    text: str
    names: frozenset[str] = field(compare=False, repr=False)
    _tree: ast.expr = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parse `text`.

        Raises:
            InputError: it is empty or too long, not an expression, uses forbidden syntax, or reads no variable.
        """
        text = text.strip()
        if not text or len(text) > MAX_LENGTH:
            raise InputError(f"an expression must have 1 to {MAX_LENGTH} characters, but got {len(text)}")
        try:
            tree = _with_dotted_names(ast.parse(text, mode="eval"))
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise InputError(f"an expression must be well-formed, but got {text!r} ({reason})", hint=_HINT) from None
        for node in ast.walk(tree):
            if not isinstance(node, _SYNTAX) or not _is_plain_constant(node):
                found = ast.unparse(node) or type(node).__name__.lower()
                raise InputError(f"an expression may only contain {ALLOWED}, but got `{found}` in {text!r}", hint=_HINT)
        names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        if not names:
            raise InputError(f"an expression must use at least one variable, but got {text!r}", hint=_HINT)
        return cls(text, names, tree)

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Evaluate with `values` for the names.

        Raises:
            InputError: it cannot be evaluated for these values (such as division by zero, or a string instead of a
                number); `where` is the expression's text, for a caller that knows its file and line to replace.
        """
        try:
            return _evaluate(self._tree, values, MAX_DEPTH)
        except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
            read = self.show_values(values)
            reason = str(error) or type(error).__name__
            raise InputError(
                f"an expression must work for every configuration, but {self.text!r} fails with {read}: {reason}",
                where=self.text,
            ) from None

    def compared_texts(self) -> list[tuple[str, str]]:
        """Each name with each string that it is compared to, as in ``optimizer == 'sgd'``."""
        found = []
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Compare):
                sides = [side for part in (node.left, *node.comparators) for side in getattr(part, "elts", [part])]
                names = [side.id for side in sides if isinstance(side, ast.Name)]
                texts = [side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)]
                found += [(name, text) for name in names for text in texts]
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return Expression.parse, (self.text,)

    def show_values(self, values: Mapping[str, Any]) -> str:
        """The values of the names it reads: ``conv_layers = 3, filters = 64``."""
        return ", ".join(f"{name} = {values.get(name, 'missing')!r}" for name in sorted(self.names))


def _with_dotted_names(expression: ast.Expression) -> ast.expr:
    """The expression with a single name in place of a dotted one, ``model.width``."""
    for node in ast.walk(expression):
        for field_name, found in ast.iter_fields(node):
            if isinstance(found, list):
                setattr(node, field_name, [_dotted_name(one) for one in found])
            else:
                setattr(node, field_name, _dotted_name(found))
    return expression.body


def _dotted_name(found: Any) -> Any:
    parts: list[str] = []
    inner = found
    while isinstance(inner, ast.Attribute):
        parts.insert(0, inner.attr)
        inner = inner.value
    return ast.Name(".".join((inner.id, *parts)), ast.Load()) if parts and isinstance(inner, ast.Name) else found


_HINT = "write for example `filters * conv_layers <= 128` or `optimizer == 'sgd'`"


def _is_plain_constant(node: ast.AST) -> bool:
    if not isinstance(node, ast.Constant):
        return True
    if isinstance(node.value, float):
        return math.isfinite(node.value)  # 1e999 is infinite
    return isinstance(node.value, (bool, int, str))


def _arithmetic(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Restrict arithmetic to numbers: ``'%999999999d' % 1`` and ``[0] * 999999999`` would use up the memory."""

    def apply_to_numbers(left: Any, right: Any) -> Any:
        if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
            raise TypeError(f"arithmetic needs numbers, but got {left!r} and {right!r}")
        return apply(left, right)

    return apply_to_numbers


def _power(base: float, exponent: float) -> Any:
    if abs(base) > MAX_BASE or abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"a power is limited to {MAX_BASE} ** {MAX_EXPONENT}")
    return base**exponent


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _arithmetic(operator.mul),
    ast.Div: _arithmetic(operator.truediv),
    ast.FloorDiv: _arithmetic(operator.floordiv),
    ast.Mod: _arithmetic(operator.mod),
    ast.Pow: _arithmetic(_power),
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda member, group: member in group,
    ast.NotIn: lambda member, group: member not in group,
}


def _evaluate(node: Any, values: Mapping[str, Any], depth: int) -> Any:
    """The value of a checked `node`, nested at most `depth` deep."""
    kind = type(node)
    if kind is ast.Constant:
        return node.value
    if kind is ast.Name:
        if node.id not in values:
            raise ValueError(f"`{node.id}` is missing")
        return values[node.id]
    if not depth:
        raise RecursionError(f"its recursion is limited to {MAX_DEPTH}")
    depth -= 1
    if kind is ast.BinOp:
        return _OPERATORS[type(node.op)](_evaluate(node.left, values, depth), _evaluate(node.right, values, depth))
    if kind is ast.UnaryOp:
        return _OPERATORS[type(node.op)](_evaluate(node.operand, values, depth))
    if kind is ast.Compare:
        left = _evaluate(node.left, values, depth)
        for comparison, part in zip(node.ops, node.comparators, strict=True):
            right = _evaluate(part, values, depth)
            if not _OPERATORS[type(comparison)](left, right):
                return False
            left = right
        return True
    if kind is ast.BoolOp:
        decides = type(node.op) is ast.Or
        for part in node.values:
            value = _evaluate(part, values, depth)
            if bool(value) is decides:
                break
        return value
    assert kind in (ast.Tuple, ast.List), kind
    return tuple(_evaluate(part, values, depth) for part in node.elts)

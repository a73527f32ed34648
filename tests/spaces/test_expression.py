"""Expressions: what is allowed, what they evaluate to, and their errors."""

from __future__ import annotations

import copy
import pickle
import statistics
import time

import pytest

from tune_app.errors import InputError
from tune_app.spaces.expression import Expression

VALUES = {"filters": 64, "conv_layers": 2, "optimizer": "sgd", "batch_norm": True, "rate": 0.5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filters * conv_layers <= 128", True),
        ("filters * conv_layers < 128", False),
        ("filters % 3", 1),
        ("filters // 3 + 2 ** 3 - 1", 28),
        ("filters / 128 == rate", True),
        ("optimizer == 'sgd' and not filters > 100", True),
        ("optimizer in ('adam', 'adamw') or batch_norm", True),
        ("optimizer not in ['adam', 'sgd']", False),
        ("1 <= conv_layers < 2", False),
        ("-filters", -64),
        ("+rate", 0.5),
        ("filters == 64 == conv_layers", False),
        ("(filters, 'sgd') == (64, optimizer)", True),
        ("[filters] == (64,)", True),
        ("0 or optimizer", "sgd"),
        ("batch_norm and rate and optimizer", "sgd"),
        ("batch_norm or missing", True),
        ("not batch_norm and missing", False),
    ],
)
def test_it_evaluates(text: str, expected: object) -> None:
    assert Expression.parse(text)(VALUES) == expected


def test_it_knows_its_names_and_strings() -> None:
    expression = Expression.parse(" filters > 3 and optimizer in ('sgd', 'adam') and 'x' != mode ")
    assert expression.text == "filters > 3 and optimizer in ('sgd', 'adam') and 'x' != mode"
    assert expression.names == {"filters", "optimizer", "mode"}
    assert set(expression.compared_texts()) == {("optimizer", "sgd"), ("optimizer", "adam"), ("mode", "x")}


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "filters >", "filters = 3", "a; b", "a\nb", "a\x00", "*a", "a" * 600, "1 == 1"),
        *("f(filters)", "(filters + 1).real", "filters[0]", "lambda: filters", "[x for x in filters]", "{filters}"),
        *("a if b else c", "(a := 1)", "f'{a}'", "a is b", "a is None", "a == b'x'", "a << 3", "a ^ b", "{'k': a}"),
        *("a < 1e999", "a in (1, -1e400)", "__import__('os')", "a @ b", "...", "a == 1j", "~a"),
    ],
)
def test_invalid_or_large_expressions_are_rejected(text: str) -> None:
    with pytest.raises(InputError, match="an expression"):
        Expression.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("filters / (conv_layers - 2) > 1", "division by zero"),
        ("filters % (conv_layers - 2) > 1", "modulo"),
        ("optimizer > 3", "not supported"),
        ("optimizer + 'x' == 'y'", "arithmetic needs numbers"),
        ("'%999999999d' % filters", "arithmetic needs numbers"),
        ("[filters] * 999999999 == 3", "arithmetic needs numbers"),
        ("filters ** filters ** filters > 1", "limited"),
        ("(rate + 999999.5) ** 100 > 1", "out of range|too large"),
        ("filters in 3", "iterable"),
        ("missing > 3", "missing"),
        ("-" * 490 + "filters", "recursion"),
    ],
)
def test_errors_have_clear_messages(text: str, reason: str) -> None:
    expression = Expression.parse(text)
    with pytest.raises(InputError, match=f"(?s)an expression must work.*{reason}") as caught:
        expression(VALUES)
    assert caught.value.where == expression.text


def test_the_message_has_the_expression_and_its_values() -> None:
    with pytest.raises(InputError, match=r"'optimizer > filters' fails with filters = 64, optimizer = 'sgd'"):
        Expression.parse("optimizer > filters")(VALUES)


def test_it_compares_by_value_and_can_be_copied() -> None:
    one, other = Expression.parse("filters > 3"), Expression.parse("filters > 4")
    assert one == Expression.parse("filters > 3 ")
    assert one != other
    assert len({one, other, one}) == 2
    for twin in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert twin == one
        assert twin(VALUES) is True
        assert twin.names == one.names


def test_it_is_fast() -> None:
    expression = Expression.parse("filters * conv_layers <= 128")
    times = []
    for _ in range(50):
        start = time.process_time()
        for _ in range(100):
            expression(VALUES)
        times.append((time.process_time() - start) / 100)
    assert statistics.median(times) < 20e-6

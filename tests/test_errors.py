"""Errors: what users catch, read and send across processes."""

from __future__ import annotations

import inspect
import pickle
import threading

import pytest

from latent import errors
from latent.errors import FailedRowsError, PortableError, TaskExecutionError
from latent.errors.base import Fields


class SilentError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class DemandingError(Exception):
    def __init__(self, code, *, reason):
        super().__init__(code)
        self.reason = reason


class LocalError(Exception):
    def __reduce__(self):
        raise TypeError("not for travel")


@pytest.mark.parametrize(
    "original",
    [
        ValueError("v"),
        KeyError("k"),
        OSError(2, "No such file", "a.txt"),
        UnicodeDecodeError("utf-8", b"ab", 0, 1, "bad"),
        ExceptionGroup("several", [ValueError(1)]),
        StopIteration(3),
        DemandingError(7, reason="quota"),
        SilentError(),
    ],
)
def test_task_error_is_also_what_the_task_raised(original):
    error = TaskExecutionError.of("t", original, {"row_index": None})
    assert isinstance(error, type(original))
    assert error.original_error is original
    assert "Task 't' failed." in str(error)


def test_attributes_of_the_original_are_within_reach():
    error = TaskExecutionError.of("t", OSError(2, "No such file", "a.txt"), {})
    assert (error.errno, error.filename) == (2, "a.txt")
    assert TaskExecutionError.of("t", DemandingError(7, reason="quota"), {}).reason == "quota"


def test_nested_task_errors_belong_to_what_failed_innermost():
    inner = TaskExecutionError.of("inner", ZeroDivisionError("by zero"), {})
    outer = TaskExecutionError.of("outer", inner, {})
    assert isinstance(outer, ZeroDivisionError)
    assert outer.original_error is inner


def test_what_cannot_be_pickled_is_replaced_on_the_way():
    original = LocalError("stays", threading.Lock())
    error = pickle.loads(pickle.dumps(TaskExecutionError.of("t", original, {"row_index": 3})))
    assert isinstance(error.original_error, PortableError)
    assert error.context["row_index"] == 3
    assert "stays" in str(error)


def test_what_refuses_to_be_pickled_travels_by_its_parts():
    original = LocalError("stays", 3)
    original.code = 7
    error = pickle.loads(pickle.dumps(TaskExecutionError.of("t", original, {})))
    assert type(error.original_error) is LocalError
    assert (error.original_error.args, error.original_error.code) == (("stays", 3), 7)


def test_failed_rows_are_grouped_by_cause_and_can_be_told_apart():
    rows = [
        TaskExecutionError.of("t", kind(text), {"row_index": index})
        for index, (kind, text) in enumerate([(ValueError, "a"), (ValueError, "a"), (KeyError, "b")])
    ]
    error = FailedRowsError.of("t", 10, rows)
    assert str(error).splitlines() == [
        "Task 't': 3 of 10 rows failed.",
        "  2x ValueError: a (first in row 0)",
        "  1x KeyError: 'b' (first in row 2)",
    ]
    caught = []
    try:
        raise error
    except* KeyError as group:
        caught = list(group.exceptions)
    except* ValueError:
        pass
    assert [found.context["row_index"] for found in caught] == [2]


def test_failed_rows_are_one_short_line_in_a_log():
    rows = [TaskExecutionError.of("t", ValueError("a"), {"row_index": index}) for index in range(1_000)]
    assert len(repr(FailedRowsError.of("t", 1_000, rows))) < 200


def test_rows_that_differ_by_numbers_failed_for_one_cause():
    errors = [
        TaskExecutionError.of("t", ValueError(f"try again in {n}ms"), {"row_index": n}) for n in range(9)
    ]
    text = str(FailedRowsError.of("t", 20, [*errors, ValueError("another")]))
    assert "9x ValueError: try again in 0ms (first in row 0)" in text
    assert "1x ValueError: another" in text


def errors_with_fields():
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Fields)]


def own_values(kind):
    """Strings for the fields that say what happened; a number or a tuple where an error counts or lists."""
    others = {"line": 3, "indices": (0, 4), "count": 12, "position": 7, "known": ("abc",), "gone": ("a",)}
    others |= {
        "problems": ("p",),
        "headers": {},
        "max_loss": 0.2,
        "matches": (),
        "characters": 9,
        "row_index": 1,
    }
    names = list(inspect.signature(kind.__init__).parameters)[1:]
    names = list(kind._fields) if names == ["values", "named"] else names
    return [
        3 if (kind, name) == (errors.PruneError, "known") else others.get(name, f"<{name}>") for name in names
    ]


@pytest.mark.parametrize("kind", [kind for kind in errors_with_fields() if kind is not Fields])
def test_errors_cross_process_borders_with_all_that_they_say(kind):
    error = kind(*own_values(kind))
    error.add_note("in row 3")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy), copy.args) == (str(error), vars(error), tuple(own_values(kind)))
    assert "{" not in str(error)
    assert str(error) != repr(error.args)


def test_fields_can_be_named_and_have_defaults():
    error = errors.UnreadableDocumentError(reason="it is empty", source="a.txt")
    assert (error.source, error.line, str(error)) == ("a.txt", None, "a.txt cannot be read: it is empty")


@pytest.mark.parametrize(
    ("values", "named"),
    [(("p",), {}), (("p", "r", "x"), {}), (("p", "r"), {"reason": "again"}), (("p", "r"), {"place": "here"})],
)
def test_an_error_that_is_made_of_the_wrong_fields_says_which_it_has(values, named):
    with pytest.raises(TypeError, match="GateError is made of metric, reason, not of"):
        errors.GateError(*values, **named)

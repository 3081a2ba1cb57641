"""Code fingerprints: they change exactly when what a function would do changes."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import linecache
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from latent.cache import code_fingerprint, code_identity, row_key
from latent.errors import UnhashableError

names = itertools.count()


class Project:
    """A folder of modules that can be rewritten and loaded again, as edits between two runs do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loaded: set[str] = set()

    def write(self, text: str, name: str = "flow") -> None:
        (self.root / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")

    def load(self, name: str = "flow") -> ModuleType:
        """The module as a new process would see it."""
        for known in self.loaded:
            sys.modules.pop(known, None)
        importlib.invalidate_caches()
        linecache.checkcache()
        before = set(sys.modules)
        module = importlib.import_module(name)
        self.loaded |= {name} | {
            new for new in set(sys.modules) - before if (self.root / f"{new}.py").exists()
        }
        return module

    def digest(self, text: str, of: str = "f") -> str:
        self.write(text)
        return self.fingerprint(getattr(self.load(), of))

    def fingerprint(self, fn: Any) -> str:
        return code_fingerprint(fn, self.root).digest


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    project = Project(tmp_path)
    yield project
    for name in project.loaded:
        sys.modules.pop(name, None)


BASE = """
PROMPT = "Answer: "

def helper(text):
    return text.strip()

def f(question, k=3):
    return PROMPT + helper(question) * k
"""


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("    return PROMPT", '    """Ask."""\n    # why\n\n    return PROMPT'),
        BASE.replace("PROMPT + helper(question) * k", "(PROMPT\n            + helper( question ) * k)"),
        BASE.replace("question, k=3):", "question: str, k: int = 3) -> str:"),
        BASE.replace("    return text", '    "Doc."\n    return text'),
        BASE + "\nUNUSED = 1\ndef unused(): return 2\n",
        '"""A module."""\nimport os\n' + BASE,
        BASE.replace('"Answer: "', "'Answer: '"),
        BASE.replace('PROMPT = "Answer: "', 'PROMPT: str = "Ans" "wer: "'),
    ],
)  # fmt: skip
def test_comments_docstrings_formatting_and_annotations_do_not_count(project, text):
    assert project.digest(text) == project.digest(BASE)


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("Answer: ", "Reply: "),
        BASE.replace("strip()", "lstrip()"),
        BASE.replace("k=3", "k=4"),
        BASE.replace("* k", "+ str(k)"),
        BASE.replace("PROMPT + helper(question) * k", "helper(question) * k + PROMPT"),
        BASE.replace("def f(question, k=3)", "def f(question, *, k=3)"),
    ],
)
def test_what_a_function_and_its_helpers_and_constants_say_counts(project, text):
    assert project.digest(text) != project.digest(BASE)


def test_the_parts_name_file_and_function_so_that_a_miss_can_be_explained(project):
    project.write(BASE)
    then = code_fingerprint(project.load().f, project.root).parts
    project.write(BASE.replace("strip", "rstrip").replace("Answer", "Reply"))
    now = code_fingerprint(project.load().f, project.root).parts
    assert {name for name in then if then[name] != now.get(name)} == {"flow.py:helper", "flow.py:PROMPT"}
    assert (
        then.keys() == now.keys() == {"flow.py:f", "flow.py:f(defaults)", "flow.py:helper", "flow.py:PROMPT"}
    )


def test_helpers_in_other_modules_count_however_they_are_imported(project):
    ways = {
        "import helpers": "helpers.clean(x) + helpers.SUFFIX",
        "import helpers as h": "h.clean(x) + h.SUFFIX",
        "from helpers import clean, SUFFIX": "clean(x) + SUFFIX",
        "from helpers import *": "clean(x) + SUFFIX",
    }
    for statement, use in ways.items():
        for inside in (False, True) if "*" not in statement else (False,):
            top, first = ("", f"    {statement}\n") if inside else (f"{statement}\n", "")
            flow = f"{top}def f(x):\n{first}    return {use}\n"
            digests = set()
            for clean, suffix in (("x.strip()", "a"), ("x.strip()", "b"), ("x.lower()", "a")):
                project.write(
                    f"SUFFIX = '{suffix}'\nOTHER = object()\ndef clean(x): return {clean}\n", "helpers"
                )
                digests.add(project.digest(flow))
            assert len(digests) == 3, (statement, inside)


def test_a_module_imported_inside_a_function_counts_the_same_before_and_after_it_is_loaded(project):
    project.write("LIMIT = 3\n", "late_settings")
    project.write("def f(x):\n    import late_settings\n    return late_settings.LIMIT\n")
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.f(1)
    assert project.fingerprint(flow.f) == before
    project.loaded.add("late_settings")


def test_packages_submodules_and_relative_imports_are_followed(project):
    package = project.root / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "flow.py").write_text(
        "from . import text\ndef f(x):\n    from .deep import LIMIT\n    return text.clean(x)[:LIMIT]\n"
    )
    (package / "deep.py").write_text("LIMIT = 3\n")
    digests = set()
    for body in ("x.strip()", "x.lower()"):
        (package / "text.py").write_text(f"def clean(x): return {body}\n")
        for name in [name for name in sys.modules if name.split(".")[0] == "pkg"]:
            del sys.modules[name]
        digests.add(project.fingerprint(project.load("pkg.flow").f))
    (package / "deep.py").write_text("LIMIT = 4\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "pkg"]:
        del sys.modules[name]
    digests.add(project.fingerprint(project.load("pkg.flow").f))
    assert len(digests) == 3
    for name in [name for name in sys.modules if name.split(".")[0] == "pkg"]:
        del sys.modules[name]


def test_moving_a_function_to_another_file_changes_nothing(project):
    here = project.digest(BASE)
    project.write(BASE, "moved")
    assert project.fingerprint(project.load("moved").f) == here


def test_recursion_and_functions_that_call_each_other_end(project):
    text = "def f(n): return 0 if n < 1 else g(n - 1)\ndef g(n): return f(n - 1) + 1\n"
    assert project.digest(text) == project.digest(text)
    assert project.digest(text) != project.digest(text.replace("+ 1", "+ 2"))


def test_a_deep_chain_of_helpers_is_followed_to_its_end(project):
    text = "\n".join(f"def f{n}(x): return f{n + 1}(x)" for n in range(2000)) + "\ndef f2000(x): return {}\n"
    assert project.digest(text.format(1), "f0") != project.digest(text.format(2), "f0")


# Captured values.


def test_functions_made_in_a_loop_with_other_values_have_other_fingerprints(project):
    def make(value: Any) -> Any:
        def inner(x: Any) -> Any:
            return [x, value]

        return inner

    assert project.fingerprint(make(1)) == project.fingerprint(make(1))
    values = (1, 2, "1", [1], {"a": 1}, None, len)
    assert len({project.fingerprint(make(value)) for value in values}) == len(values)

    by_default = [lambda x, n=n: x + n for n in range(3)]
    assert len({project.fingerprint(fn) for fn in by_default}) == 3


def test_captured_functions_count_by_their_code(project):
    def make(helper: Any) -> Any:
        return lambda x: helper(x)

    def one(x: int) -> int:
        return x + 1

    def same(x: int) -> int:
        return x + 1

    def two(x: int) -> int:
        return x + 2

    assert project.fingerprint(make(one)) == project.fingerprint(make(same))
    assert project.fingerprint(make(one)) != project.fingerprint(make(two))
    assert project.fingerprint(make({"a": one})) != project.fingerprint(make({"a": two}))


def test_a_captured_value_that_changes_in_place_changes_the_fingerprint(project):
    settings = {"k": 1}

    def f() -> int:
        return settings["k"]

    before = project.fingerprint(f)
    settings["k"] = 2
    changed = project.fingerprint(f)
    settings["k"] = 1
    assert project.fingerprint(f) == before != changed


def test_a_global_that_is_set_again_changes_the_fingerprint(project):
    project.write(BASE)
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.PROMPT = "Other: "
    changed = project.fingerprint(flow.f)
    flow.helper = lambda text: text
    replaced = project.fingerprint(flow.f)
    assert len({before, changed, replaced}) == 3


def test_a_function_that_gets_new_code_or_defaults_has_a_new_fingerprint(project):
    def f(x: int = 1) -> int:
        return x

    def g(x: int = 1) -> int:
        return x + 1

    before = project.fingerprint(f)
    f.__defaults__ = (2,)
    defaults = project.fingerprint(f)
    f.__code__ = g.__code__
    assert len({before, defaults, project.fingerprint(f)}) == 3


def test_two_lambdas_on_one_line_are_told_apart(project):
    one, two = (lambda x: x + 1), (lambda x: x + 2)
    assert project.fingerprint(one) != project.fingerprint(two)
    outer = lambda y: lambda x: x * y  # noqa: E731  # a lambda inside a lambda is what is tested
    assert project.fingerprint(outer) != project.fingerprint(outer(2))
    assert project.fingerprint(outer(2)) == project.fingerprint(outer(2)) != project.fingerprint(outer(3))


def test_a_name_that_is_not_defined_yet_counts_once_it_is(project):
    project.write("def f(): return later()\n")
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.later = lambda: 1
    assert project.fingerprint(flow.f) != before


# State: what a function changes itself.

STATEFUL = """
import threading
calls = []
counts = {"n": 0}
total = 0
seen = set()
lock = threading.Lock()

class Client:
    def __init__(self, model):
        self.model, self.calls, self.log = model, 0, []
    def ask(self, x):
        self.calls += 1
        self.log.append(x)
        return x

client = Client("a")

def f(x):
    global total
    with lock:
        calls.append(x)
        counts["n"] += 1
        total += 1
        seen.add(x)
        client.asked = x
    return client.ask(x)
"""


def test_what_a_function_changes_itself_is_its_state_and_does_not_count(project):
    project.write(STATEFUL)
    flow = project.load()
    before = project.fingerprint(flow.f)
    for number in range(3):
        flow.f(number)
        assert project.fingerprint(flow.f) == before
    flow.client.model = "b"
    assert project.fingerprint(flow.f) != before


def test_captured_state_does_not_count_either(project):
    calls: list[int] = []
    count = 0

    def f(x: int) -> int:
        nonlocal count
        count += 1
        calls.append(x)
        return x

    before = project.fingerprint(f)
    f(1)
    assert project.fingerprint(f) == before


def test_objects_of_libraries_count_by_their_class(project):
    events = [threading.Event(), threading.Lock(), itertools.count(), open(os.devnull)]  # noqa: SIM115, PTH123  # closed below
    with contextlib.closing(events[3]):
        for one in events:

            def f(x: Any, one: Any = one) -> Any:
                return one, x

            before = project.fingerprint(f)
            if isinstance(one, itertools.count):
                next(one)
            assert project.fingerprint(f) == before


# Decorated functions and objects that hold functions.


def test_decorators_of_the_user_are_seen_through_and_count_themselves(project):
    text = """
    import functools
    def twice(fn):
        @functools.wraps(fn)
        def wrapper(x):
            return fn(fn(x))
        return wrapper
    @twice
    def f(x): return x + 1
    """
    assert project.digest(text) == project.digest(text)
    assert (
        len(
            {
                project.digest(t)
                for t in (text, text.replace("x + 1", "x + 2"), text.replace("fn(fn(x))", "fn(x)"))
            }
        )
        == 3
    )


@pytest.mark.parametrize(
    "decorator",
    ["functools.lru_cache", "functools.cache", "contextlib.contextmanager", "functools.singledispatch"],
)
def test_decorators_of_libraries_are_seen_through(project, decorator):
    text = f"import functools, contextlib\n@{decorator}\ndef f(x):\n    yield x + 1\n"
    assert project.digest(text) == project.digest(text)
    assert project.digest(text) != project.digest(text.replace("+ 1", "+ 2"))


def test_registered_functions_of_a_single_dispatch_count(project):
    text = """
    import functools
    @functools.singledispatch
    def f(x): return x
    @f.register
    def _(x: int): return x + 1
    """
    assert project.digest(text) != project.digest(text.replace("+ 1", "+ 2"))


def test_decorator_arguments_of_a_library_do_not_count(project):
    text = "import functools\n@functools.lru_cache(maxsize={})\ndef f(x): return x + 1\n"
    assert project.digest(text.format(1)) == project.digest(text.format(2))


def test_a_library_decorator_that_names_nothing_is_seen_through_its_closure(project):
    site = project.root / "site-packages"
    site.mkdir()
    (site / "plainlib.py").write_text(
        "def deco(fn):\n    def inner(*a):\n        return fn(*a)\n    return inner\n"
    )
    sys.path.insert(0, str(site))
    try:
        text = "import plainlib\n@plainlib.deco\ndef f(x): return x + 1\n"
        assert project.digest(text) == project.digest(text)
        assert project.digest(text) != project.digest(text.replace("+ 1", "+ 2"))
    finally:
        sys.path.remove(str(site))
        sys.modules.pop("plainlib", None)


def test_tasks_that_call_tasks_are_followed_to_the_functions(project, monkeypatch):
    holder = project.root / "site-packages"
    holder.mkdir()
    (holder / "tasklib.py").write_text(
        "class Task:\n"
        "    def __init__(self, fn): self.fn = fn\n"
        "    def __call__(self, *a): return self.fn(*a)\n"
        "    def __getattr__(self, name): raise RuntimeError(f'{name} was asked for outside of a run')\n"
        "def task(fn): return Task(fn)\n"
    )
    monkeypatch.syspath_prepend(holder)
    project.loaded.add("tasklib")
    text = "from tasklib import task\n@task\ndef inner(x): return x + 1\n@task\ndef f(x): return inner(x)\n"
    same, other = project.digest(text), project.digest(text.replace("+ 1", "+ 2"))
    assert project.digest(text) == same != other


def test_proxies_are_not_asked_for_anything(project):
    """`params` and its like count every attribute that is read, or fail outside of a run."""
    from latent.prefect.parameters import params

    def f() -> Any:
        return params.model_name

    assert project.fingerprint(f) == project.fingerprint(f)


# Partials, methods, classes, callables.


def test_partials_methods_and_callables(project):
    text = """
    import functools
    class Scorer:
        weight = 2
        def __init__(self, k): self.k = k
        def __call__(self, x): return self.score(x) * self.weight
        def score(self, x): return x + self.k
        @classmethod
        def make(cls, x): return cls(x)
        @staticmethod
        def plain(x): return x
        @property
        def double(self): return 2 * self.k
    def add(a, b): return a + b
    """
    project.write(text)
    flow = project.load()
    scorer = flow.Scorer
    fns = [functools.partial(flow.add, 1), functools.partial(flow.add, 2), functools.partial(flow.add, b=1)]
    fns += [
        scorer(1),
        scorer(2),
        scorer(1).score,
        scorer(2).score,
        scorer.make,
        scorer.plain,
        scorer,
        flow.add,
    ]
    digests = [project.fingerprint(fn) for fn in fns]
    assert len(set(digests)) == len(fns)
    assert project.fingerprint(scorer(1).score) == digests[5]
    assert project.fingerprint(functools.partial(flow.add, 1)) == digests[0]
    project.write(text.replace("return x + self.k", "return x - self.k"))
    other = project.load()
    assert project.fingerprint(other.Scorer(1)) != digests[3]
    assert project.fingerprint(other.add) == digests[-1]
    project.write(text.replace("weight = 2", "weight = 3"))
    assert project.fingerprint(project.load().Scorer(1)) != digests[3]


def test_base_classes_and_class_attributes_count(project):
    text = """
    class Base:
        def go(self): return 1
    class Mine(Base):
        limit = 3
    def f(): return Mine().go()
    """
    changes = [text, text.replace("return 1", "return 2"), text.replace("limit = 3", "limit = 4")]
    assert len({project.digest(change) for change in changes}) == 3


def test_fields_of_models_and_dataclasses_count_with_their_types(project):
    text = """
    from dataclasses import dataclass, field
    from pydantic import BaseModel, Field
    def default(): return 1
    class Inner(BaseModel):
        n: int = 0
    class Answer(BaseModel):
        score: int = Field(ge=1)
        inner: Inner = Inner()
    @dataclass
    class Row:
        id: int
        k: int = field(default_factory=default)
    def f(x): return Answer(score=x), Row(x)
    """
    changes = [
        text,
        text.replace("ge=1", "ge=2"),
        text.replace("score: int", "score: float"),
        text.replace("n: int = 0", "n: int = 1"),
        text.replace("id: int", "id: str"),
        text.replace("return 1", "return 2"),
    ]
    digests = [project.digest(change) for change in changes]
    assert len(set(digests)) == len(changes)
    assert project.digest(text) == digests[0]


def test_methods_of_a_captured_dataclass_count(project):
    text = """
    from dataclasses import dataclass
    @dataclass
    class Config:
        k: int = 1
        def limit(self): return self.k + 1
    config = Config()
    def f(): return config.limit()
    """
    assert (
        len(
            {
                project.digest(t)
                for t in (text, text.replace("+ 1", "+ 2"), text.replace("int = 1", "int = 2"))
            }
        )
        == 3
    )


def test_a_cached_property_that_is_filled_changes_nothing(project):
    text = """
    import functools
    class Client:
        @functools.cached_property
        def session(self): return object()
        def ask(self): return self.session
    client = Client()
    def f(): return client.ask()
    """
    project.write(text)
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.f()
    assert project.fingerprint(flow.f) == before


def test_slots_and_objects_that_refer_to_themselves(project):
    text = """
    class Node:
        __slots__ = ("value", "next")
        def __init__(self, value): self.value, self.next = value, self
    node = Node(1)
    def f(): return node.value
    """
    project.write(text)
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.node = flow.Node(2)
    assert project.fingerprint(flow.f) != before


def test_async_functions_and_generators(project):
    text = "async def f(x):\n    return x + 1\n"
    assert project.digest(text) != project.digest(text.replace("async ", ""))
    assert project.digest(text) != project.digest(text.replace("+ 1", "+ 2"))


# Libraries.


def test_a_library_counts_by_name_and_version(project, monkeypatch):
    site = project.root / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    digests = []
    for version, body in (("1.0", "x"), ("1.0", "x + 1"), ("1.1", "x + 1")):
        (site / "somelib.py").write_text(f"__version__ = '{version}'\ndef work(x): return {body}\n")
        project.loaded.add("somelib")
        code_origin().version_of.cache_clear()
        digests.append(project.digest("import somelib\ndef f(x): return somelib.work(x)\n"))
    assert digests[0] == digests[1] != digests[2]


def code_origin() -> Any:
    return importlib.import_module("latent.cache.code_origin")


def test_the_standard_library_and_builtins_count_by_name(project):
    text = "import json\ndef f(x): return json.dumps(sorted(x))\n"
    assert project.digest(text) != project.digest(text.replace("dumps", "loads"))
    assert project.fingerprint(len) != project.fingerprint(max)


def test_functions_and_classes_among_arguments_count_by_their_code(project):
    def exact(row: Any) -> bool:
        return bool(row)

    def same(row: Any) -> bool:
        return bool(row)

    def other(row: Any) -> bool:
        return not row

    identify = code_identity(project.root)
    one = row_key("score", {"scorers": [exact, len]}, identify)
    assert one == row_key("score", {"scorers": [same, len]}, identify)
    assert one != row_key("score", {"scorers": [other, len]}, identify)
    assert row_key("ask", {"schema": Project}, identify) == row_key("ask", {"schema": Project}, identify)
    with pytest.raises(UnhashableError):
        row_key("score", {"client": object()}, identify)


def test_types_among_arguments_count_by_what_they_are_made_of(project):
    identify = code_identity(project.root)
    kinds = [Literal["a"], Literal["b"], list[int], list[str], int | str, int | None, list[Project]]
    keys = [row_key("ask", {"kind": kind}, identify) for kind in kinds]
    assert len(set(keys)) == len(kinds)
    assert keys[0] == row_key("ask", {"kind": Literal["a"]}, identify)


# Source that is missing, changed or unusual.


def test_functions_without_source_count_by_their_bytecode(project):
    def make(text: str, **names: Any) -> Any:
        exec(text, names)
        return names["f"]

    base = make("def f(x):\n    'Doc.'\n    return x + K\n", K=1)
    assert project.fingerprint(base) == project.fingerprint(
        make("def f(x):\n    # why\n    return x + K\n", K=1)
    )
    others = [
        make("def f(x):\n    return x + K\n", K=2),
        make("def f(x):\n    return x - K\n", K=1),
        make("def f(x):\n    return x + J\n", J=1),
        make("def f(x):\n    return x + 1\n"),
        make("def f(x):\n    return x + 1.0\n"),
        make("def f(x):\n    return x + True\n"),
        make("def f(x):\n    return (lambda: x + 1)()\n"),
        make("def f(x):\n    return (lambda: x + 2)()\n"),
    ]
    assert len({project.fingerprint(fn) for fn in [base, *others]}) == len(others) + 1


def test_state_is_recognised_without_source_too(project):
    names: dict[str, Any] = {"calls": []}
    exec("def f(x):\n    calls.append(x)\n    return x\n", names)
    before = project.fingerprint(names["f"])
    names["f"](1)
    assert project.fingerprint(names["f"]) == before


def test_a_notebook_cell_has_source_through_linecache(project):
    def cell(text: str) -> Any:
        name = f"<ipython-input-{next(names)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, name, "exec"), space)
        return space["f"]

    one = project.fingerprint(cell("def f(x):\n    return x + 1\n"))
    assert one == project.fingerprint(
        cell("# again\n\ndef f(x):\n    '''Doc.'''\n    return x + 1  # same\n")
    )
    assert one != project.fingerprint(cell("def f(x):\n    return x + 2\n"))


def test_a_file_that_was_edited_after_it_was_imported_does_not_speak_for_the_code_that_runs(project):
    project.write("def f(x):\n    return x + 1\n")
    running = project.load().f
    project.write("def f(x):\n    return x + 2\n")
    linecache.checkcache()
    stale = project.fingerprint(running)
    fresh = project.fingerprint(project.load().f)
    assert stale != fresh
    assert running(1) == 2


def test_the_same_code_has_the_same_fingerprint_in_every_process(project):
    project.write(
        BASE
        + "class Model:\n    names = {'a', 'b', 'c'}\n    def go(self): return self.names\n"
        + "def g(x, y={1: 'a'}):\n    return f(x), Model().go(), len(x), h(x)\n"
        + "def h(x):\n    import json\n    return json.dumps(x)\n"
    )
    program = (
        "import pathlib, sys; from latent.cache import code_fingerprint; import flow\n"
        "print(code_fingerprint(flow.g, pathlib.Path(sys.argv[1])).digest)"
    )
    printed = set()
    for seed in ("0", "1", "99"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": f"{project.root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        done = subprocess.run(
            [sys.executable, "-c", program, str(project.root)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        printed.add(done.stdout.strip())
    assert printed == {project.fingerprint(project.load().g)}


def test_a_fingerprint_is_what_it_was_in_earlier_releases_and_on_other_pythons(project):
    """A change here makes every remembered result of every user stale: it must be meant."""
    text = """
    import json, re
    from dataclasses import dataclass
    LIMITS = {"a": (1, 2.5)}
    @dataclass
    class C:
        x: int = 1
        def go(self): return f"{self.x!r:>3} {LIMITS['a']}"
    async def g(x, *, y=2):
        with open(x) as f: return [i for i in f if (n := i) and not re.match("x", n)]
    def f(x, /, *a, **k):
        try: return C().go(), g, json.dumps(x), (lambda q: q + 1)(2)
        except (ValueError, KeyError) as e: raise RuntimeError from e
    """
    assert project.digest(text) == "39f3990568761052eb663a2411140c70"


def test_asking_again_is_cheap_and_safe_in_threads(project):
    project.write(BASE)
    fn = project.load().f
    expected = project.fingerprint(fn)
    found: list[str] = []

    def ask() -> None:
        found.extend(project.fingerprint(fn) for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {expected}
    assert code_fingerprint(fn, project.root) is code_fingerprint(fn, project.root)


def test_thousands_of_functions_defined_in_a_loop_do_not_pile_up(project):
    import gc
    import weakref

    class Big:
        pass

    kept = []
    for _ in range(1000):
        big = Big()
        kept.append(weakref.ref(big))

        def f(big: Any = big) -> Any:
            return big

        project.fingerprint(f)
    del f, big
    gc.collect()
    assert sum(ref() is not None for ref in kept) <= 128


CONSTANTS = [
    ("string.Template('A one $q')", "string.Template('A two $q')"),
    ("argparse.Namespace(a=1)", "argparse.Namespace(a=2)"),
    ("collections.ChainMap({'a': 1})", "collections.ChainMap({'a': 2})"),
    ("operator.itemgetter(0)", "operator.itemgetter(1)"),
    ("'1'.join", "'2'.join"),
    ("str.upper", "str.lower"),
    ("{'k': 1}.get", "{'k': 2}.get"),
    ("random.Random(1)", "random.Random(2)"),
    ("http.client.HTTPSConnection('one')", "http.client.HTTPSConnection('two')"),
    ("urllib.request.Request('http://one')", "urllib.request.Request('http://two')"),
    ("json.JSONEncoder(indent=1)", "json.JSONEncoder(indent=2)"),
    ("functools.partialmethod(print, 1)", "functools.partialmethod(print, 2)"),
    ("jinja2.Template('one')", "jinja2.Template('two')"),
    (
        "jinja2.Environment(loader=jinja2.DictLoader({'p': 'one'}))",
        "jinja2.Environment(loader=jinja2.DictLoader({'p': 'two'}))",
    ),
    ("httpx.Client(base_url='http://one')", "httpx.Client(base_url='http://two')"),
    ("httpx.Client(timeout=1)", "httpx.Client(timeout=2)"),
    (
        "openai.OpenAI(api_key='k', base_url='http://one')",
        "openai.OpenAI(api_key='k', base_url='http://two')",
    ),
    ("anthropic.Anthropic(api_key='k', max_retries=1)", "anthropic.Anthropic(api_key='k', max_retries=2)"),
    ("numpy.random.default_rng(1)", "numpy.random.default_rng(2)"),
    ("numpy.random.RandomState(1)", "numpy.random.RandomState(2)"),
    ("numpy.log", "numpy.exp"),
    ("linear_model.LogisticRegression(C=1.0)", "linear_model.LogisticRegression(C=2.0)"),
    (
        "preprocessing.FunctionTransformer(lambda v: v + 1)",
        "preprocessing.FunctionTransformer(lambda v: v + 2)",
    ),
    (
        "pipeline.make_pipeline(preprocessing.Binarizer(threshold=1))",
        "pipeline.make_pipeline(preprocessing.Binarizer(threshold=2))",
    ),
    ("[{'m': linear_model.Ridge(1)}]", "[{'m': linear_model.Ridge(2)}]"),
    # Types, and what is made by calls.
    ("Literal['a', 'b']", "Literal['a', 'c']"),
    ("Annotated[int, Field(ge=1)]", "Annotated[int, Field(ge=2)]"),
    ("int | str", "int | float"),
    ("Optional[list[int]]", "Optional[list[str]]"),
    ("Callable[[int], str]", "Callable[[str], str]"),
    ("dict[str, tuple[Literal[1], ...]]", "dict[str, tuple[Literal[2], ...]]"),
    ("NewType('Id', int)", "NewType('Id', str)"),
    ("TypeVar('T', bound=int)", "TypeVar('T', bound=str)"),
    ("TypeAdapter(Literal['a', 'b'])", "TypeAdapter(Literal['a', 'c'])"),
    ("TypeAdapter(Annotated[int, Field(ge=1)])", "TypeAdapter(Annotated[int, Field(ge=2)])"),
    ("create_model('M', a=(int, 1))", "create_model('M', a=(int, 2))"),
    ("create_model('M', a=(int, Field(ge=1)))", "create_model('M', a=(int, Field(ge=2)))"),
    ("create_model('M', a=(int, ...))", "create_model('M', b=(int, ...))"),
    (
        "create_model('M', __config__={'extra': 'allow'}, a=(int, 1))",
        "create_model('M', __config__={'extra': 'forbid'}, a=(int, 1))",
    ),
    ("dataclasses.make_dataclass('D', [('a', int)])", "dataclasses.make_dataclass('D', [('b', int)])"),
    (
        "dataclasses.make_dataclass('D', [('a', int, 1)])",
        "dataclasses.make_dataclass('D', [('a', int, 2)])",
    ),
    (
        "dataclasses.make_dataclass('D', [('a', int)], namespace={'f': lambda self: 1})",
        "dataclasses.make_dataclass('D', [('a', int)], namespace={'f': lambda self: 2})",
    ),
    ("collections.namedtuple('P', 'a b')", "collections.namedtuple('P', 'b a')"),
    ("enum.Enum('E', {'A': 1})", "enum.Enum('E', {'A': 2})"),
    ("TypedDict('D', {'a': int})", "TypedDict('D', {'a': str})"),
    ("type('T', (), {'a': 1})", "type('T', (), {'a': 2})"),
    # The user's own classes inside of data.
    ("[Config(1)]", "[Config(2)]"),
    ("Mine(base_url='http://one')", "Mine(base_url='http://two')"),
    ("contextvars.ContextVar('v', default=1)", "contextvars.ContextVar('v', default=2)"),
    ("iter([1])", "iter([2])"),
]
MAKES = """
import argparse, collections, contextvars, dataclasses, enum, functools, http.client, json, operator
import random, string, urllib.request
from typing import Annotated, Callable, Literal, NewType, Optional, TypedDict, TypeVar
import anthropic, httpx, jinja2, numpy, openai
from pydantic import Field, TypeAdapter, create_model
from sklearn import linear_model, pipeline, preprocessing

@dataclasses.dataclass
class Config:
    k: int
    def limit(self): return self.k + 1

class Mine(httpx.Client):
    def ask(self): return self.get("/")
"""


@pytest.mark.parametrize(("before", "after"), CONSTANTS)
@pytest.mark.parametrize("use", ["P", "{'inside': [P]}"])
def test_what_a_constant_was_made_of_counts(project, before, after, use):
    text = f"{MAKES}\nP = {before}\nQ = {use}\ndef f(x): return Q, x\n"
    same, other = project.digest(text), project.digest(text.replace(before, after))
    assert project.digest(text) == same != other


@pytest.mark.parametrize(("before", "after"), CONSTANTS)
def test_a_constant_whose_making_changed_is_named(project, before, after):
    parts = []
    for made in (before, after):
        project.write(f"{MAKES}\nP = {made}\nQ = {{'inside': P}}\ndef f(x): return Q, x\n")
        parts.append(code_fingerprint(project.load().f, project.root).parts)
    changed = {name for name in {*parts[0], *parts[1]} if parts[0].get(name) != parts[1].get(name)}
    assert any(name.startswith(("flow.py:", "<template>:")) for name in changed), changed


def test_methods_of_the_users_classes_count_inside_of_data_too(project):
    text = MAKES + "CONFIGS = {'a': [Config(1)]}\ndef f(x): return CONFIGS['a'][0].limit()\n"
    assert project.digest(text) == project.digest(text) != project.digest(text.replace("+ 1", "+ 2"))


WAYS_TO_USE = {
    "a decorator's arguments": (
        "def d(n):\n    def outer(fn):\n        return lambda x: fn(x) * n\n    return outer\n"
        "@d(ONE)\ndef f(x): return x\n"
    ),
    "a decorator of a class": (
        "def d(cls):\n    cls.go = lambda self: ONE\n    return cls\n"
        "@d\nclass A: pass\ndef f(x): return A().go()\n"
    ),
    "a partial of a method": (
        "import functools\nclass A:\n    def go(self, x): return ONE\n"
        "g = functools.partial(A().go, 1)\ndef f(): return g()\n"
    ),
    "a lambda in data": "D = (1, [{'a': lambda x: ONE}])\ndef f(x): return D[1][0]['a'](x)\n",
    "an attribute of a function": "def f(x): return f.template\nf.template = ONE\n",
    "an attribute of a helper": "def g(x): pass\ng.template = ONE\ndef f(x): return g.template\n",
    "an attribute set on a class": "class A: pass\nA.k = ONE\ndef f(x): return A.k\n",
    "a type in quotes": (
        "from typing import Literal\nfrom pydantic import BaseModel\nLabel = Literal[ONE]\n"
        "class A(BaseModel):\n    label: 'list[Label]'\ndef f(x): return A(label=x)\n"
    ),
    "a private attribute": (
        "from pydantic import BaseModel, PrivateAttr\nclass A(BaseModel):\n    _k: int = PrivateAttr(ONE)\n"
        "P = A()\ndef f(x): return P\n"
    ),
    "a validator in an alias": (
        "from typing import Annotated\nfrom pydantic import AfterValidator, BaseModel\n"
        "def check(v): return ONE\n"
        "Text = Annotated[str, AfterValidator(check)]\nclass A(BaseModel):\n"
        "    a: Text\ndef f(x): return A(a=x)\n"
    ),
    "a method of an enum": (
        "from enum import Enum\nclass A(Enum):\n    X = 1\n    def go(self): return ONE\n"
        "P = {'k': A.X}\ndef f(x): return P['k'].go()\n"
    ),
    "a nested class": (
        "class A:\n    class B:\n        def go(self): return ONE\ndef f(x): return A.B().go()\n"
    ),
    "a metaclass": (
        "class M(type):\n    def __call__(cls): return ONE\n"
        "class A(metaclass=M): pass\ndef f(x): return A()\n"
    ),
    "a descriptor": (
        "class D:\n    def __get__(self, o, t): return ONE\nclass A:\n    x = D()\ndef f(x): return A().x\n"
    ),
    "a cached property": (
        "import functools\nclass A:\n    @functools.cached_property\n    def go(self): return ONE\n"
        "P = A()\ndef f(x): return P.go\n"
    ),
    "a method that is replaced": (
        "class A:\n    def go(self): return ONE\n"
        "    def off(self): self.go = None\ndef f(x): return A().go()\n"
    ),
    "a partial method": (
        "import functools\nclass A:\n"
        "    def go(self, x): return x\n    one = functools.partialmethod(go, ONE)\n"
        "def f(x): return A().one()\n"
    ),
    "a method by type": (
        "import functools\nclass A:\n    @functools.singledispatchmethod\n    def go(self, x): return x\n"
        "    @go.register\n    def _(self, x: int): return ONE\ndef f(x): return A().go(x)\n"
    ),
    "a pattern": (
        "class P:\n    __match_args__ = ('x',)\n    x = ONE\n"
        "def f(v):\n    match v:\n        case P(y): return y\n"
    ),
    "what a defaultdict makes": (
        "import collections\nclass K:\n    k = ONE\nP = collections.defaultdict(K)\ndef f(x): return P[x].k\n"
    ),
    "a generic class": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass Box(Generic[T]):\n    k = ONE\n"
        "P = Box[int]\ndef f(x): return P().k\n"
    ),
    "an object of attrs": (
        "import attrs\n@attrs.define\nclass A:\n    k: int = 0\n    def go(self): return ONE\n"
        "P = [A()]\ndef f(x): return P[0].go()\n"
    ),
}


@pytest.mark.parametrize("text", WAYS_TO_USE.values(), ids=WAYS_TO_USE)
def test_code_counts_however_it_is_reached(project, text):
    one, two = text.replace("ONE", "1"), text.replace("ONE", "2")
    assert project.digest(one) == project.digest(one) != project.digest(two)


@pytest.mark.parametrize(
    ("flow", "helpers"),
    [
        ("import helpers as h\ng = h.clean\ndef f(x): return g(x)\n", "def clean(x): return ONE\n"),
        ("import helpers\ndef f(x): return helpers.LAZY\n", "def __getattr__(name): return ONE\n"),
        ("import helpers\ndef f(x, name): return getattr(helpers, name)(x)\n", "def clean(x): return ONE\n"),
        ("import helpers\ndef f(x, name): return getattr(helpers, name)\n", "from deeper import clean, K\n"),
    ],
)
def test_code_of_another_file_counts_however_it_is_named(project, flow, helpers):
    digests = []
    for value in ("1", "1", "2"):
        project.write(f"K = {value}\ndef clean(x): return {value}\n", "deeper")
        project.write(helpers.replace("ONE", value), "helpers")
        digests.append(project.digest(flow))
    assert digests[0] == digests[1] != digests[2]


def test_what_a_library_imports_under_the_same_name_counts(project):
    text = "from numpy import {} as g\ndef f(x): return g(x)\n"
    assert project.digest(text.format("log")) != project.digest(text.format("exp"))


def test_how_a_dataclass_compares_and_shows_itself_counts(project):
    text = (
        "from dataclasses import dataclass\n@dataclass{}\nclass D:\n    a: int\ndef f(x): return str(D(x))\n"
    )
    ways = ["", "(repr=False)", "(eq=False)", "(order=True)"]
    assert len({project.digest(text.format(way)) for way in ways}) == len(ways)
    assert project.digest(text.format("(frozen=True)")) == project.digest(text.format(""))


EVERYWHERE = {
    "a set of functions": "\n".join(f"def g{n}(x): return x + {n}" for n in range(20))
    + f"\nP = {{{', '.join(f'g{n}' for n in range(20))}}}",
    "a set of objects": "class A: pass\nP = {A(), A(), A()}",
    "clients": "import anthropic, httpx, openai\nP = httpx.Client(), openai.OpenAI(api_key='k'), "
    "anthropic.Anthropic(api_key='k')",
    "an estimator": "from sklearn.feature_extraction.text import TfidfVectorizer\n"
    "P = TfidfVectorizer().fit(['a bb', 'bb cc'])",
    "types": "from pydantic import BaseModel, TypeAdapter\nclass A(BaseModel):\n    a: int = 1\n"
    "P = TypeAdapter(A)",
    "tables of a database": "import sqlalchemy\n"
    "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n"
    "class Base(DeclarativeBase): pass\nclass T(Base):\n    __tablename__ = 't'\n"
    "    id: Mapped[int] = mapped_column(primary_key=True)\nP = T, sqlalchemy.create_engine('sqlite://')",
    "what shows and logs": "import logging\nfrom rich.console import Console\n"
    "P = Console(), logging.getLogger('a')",
}


@pytest.mark.parametrize("made", EVERYWHERE.values(), ids=EVERYWHERE)
def test_a_constant_counts_the_same_in_every_process(project, made):
    project.write(f"{made}\ndef f(x): return P, x\n")
    program = (
        "import pathlib, sys; from latent.cache import code_fingerprint; import flow\n"
        "print(code_fingerprint(flow.f, pathlib.Path(sys.argv[1])).digest)"
    )
    path = f"{project.root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    ask = [sys.executable, "-c", program, str(project.root)]
    printed = {
        subprocess.run(
            ask, env={**os.environ, "PYTHONPATH": path, "TERM": term}, capture_output=True, check=True
        ).stdout
        for term in ("dumb", "xterm")
    }
    assert len(printed) == 1


USED = [
    ("httpx.Client(base_url='http://127.0.0.1:1')", "contextlib.suppress(httpx.HTTPError)", "P.get('/')"),
    ("jinja2.Environment(loader=jinja2.DictLoader({'p': 'A'}))", "", "P.get_template('p').render()"),
    ("numpy.random.default_rng(1)", "", "P.integers(9)"),
    ("random.Random(1)", "", "P.random()"),
    ("Mock()", "", "P.ask(1)"),
    ("Mine(base_url='http://127.0.0.1:1')", "contextlib.suppress(httpx.HTTPError)", "P.get('/')"),
    ("linear_model.LogisticRegression()", "", "P.fit([[0], [1]], [0, 1])"),
]


@pytest.mark.parametrize(("made", "around", "used"), USED)
def test_an_object_of_a_library_counts_as_it_was_before_it_was_used(project, made, around, used):
    project.write(
        f"{MAKES}\nimport contextlib\nfrom unittest.mock import Mock\nP = {made}\n"
        f"def f(x):\n    with {around or 'contextlib.nullcontext()'}:\n        {used}\n"
    )
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.f(1)
    assert project.fingerprint(flow.f) == before


def test_a_setting_that_is_changed_on_an_object_of_a_library_counts(project):
    project.write(f"{MAKES}\nP = linear_model.LogisticRegression(C=1.0)\ndef f(x): return P.predict(x)\n")
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.P.set_params(C=2.0)
    changed = project.fingerprint(flow.f)
    flow.P.set_params(C=1.0)
    assert project.fingerprint(flow.f) == before != changed


@pytest.mark.parametrize("client", ["openai.OpenAI", "openai.AsyncOpenAI", "anthropic.Anthropic"])
def test_a_rotated_key_of_a_client_does_not_count(project, client):
    text = f"{MAKES}\nP = {client}(api_key='{{}}')\ndef f(x): return P, x\n"
    assert project.digest(text.replace("{}", "sk-one")) == project.digest(text.replace("{}", "sk-two"))


# Objects that lead back to themselves, or on for ever.

CYCLES = {
    "ConfigParser": "import configparser\nP = configparser.ConfigParser()\nP.read_string('[a]\\nb = 1')",
    "section": "import configparser as c\np = c.ConfigParser()\np.read_string('[a]\\nb = 1')\nP = p['a']",
    "ArgumentParser": "import argparse\nP = argparse.ArgumentParser()\nP.add_argument('--a', default=1)",
    "minidom": "from xml.dom import minidom\nP = minidom.parseString('<a><b>1</b><c/></a>')",
    "Mock": "from unittest.mock import Mock\nP = Mock(**{'ask.return_value': 1})",
    "MagicMock": "from unittest.mock import MagicMock\nP = MagicMock(side_effect=[1])",
    "list": "P = [1]\nP.append(P)",
    "dict": "P = {'a': {'b': 1}}\nP['a']['up'] = P",
    "dataclass": "import dataclasses\n@dataclasses.dataclass\nclass D:\n    a: int\n    up: list = None\n"
    "P = D(1)\nP.up = [P]",
    "own object": "class D:\n    pass\nP = D()\nP.up, P.a = P, 1",
}


@pytest.mark.parametrize("made", CYCLES.values(), ids=CYCLES)
def test_an_object_that_contains_itself_counts_with_what_it_holds(project, made):
    text = f"{made}\ndef f(x): return P, x\n"
    other = re.sub(r"(?<![\w.])1(?!\w)", "2", made)
    assert project.digest(text) == project.digest(text) != project.digest(text.replace(made, other))


def test_objects_that_make_ever_new_objects_end(project, monkeypatch):
    site = project.root / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    (site / "endless.py").write_text(
        "class Node:\n"
        "    def __init__(self, n): self.n = n\n"
        "    @property\n"
        "    def __dict__(self): return {'n': self.n, 'one': Node(self.n + 1), 'two': Node(self.n + 2)}\n"
    )
    project.loaded.add("endless")
    started = time.process_time()
    text = "import endless\nP = endless.Node(1)\ndef f(x): return P, x\n"
    assert project.digest(text) != project.digest(text.replace("Node(1)", "Node(5)"))
    assert time.process_time() - started < 20


STORES = {
    "an object with a method like a list's": (
        "class Store:\n    def __init__(self, k): self.k, self.all = k, []\n"
        "    def add(self, x):\n        self.all.append(x)\n        return [2, self.k]\n"
        "P = Store(1)\ndef f(x): return P.add(x)\n"
    ),
    "the same in another file's name": (
        "import sys\nclass Store:\n    def __init__(self, k): self.k, self.all = k, []\n"
        "    def add(self, x): self.all.append(x)\n    def get(self): return [2, self.k]\n"
        "P = Store(1)\ndef f(x):\n    P.add(x)\n    return P.get()\n"
    ),
    "an object with items": (
        "class Store:\n    def __init__(self, k): self.k, self.all = k, {}\n"
        "    def __setitem__(self, n, x): self.all[n] = [x, 2]\n"
        "P = Store(1)\ndef f(x):\n    P['a'] = x\n    return P.k\n"
    ),
    "a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass Store:\n    k: int\n    n: int = 0\n"
        "    def add(self, x):\n        self.n += x\n        return [2, self.k]\n"
        "P = Store(1)\ndef f(x): return P.add(x)\n"
    ),
    "a client": (
        "import httpx\nP = httpx.Client(base_url='http://host/1', headers={'n': '2'})\n"
        "def f(x):\n    P.headers.update({'a': 'b'})\n    P.timeout = x\n    return P.base_url\n"
    ),
}


@pytest.mark.parametrize("text", STORES.values(), ids=STORES)
def test_an_object_that_a_function_changes_counts_with_its_code_and_its_settings(project, text):
    project.write(text)
    flow = project.load()
    before = project.fingerprint(flow.f)
    flow.f(1)
    assert project.fingerprint(flow.f) == before
    setting, code = re.sub(r"([(/])1(?=[),'])", r"\g<1>7", text), re.sub(r"\b2\b", "8", text)
    assert len({before, project.digest(setting), project.digest(code)}) == 3


@pytest.mark.parametrize(
    "text",
    [
        # An attribute that a method could change, but was set by the code that made the object.
        "class K:\n"
        "    def __init__(s, m): s.m = m\n"
        "    def set(s, m): s.m = m\n"
        "    def ask(s): return s.m\n"
        "P = K('one')\n"
        "def f(x): return P.ask()\n",
        # A setting in the same mapping as a counter.
        "OPT = {'m': 'one'}\ndef f(x):\n    OPT['last'] = x\n    return OPT['m']\n",
        "OPT = {'m': 'one'}\ndef f(x):\n    OPT.setdefault('k', x)\n    return OPT['m']\n",
        # A local variable of an inner function that is called like the constant.
        "items = ['one']\n"
        "def f(x):\n"
        "    def g():\n"
        "        items = []\n"
        "        items.append(1)\n"
        "        return len(items)\n"
        "    return items[0] + str(g())\n",
    ],
)
def test_state_counts_as_it_was_at_first(project, text):
    """Settings beside a counter are settings still; the counter alone must not make results worthless."""
    assert project.digest(text) != project.digest(text.replace("'one'", "'two'"))
    assert project.digest(text) == project.digest(text)

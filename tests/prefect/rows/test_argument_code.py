"""The code that arguments bring along: methods, properties and constants of the user's own classes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import pytest
from prefect.utilities.annotations import unmapped
from pydantic import BaseModel

from latent.prefect import checkpoint, flow, task


def prompts(mark: str):
    """The same classes in two versions of a file, which differ in what their methods do."""

    @dataclass
    class AsDataclass:
        text: str

        def render(self):
            return self.text + mark

    class AsModel(BaseModel):
        text: str

        @property
        def shown(self):
            return self.text + mark

        def render(self):
            return self.shown

    class AsTuple(NamedTuple):
        text: str

        def render(self):
            return self.text + mark

    class AsEnum(Enum):
        A = "a"
        B = "b"

        def render(self):
            return self.value + mark

    class AsString(str):
        def render(self):
            return self + mark

    @dataclass
    class Inherited(AsDataclass):
        extra: int = 1

    return {
        "dataclass": AsDataclass, "model": lambda text: AsModel(text=text), "tuple": AsTuple, "enum": AsEnum,
        "string": AsString, "inherited": Inherited,
    }  # fmt: skip


@task("ask")
def ask(prompt):
    return prompt.render()


@task("ask_of_many")
def ask_of_many(prompts):
    return prompts["all"][0].render()


@task("ask_with")
def ask_with(index, prompt):
    return prompt.render()


@task("saved")
def saved(prompt):
    @checkpoint
    def step(prompt):
        return prompt.render()

    return step(prompt)


WAYS = {
    "call": lambda p: ask(p),
    "submit": lambda p: ask.submit(p).result(),
    "inside of data": lambda p: ask_of_many({"all": [p]}),
    "map": lambda p: ask.map([p]).result()[0],
    "map of many": lambda p: ask.map([p] * 8).result()[0],
    "shared by a map": lambda p: ask_with.map([1], unmapped(p)).result()[0],
    "map with plain rows": lambda p: ask.map([p, prompts("")["dataclass"]("z")]).result()[0],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("shape", prompts(""))
def test_call_is_computed_again_when_a_method_of_its_arguments_class_is_edited(batched, shape, way):
    batched()

    @flow("main")
    def main(mark):
        return way(prompts(mark)[shape]("a"))

    assert [main("?"), main("!"), main("?")] == ["a?", "a!", "a?"]


def test_checkpoint_is_computed_again_when_a_method_of_its_arguments_class_is_edited(batched, monkeypatch):
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    batched()

    @flow("main")
    def main(mark):
        return saved.with_options(refresh_cache=True)(prompts(mark)["dataclass"]("a"))

    assert [main("?"), main("!")] == ["a?", "a!"]


def test_rows_of_other_classes_stay_remembered(batched, calls):
    batched()

    @task("ask")
    def counted(prompt):
        calls.note(type(prompt).__name__)
        return prompt.upper() if isinstance(prompt, str) and type(prompt) is str else prompt.render()

    @flow("main")
    def main(mark):
        old, new = prompts("?"), prompts(mark)
        return counted.map(
            [old["tuple"]("a"), "b", new["dataclass"]("c"), *map(old["model"], "defg")]
        ).result()

    assert main("?") == main("?") == ["a?", "B", "c?", "d?", "e?", "f?", "g?"]
    assert len(calls.seen) == 7
    assert main("!")[2] == "c!"
    assert calls.seen[7:] == ["AsDataclass"]


def test_method_of_a_task_that_is_a_method_counts(batched):
    batched()

    def scorer(how):
        @dataclass
        class Scorer:
            weight: int

            def clean(self, text):
                return how(text)

            @task("score")
            def score(self, text):
                return self.clean(text) * self.weight

        return Scorer(2)

    @flow("main")
    def main(upper):
        return scorer((lambda text: text.upper()) if upper else (lambda text: text.lower())).score("aB")

    assert [main(False), main(True), main(False)] == ["abab", "ABAB", "abab"]


def test_setting_for_changed_code_holds_for_classes_of_arguments(batched):
    """Refactoring code behind expensive results does not recompute for a method of a row's class either."""
    batched(settings='[cache]\non_code_change = "reuse"\n')

    @flow("main")
    def main(mark):
        made = prompts(mark)["dataclass"]
        return [ask(made("a")), *ask.map([made(text) for text in "abcdefgh"]).result()]

    assert main("?") == main("!")


def test_class_that_counts_its_objects_does_not_make_results_worthless(batched, calls):
    batched()

    class Counted(str):
        made = 0

        def __init__(self, *_):
            Counted.made += 1

        def render(self):
            return self + "?"

    @task("ask")
    def counted(prompt):
        calls.note(prompt)
        return prompt.render()

    @flow("main")
    def main():
        return counted.map([Counted(text) for text in "ab"]).result()

    assert main() == main() == ["a?", "b?"]
    assert len(calls.seen) == 2

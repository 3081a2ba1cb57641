"""The same file under all names that Python gives it: `latent run`, `python file.py`, `python -m`."""

from __future__ import annotations

import os
import subprocess
import sys

FLOW = """
from dataclasses import dataclass
from enum import Enum
from multiprocessing import get_context
from typing import NamedTuple

from pydantic import BaseModel

from latent.prefect import flow, task

Level = Enum("Level", "LOW HIGH")

@dataclass
class Row:
    text: str
    def shout(self):
        return self.text.upper()

class Pair(NamedTuple):
    left: Row
    level: Level

class Answer(BaseModel):
    pair: Pair

@task
def make(text):
    print("COMPUTED make")
    return Answer(pair=Pair(Row(text), Level.HIGH))

@task
def read(answer):
    print("COMPUTED read")
    assert isinstance(answer, Answer) and isinstance(answer.pair, Pair) and answer.pair.level is Level.HIGH
    return answer.pair.left.shout()

@flow("x")
def x():
    answer = make("a")
    assert isinstance(answer, Answer) and isinstance(answer.pair.left, Row)
    return read(answer)

def in_child():
    print("IN CHILD", x())

if __name__ == "__main__":
    import sys
    if "child" in sys.argv:
        child = get_context("spawn").Process(target=in_child)
        child.start()
        child.join()
    else:
        print(x())
"""
WAYS = {
    "latent run": ["-m", "latent", "run", "x"],
    "python file": ["flows/x/flow.py"],
    "python -m": ["-m", "flows.x.flow"],
    "a spawned process of python file": ["flows/x/flow.py", "child"],
}


def run(folder, *words):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LATENT_", "PREFECT_"))}
    environment |= {"LATENT_TRACKING__ENABLED": "false", "PREFECT_HOME": str(folder / "prefect")}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_results_are_shared_by_all_ways_to_start_a_file_and_are_of_its_classes(make_workspace):
    workspace = make_workspace({"config/latent.toml": "", "flows/x/flow.py": FLOW})
    assert run(workspace.root, *WAYS["python -m"]).count("COMPUTED") == 2
    for way, words in WAYS.items():
        output = run(workspace.root, *words)
        assert "COMPUTED" not in output, way


def test_a_module_of_a_package_has_the_name_that_imports_give_it(tmp_path):
    (tmp_path / "pack/inner").mkdir(parents=True)
    for folder in ("pack", "pack/inner"):
        (tmp_path / folder / "__init__.py").write_text("")
    text = "from latent.cache.classes import class_name, find_class, is_findable\nclass Row: pass\n"
    text += "if __name__ == '__main__':\n"
    text += "    print(class_name(Row), find_class(class_name(Row)) is Row, is_findable(Row))\n"
    (tmp_path / "pack/inner/rows.py").write_text(text)
    (tmp_path / "alone.py").write_text(text)
    assert run(tmp_path, "-m", "pack.inner.rows").split() == ["pack.inner.rows:Row", "True", "True"]
    assert run(tmp_path, "pack/inner/rows.py").split() == ["pack.inner.rows:Row", "True", "True"]
    assert run(tmp_path, "alone.py").split() == ["alone:Row", "True", "True"]
    assert run(tmp_path, "-c", text).split() == ["__main__:Row", "True", "True"]

"""Prompts as files: found, strict about names, sandboxed, and part of what results depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from latent.config import Workspace
from latent.errors import PromptError
from latent.llm import PromptTemplate, prompt
from latent.prefect import flow, task

JUDGE = "{% include 'rules.md' %}\nRate {{ answer }} to {{ question }}.\n"


@pytest.fixture
def folder(fresh: Workspace) -> Path:
    folder = fresh.root / "flows" / "grading" / "prompts"
    folder.mkdir(parents=True)
    (folder / "judge.md").write_text(JUDGE)
    (folder / "rules.md").write_text("Be fair.\n")
    return folder


def test_a_template_of_the_running_flow_is_found_and_filled_in(folder: Path):
    @flow("grading")
    def grading() -> str:
        return prompt("judge").render(question="2+2?", answer="4")

    assert grading() == "Be fair.\nRate 4 to 2+2?."


def test_names_without_a_value_are_an_error_and_no_gap(folder: Path):
    template = prompt("judge", folder=folder)
    assert template.names == {"question", "answer"}
    with pytest.raises(PromptError, match=r"'question' is undefined; given: answer"):
        template.render(answer="4")


def test_a_missing_file_names_the_nearest(folder: Path):
    with pytest.raises(PromptError, match="did you mean 'judge'"):
        prompt("jugde", folder=folder)


def test_outside_of_flows_a_folder_has_to_be_named(fresh: Workspace):
    with pytest.raises(PromptError, match="folder="):
        prompt("judge")


def test_broken_templates_are_told_with_their_line(folder: Path):
    (folder / "broken.md").write_text("one\n{% if %}\n")
    with pytest.raises(PromptError, match=r"broken\.md:2"):
        prompt("broken", folder=folder)


def test_a_broken_template_that_is_included_is_told_by_its_own_name(folder: Path):
    template = prompt("judge", folder=folder)
    (folder / "rules.md").write_text("one\n{% if %}\n")
    for attempt in (lambda: prompt("judge", folder=folder), lambda: template.render(question="", answer="")):
        with pytest.raises(PromptError, match=r"rules\.md:2"):
            attempt()


def test_a_template_that_includes_itself_without_an_end_is_told(folder: Path):
    (folder / "judge.md").write_text("{% include 'rules.md' %}")
    (folder / "rules.md").write_text("{% include 'judge.md' %}")
    with pytest.raises(PromptError, match=r"judge\.md.*includes itself"):
        prompt("judge", folder=folder).render()


@pytest.mark.parametrize("name", ["judge", "rules"])
def test_a_file_that_is_no_text_is_told(folder: Path, name: str):
    (folder / f"{name}.md").write_bytes(b"caf\xe9")
    with pytest.raises(PromptError, match=rf"{name}\.md.*not text in UTF-8"):
        prompt("judge", folder=folder)


def test_templates_cannot_reach_into_python():
    with pytest.raises(PromptError):
        PromptTemplate("{{ x.__class__.__mro__ }}").render(x=1)


def test_values_are_not_escaped_and_not_templates():
    assert PromptTemplate("Q: {{ q }}").render(q="<b>{{ 1 + 1 }}</b>") == "Q: <b>{{ 1 + 1 }}</b>"


def test_a_changed_prompt_has_the_task_that_read_it_computed_again(folder: Path):
    made: list[str] = []

    @task("write")
    def write(question: str) -> str:
        made.append(question)
        return prompt("judge").render(question=question, answer="?")

    @flow("grading")
    def grading() -> str:
        return write("why")

    assert grading() == grading() == "Be fair.\nRate ? to why."
    assert len(made) == 1
    (folder / "judge.md").write_text("Judge {{ answer }} on {{ question }}.")
    assert grading() == "Judge ? on why."
    (folder / "judge.md").write_text(JUDGE)
    assert grading() == "Be fair.\nRate ? to why."
    assert len(made) == 2  # both are remembered
    (folder / "rules.md").write_text("Be strict.\n")
    assert grading().startswith("Be strict.")  # what it includes counts, too
    assert len(made) == 3


def test_templates_among_arguments_count_by_their_text(folder: Path):
    made: list[str] = []

    @task("fill")
    def fill(template: PromptTemplate) -> str:
        made.append(template.text)
        return template.render(answer="a", question="b")

    fill(prompt("judge", folder=folder))
    fill(prompt("judge", folder=folder))
    (folder / "rules.md").write_text("Be kind.")
    fill(prompt("judge", folder=folder))
    assert len(made) == 2


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Language: {% if yes %}German{% endif %}\nQuestion: {{ q }}\n", "Language: German\nQuestion: Who?"),
        ("Items:{% for i in items %} {{ i }},{% endfor %}\nAnswer:", "Items: a, b,\nAnswer:"),
        ("{{ q }}{# a note #}\nAnswer:", "Who?\nAnswer:"),
        ("{% if yes %}{{ q }}{% endif %}\nAnswer:", "Who?\nAnswer:"),
        ("Say: {% raw %}{{ x }}{% endraw %}\nAnswer:", "Say: {{ x }}\nAnswer:"),
        ("A {% set n = [\n 1,\n] %}\nB", "A \nB"),
        ("A\n  {% if yes %}- b{% endif %}\nC", "A\n  - b\nC"),  # its place in a list
        ("A\n{% if yes %}\n B\n{%- endif %}\nC", "A\n B\nC"),
        # Lines with nothing but tags vanish, however they are indented.
        ("A\n{% if yes %}\nB\n{% endif %}\nC", "A\nB\nC"),
        ("A\n  {% for i in items %}\n- {{ i }}\n  {% endfor %}\nC", "A\n- a\n- b\nC"),
        ("A\n{# a note #}\nB", "A\nB"),
        ("A\n  {% set n = [\n 1,\n] %}\nB", "A\nB"),
        ("A\n{% if no %}{% endif %}\nB", "A\nB"),
        ("A\r\n{% if yes %}\r\nB\r\n{% endif %}\r\nC", "A\nB\nC"),
        ("A\n\n{% if yes %}\n\nB\n{% endif %}\n\nC", "A\n\n\nB\n\nC"),  # empty lines stay
        # What Jinja has for it by hand.
        ("A\n{%- if yes -%}\nB\n{%- endif -%}\nC", "ABC"),
        ("A\n  {%+ if yes %}\nB{% endif %}", "A\n  B"),
        ("A\n{% if yes +%}\nB{% endif %}", "A\n\nB"),
    ],
)
def test_a_line_with_text_keeps_its_end_and_one_of_tags_vanishes(text: str, rendered: str):
    assert PromptTemplate(text).render(yes=True, no=False, q="Who?", items=["a", "b"]) == rendered


def test_lines_of_errors_are_those_of_the_file():
    text = "{% if a %}\nx\n{% endif %}\n\n{# note #}\n{{ b.c.d }}\n{% bad %}\n"
    with pytest.raises(PromptError, match=r":7|bad"):
        PromptTemplate(text, Path("ask.md"))


PIECES = st.lists(
    st.sampled_from(
        [
            "text",
            "  - {{ q }} text",
            "",
            "  ",
            "{# note #}",
            "  {% set a = 1 %}",
            "{% if yes %}{% endif %}",
            "{% if yes %}\nB\n  {% endif %}",
            "\t{% for i in items %}\n- {{ i }}\n{% endfor %}",
            "{% if no %} {% endif %}",
        ]
    ),
    max_size=8,
)


@given(PIECES)
def test_templates_whose_tags_have_lines_of_their_own_render_as_jinja_trims_them(pieces: list[str]):
    """Their answers are remembered by what they render to."""
    text = "\n".join(["begin", *pieces, "end"])
    given = {"yes": True, "no": False, "q": "Who?", "items": ["a", "b"]}
    trimmed = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False).from_string(text)
    assert PromptTemplate(text).render(**given) == trimmed.render(**given)

"""Texts, images and files: the forms that people write them in, and those in which they are sent."""

from __future__ import annotations

import base64
import os
import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel

from latent.errors import BrokenTextError, ModelSpecError
from latent.llm import File, Image, Message, Model
from latent.llm.messages import turns_of
from tests.llm.conftest import SPECS, Provider

PNG = b"\x89PNG\r\n\x1a\n and so on"
PDF = b"%PDF-1.7 and so on"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    file = tmp_path / "chart.jpeg"  # its name is wrong: the bytes decide
    file.write_bytes(PNG)
    return file


def test_an_image_is_sent_as_each_api_takes_it(provider: Provider, chart: Path):
    for spec in SPECS:
        Model(spec).complete(["What is this?", Image.of(chart)])
    chat, responses, anthropic = provider.bodies
    data = base64.b64encode(PNG).decode()
    url = f"data:image/png;base64,{data}"
    assert chat["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": url}}
    assert responses["input"][0]["content"][1] == {"type": "input_image", "image_url": url, "detail": "auto"}
    source = {"type": "base64", "media_type": "image/png", "data": data}
    assert anthropic["messages"][0]["content"][1] == {"type": "image", "source": source}


def test_a_file_is_sent_as_each_api_takes_it(provider: Provider, tmp_path: Path):
    (tmp_path / "report.pdf").write_bytes(PDF)
    for spec in SPECS:
        Model(spec).complete([File.of(tmp_path / "report.pdf"), "Sum it up."])
    chat, responses, anthropic = provider.bodies
    data = base64.b64encode(PDF).decode()
    url = f"data:application/pdf;base64,{data}"
    assert chat["messages"][0]["content"][0]["file"] == {"filename": "report.pdf", "file_data": url}
    sent = {"type": "input_file", "filename": "report.pdf", "file_data": url}
    assert responses["input"][0]["content"][0] == sent
    block = anthropic["messages"][0]["content"][0]
    assert (block["type"], block["title"], block["source"]["data"]) == ("document", "report.pdf", data)


def test_what_lies_elsewhere_is_sent_by_its_address(provider: Provider):
    for spec in SPECS:
        Model(spec).complete(["What?", Image.of("https://example.org/a.png?size=2")])
    url = "https://example.org/a.png?size=2"
    assert all(url in str(body) for body in provider.bodies)


def test_a_changed_image_is_another_prompt(provider: Provider, chart: Path):
    model = Model(SPECS[0])
    model.complete(["What?", Image.of(chart)])
    assert model.complete(["What?", Image.of(chart)]).from_memory
    chart.write_bytes(PNG + b"!")
    assert not model.complete(["What?", Image.of(chart)]).from_memory


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "empty"),
        ([], "empty"),
        ([{"role": "user", "content": ""}], "empty"),
        (7, "a prompt must be a string or messages"),
        ([{"role": "robot", "content": "x"}], "role is one of"),
        ([{"role": "user", "content": "x", "name": "y"}], "no 'name'"),
        ([{"role": "user", "content": [7]}], r"File\.of\(\.\.\.\), not an int\."),
        ([{"role": "user"}], "a message of the role 'user' has no `content`"),
        ([{"role": "user", "content": None}], "has no `content`"),
        (None, "not None"),
        ([b"raw"], "not a bytes"),
    ],
)
def test_prompts_that_cannot_be_are_refused_before_anything_is_sent(provider: Provider, prompt, said: str):
    with pytest.raises(ModelSpecError, match=said):
        Model(SPECS[0]).complete(prompt)
    assert provider.requests == 0


def test_attachments_that_cannot_be_read_say_so(tmp_path: Path):
    with pytest.raises(ModelSpecError, match=r"^The image '.*gone\.png' cannot be used: it cannot be"):
        Image.of(tmp_path / "gone.png")
    with pytest.raises(ModelSpecError, match=r"^The file that was given as bytes .* media_type=") as caught:
        File.of(b"who knows")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_chat_takes_no_files_by_address(provider: Provider):
    with pytest.raises(ModelSpecError, match="openai-responses"):
        Model(SPECS[0]).complete(["x", File.of("https://example.org/a.pdf")])


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("odd \ud800 name", r"'\\ud800'\) stands at position 4 of the prompt for 'openai:"),
        ("\ude00\ud83d", "position 0"),
        ([{"role": "user", "content": ["whole", "odd \udc80"]}], "position 4 of the prompt"),
        ([File(data=b"x", name="caf\udce9.pdf"), "Read it."], "position 3 of the prompt"),
    ],
)
def test_half_a_character_is_told_before_anything_is_sent(provider: Provider, prompt, said: str):
    """Real providers answer it with HTTP 400, and say that they cannot parse the body."""
    with pytest.raises(BrokenTextError, match=said) as caught:
        Model(SPECS[0]).complete(prompt)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert provider.requests == 0


def test_half_a_character_in_parameters_is_told_before_anything_is_sent(provider: Provider):
    with pytest.raises(BrokenTextError, match="position 4 of `system`"):
        Model(SPECS[0], system="odd \ud800")
    with pytest.raises(BrokenTextError, match="of the request for"):
        Model(SPECS[0], stop="\ud800").complete("x")
    assert provider.requests == 0


def test_two_surrogates_that_are_one_character_are_sent_as_it(provider: Provider):
    Model(SPECS[0]).complete("\ud83d\ude00")
    assert provider.bodies[0]["messages"][0]["content"] == "\N{GRINNING FACE}"


def test_the_text_of_a_message_is_that_of_its_parts():
    assert Message("user", ("a", "b")).text == "a\nb"


GUIDE = {"type": "text", "text": "a long guide", "cache_control": {"type": "ephemeral"}}
ASKED = [{"role": "user", "content": [GUIDE, {"type": "text", "text": "a question"}]}]


def test_a_mark_for_the_cache_reaches_those_who_know_it(provider: Provider):
    router = Model("openrouter:anthropic/claude", base_url=os.environ["OPENAI_BASE_URL"], api_key="any")
    for model in (Model(SPECS[2]), router):
        model.complete(ASKED)
        model.complete(
            [{"role": "system", "content": [GUIDE, "Be brief."]}, {"role": "user", "content": "a"}]
        )
        model.complete([{"role": "user", "content": [GUIDE]}])
    asked, told, alone, routed, routed_told, _ = provider.bodies
    plain = {"type": "text", "text": "a question"}
    assert asked["messages"][0]["content"] == routed["messages"][0]["content"] == [GUIDE, plain]
    assert told["system"] == [GUIDE, {"type": "text", "text": "Be brief."}]
    assert routed_told["messages"][0] == {"role": "system", "content": told["system"]}
    assert alone["messages"][0]["content"] == [GUIDE]


def test_words_about_the_output_stand_behind_a_system_prompt_with_a_mark(provider: Provider):
    class Verdict(BaseModel):
        score: int

    provider.says(lambda call: '{"score": 1}')
    prompt = [{"role": "system", "content": [GUIDE]}, {"role": "user", "content": "a"}]
    assert Model(SPECS[2], output_mode="json").complete(prompt, output=Verdict).output == Verdict(score=1)
    blocks = provider.bodies[0]["system"]
    assert blocks[0] == GUIDE and "JSON schema" in blocks[1]["text"]


def test_a_mark_changes_no_answer_and_so_no_key(provider: Provider):
    model = Model(SPECS[2])
    unmarked = [{"role": "user", "content": ["a long guide", "a question"]}]
    answer = model.complete(unmarked)
    known = model.complete(pickle.loads(pickle.dumps(ASKED)))
    assert known.from_memory and known.text == answer.text
    marked = pickle.loads(pickle.dumps(turns_of("m", ASKED)))
    assert marked[0].is_marked and marked[0].parts[0].cache_control == {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("spec", "part", "said"),
    [
        (SPECS[1], GUIDE, "no `cache_control`"),
        (SPECS[2], {"type": "text", "text": "a", "cache_control": "ephemeral"}, "is a mapping"),
        (SPECS[2], {"type": "text", "text": "a", "citations": {"enabled": True}}, "no 'citations'"),
        (SPECS[0], {"type": "text", "text": "a", "annotations": [1]}, "no 'annotations'"),
    ],
)
def test_what_would_not_be_sent_is_refused(provider: Provider, spec: str, part: dict[str, object], said: str):
    with pytest.raises(ModelSpecError, match=said):
        Model(spec).complete([{"role": "user", "content": [part]}])
    assert provider.requests == 0


def test_openai_itself_knows_no_mark(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ModelSpecError, match="caches long prompts by itself"):
        Model(SPECS[0], api_key="any").complete(ASKED)


def test_what_sdks_write_down_of_texts_that_have_none_is_left_out(provider: Provider):
    part = {"type": "text", "text": "a", "citations": None, "annotations": []}
    Model(SPECS[0]).complete([{"role": "user", "content": [part]}])
    assert provider.bodies[0]["messages"][0]["content"] == "a"

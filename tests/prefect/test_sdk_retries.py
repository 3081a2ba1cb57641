"""Retries that an SDK makes inside of a task: found in the task's code and in errors, said once."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from uuid import uuid4

import pytest

from latent.prefect import flow, task
from latent.prefect.sdk_retries import report_sdk_retries, retries_of


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def openai_client(**options):
    import openai

    return openai.OpenAI(api_key="key", **options)


def anthropic_client(**options):
    import anthropic

    return anthropic.AsyncAnthropic(api_key="key", **options)


def pinecone_client(**options):
    import pinecone

    return pinecone.Pinecone(api_key="key", host="http://127.0.0.1:9", **options)


def session(total=0):
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    made = requests.Session()
    if total:
        made.mount("https://", HTTPAdapter(max_retries=Retry(total)))
    return made


def quiet_pinecone():
    import pinecone

    return pinecone_client(retry_config=pinecone.RetryConfig(max_retries=0))


@pytest.mark.parametrize(
    ("make_client", "sdk", "retries", "remedy"),
    [
        (openai_client, "openai", 2, "OpenAI(max_retries=0)"),
        (lambda: openai_client(max_retries=5), "openai", 5, "OpenAI(max_retries=0)"),
        (lambda: openai_client().chat.completions, "openai", 2, "OpenAI(max_retries=0)"),
        (anthropic_client, "anthropic", 2, "AsyncAnthropic(max_retries=0)"),
        (pinecone_client, "pinecone", 3, "Pinecone(retry_config=RetryConfig(max_retries=0))"),
        (lambda: session(4), "requests", 4, "HTTPAdapter(max_retries=0)"),
    ],
)
def test_clients_that_retry_are_known_with_their_remedy(make_client, sdk, retries, remedy):
    found = retries_of(make_client())
    assert found is not None
    assert (found.sdk, found.retries) == (sdk, retries) and remedy in found.remedy


@pytest.mark.parametrize(
    "make_client",
    [
        lambda: openai_client(max_retries=0),
        lambda: openai_client().with_options(max_retries=0).chat,
        lambda: anthropic_client(max_retries=0),
        quiet_pinecone,
        session,
        object,
        lambda: SimpleNamespace(max_retries=3),  # not a client of anybody's
        lambda: None,
    ],
)
def test_clients_that_do_not_retry_are_left_alone(make_client):
    assert retries_of(make_client()) is None


def warnings(caplog) -> list[str]:
    return [record.message for record in caplog.records if "retries by itself" in record.message]


CLIENT = openai_client()


def helper():
    return CLIENT.models


@pytest.mark.parametrize("place", ["closure", "global through a helper", "default", "nested function"])
def test_a_client_that_a_tasks_code_uses_is_reported_once(caplog, place):
    client = openai_client()
    name = f"ask-{uuid4().hex[:6]}"
    if place == "closure":

        def ask():
            return client.chat

    elif place == "default":

        def ask(client=client):
            return client.chat

    elif place == "nested function":

        def ask():
            return sorted([1], key=lambda each: client.chat)

    else:

        def ask():
            return helper()

    made = task(name)(ask)
    for _ in range(3):
        report_sdk_retries(made)
    [said] = warnings(caplog)
    assert f"Task '{name}': its openai client retries by itself, up to 2 times" in said
    assert "OpenAI(max_retries=0)" in said


def test_a_client_made_inside_of_a_task_is_reported_when_it_fails(make, caplog, nobody):
    make({})
    name = f"ask-{uuid4().hex[:6]}"

    @task(name, retries=1, cache=False)
    def ask():
        with openai_client(max_retries=1, base_url=nobody) as client:
            client.models.list()

    @flow
    def main():
        for _ in range(2):
            ask(return_state=True)

    main()
    [said] = warnings(caplog)
    assert f"Task '{name}': its openai client retries by itself, up to 1 times" in said


def test_the_request_itself_tells_when_the_traceback_was_cut(caplog, nobody):
    import openai

    made = task(f"ask-{uuid4().hex[:6]}")(lambda: None)
    with openai_client(max_retries=1, base_url=nobody) as client, pytest.raises(openai.APIError) as caught:
        client.models.list()
    error = caught.value.with_traceback(None)
    error.__cause__ = None
    report_sdk_retries(made, error)
    [said] = warnings(caplog)
    assert "openai client retries by itself, up to 1 times" in said


@pytest.mark.parametrize("options", [{"retry": False}, {"retries": 0}])
def test_a_task_without_retries_may_leave_them_to_its_sdk(caplog, options):
    client = openai_client()
    report_sdk_retries(task(f"ask-{uuid4().hex[:6]}", **options)(lambda: client))
    assert warnings(caplog) == []

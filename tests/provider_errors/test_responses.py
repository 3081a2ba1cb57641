"""What providers answer, read from the real exceptions of real clients, from responses and from headers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from latent.errors import TaskExecutionError
from latent.provider_errors.headers import duration_seconds, header_limits, reset_seconds, retry_after_seconds
from latent.provider_errors.responses import ProviderAnswer, answer_of

NOW = 1_700_000_000.0


class Provider(ThreadingHTTPServer):
    """Answers every request with what the test set; a status of 0 hangs up, -1 says nothing."""

    daemon_threads = True
    status, headers, body = 200, {}, {}  # type: ignore[var-annotated]  # set by each test

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.server.status == -1:
            self.server.ended.wait(10)
        if self.server.status <= 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = json.dumps(self.server.body).encode()
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815  # the standard library's name

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


def ask_openai(url: str) -> None:
    import openai

    with openai.OpenAI(api_key="key", base_url=url, max_retries=0, timeout=0.3) as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])


def ask_openai_async(url: str) -> None:
    import openai

    async def ask() -> None:
        async with openai.AsyncOpenAI(api_key="key", base_url=url, max_retries=0, timeout=0.3) as client:
            await client.embeddings.create(model="m", input="?")

    asyncio.run(ask())


def ask_anthropic(url: str) -> None:
    import anthropic

    with anthropic.Anthropic(api_key="key", base_url=url, max_retries=0, timeout=0.3) as client:
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "?"}])


def ask_httpx(url: str) -> None:
    import httpx

    httpx.get(url, timeout=0.3).raise_for_status()


def ask_httpx2(url: str) -> None:
    import httpx2

    httpx2.get(url, timeout=0.3).raise_for_status()


def ask_requests(url: str) -> None:
    import requests

    requests.get(url, timeout=0.3).raise_for_status()


def ask_aiohttp(url: str) -> None:
    import aiohttp

    async def ask() -> None:
        timeout = aiohttp.ClientTimeout(total=0.3)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, raise_for_status=True) as response,
        ):
            await response.read()

    asyncio.run(ask())


def ask_urllib(url: str) -> None:
    with urllib.request.urlopen(url, timeout=0.3):
        pass


def ask_pinecone(url: str) -> None:
    import pinecone

    quiet = pinecone.RetryConfig(max_retries=0)
    with pinecone.Pinecone(api_key="key", host=url, retry_config=quiet, timeout=0.3) as client:
        client.indexes.describe("passages")


CLIENTS = (
    ask_openai,
    ask_openai_async,
    ask_anthropic,
    ask_httpx,
    ask_httpx2,
    ask_requests,
    ask_aiohttp,
    ask_urllib,
    ask_pinecone,
)
KEEP_THE_BODY = tuple(client for client in CLIENTS if client not in (ask_aiohttp, ask_urllib))


def failure_of(client: Callable[[str], None], url: str) -> BaseException:
    with pytest.raises(Exception) as caught:  # which one is the client's own affair
        client(url)
    error = caught.value
    if isinstance(error, urllib.error.HTTPError):
        error.close()
    return error


def answer_to(client: Callable[[str], None], provider: Provider) -> ProviderAnswer:
    answer = answer_of(failure_of(client, provider.url))
    assert answer is not None
    return answer


@pytest.mark.parametrize("client", CLIENTS)
def test_a_rate_limit_is_read_from_every_clients_exception(provider, client):
    provider.status = 429
    provider.headers = {
        "Retry-After": "1.5",
        "X-RateLimit-Limit-Requests": "60",
        "X-RateLimit-Remaining-Requests": "59",
        "X-RateLimit-Reset-Requests": "1s",
    }
    provider.body = {"error": {"message": "Too fast.", "type": "requests", "code": "rate_limit_exceeded"}}
    answer = answer_to(client, provider)
    assert (answer.status, answer.retry_after_seconds, answer.is_rate_limited) == (429, 1.5, True)
    assert (answer.is_transient, answer.is_refusal, answer.quota_exhausted) == (True, False, False)
    [limit] = answer.limits
    assert (limit.kind, limit.limit, limit.remaining, limit.reset_seconds) == ("requests", 60, 59, 1)


@pytest.mark.parametrize("client", CLIENTS)
def test_every_clients_exception_tells_what_may_pass_from_what_was_refused(provider, client):
    provider.body = {"error": {"message": "No.", "type": "some_error", "code": None}}
    for status, transient in ((503, True), (404, False)):
        provider.status = status
        answer = answer_to(client, provider)
        assert (answer.status, answer.is_transient, answer.is_refusal) == (status, transient, not transient)


@pytest.mark.parametrize(
    ("status", "transient", "refusal"),
    [(status, False, True) for status in (400, 401, 403, 404, 405, 413, 422, 451)]
    + [(status, True, False) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)]
    + [(200, False, False), (304, False, False)],
)
def test_statuses_that_pass_and_statuses_that_do_not(status, transient, refusal):
    answer = ProviderAnswer(status=status)
    assert (answer.is_transient, answer.is_refusal) == (transient, refusal)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("status", "is_timeout"), [(0, False), (-1, True)])
def test_a_lost_connection_and_a_timeout_are_told_apart(provider, client, status, is_timeout):
    provider.status = status
    answer = answer_to(client, provider)
    assert (answer.status, answer.is_timeout, answer.is_connection_error) == (
        None,
        is_timeout,
        not is_timeout,
    )
    assert answer.is_transient


@pytest.mark.parametrize("client", CLIENTS)
def test_nobody_listening_is_a_connection_error(client):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    answer = answer_of(failure_of(client, url))
    assert answer is not None and answer.is_connection_error and answer.is_transient


QUOTA = [
    (429, {"error": {"message": "No money.", "type": "insufficient_quota", "code": "insufficient_quota"}}),
    (429, {"error": {"message": "No money.", "type": "insufficient_quota", "code": None}}),
    (429, {"error": {"message": "No.", "type": "rate", "code": "project_spend_limit_exceeded"}}),
    (400, {"error": {"message": "Billing.", "type": "x", "code": "billing_hard_limit_reached"}}),
    (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API.",
            },
        },
    ),
    (
        429,
        {
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "message": "Spent.",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
        },
    ),
    (402, {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}}),
    (403, {"error": {"type": "billing_error", "message": "Your payment failed."}}),
]


@pytest.mark.parametrize("client", KEEP_THE_BODY)
def test_an_exhausted_quota_is_read_from_the_exceptions_of_all_that_keep_the_body(provider, client):
    provider.status, provider.body = QUOTA[0]
    assert answer_to(client, provider).quota_exhausted


@pytest.mark.parametrize(("status", "body"), QUOTA)
def test_an_exhausted_quota_is_no_rate_limit(provider, status, body):
    provider.status, provider.body = status, body
    answer = answer_to(ask_requests, provider)
    assert answer.quota_exhausted and answer.is_refusal
    assert not answer.is_rate_limited and not answer.is_transient
    assert answer.message == body["error"]["message"]


@pytest.mark.parametrize(
    ("violation", "exhausted"),
    [
        ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", False),
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", True),
    ],
)
def test_geminis_quota_of_a_minute_passes_and_that_of_a_day_does_not(provider, violation, exhausted):
    """Both say "You exceeded your current quota" and name a wait in the body."""
    provider.status = 429
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": violation}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"},
    ]
    message = "You exceeded your current quota, please check your plan and billing details."
    error = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
    provider.body = [{"error": error}]
    answer = answer_to(ask_httpx, provider)
    assert (answer.quota_exhausted, answer.retry_after_seconds) == (exhausted, 46)


def test_a_402_that_names_a_wait_passes(provider):
    provider.status, provider.headers, provider.body = 402, {"Retry-After": "3"}, {"error": "busy"}
    assert not answer_to(ask_httpx, provider).quota_exhausted


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 0.25 "}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"x-ms-retry-after-ms": "40"}, 0.04),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        # Clocks that are an hour apart: the answer's own date is what its other date is measured by.
        (
            {
                "retry-after": formatdate(NOW + 3_630, usegmt=True),
                "date": formatdate(NOW + 3_600, usegmt=True),
            },
            30.0,
        ),
        ({"retry-after": formatdate(NOW + 30, usegmt=True), "date": "yesterday"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "Wed, 99 Foo 2099 99:99:99 GMT"}, None),
        ({}, None),
    ],
)
def test_waits_are_read_in_every_form(headers, seconds):
    assert retry_after_seconds(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1s", 1.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2m59.56s", 179.56),
        ("1d", 86_400.0),
        ("60", None),
        ("", None),
        ("s", None),
        ("1s, 2s", None),
    ],
)
def test_durations_are_read_as_openai_writes_them(text, seconds):
    assert duration_seconds(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        ("20ms", 0.02),
        (str(int(NOW) + 90), 90.0),
        (str(int(NOW + 90) * 1000), 90.0),
        ("2023-11-14T22:15:20Z", 120.0),  # NOW is 22:13:20
        ("2023-11-14T22:15:20.500+00:00", 120.5),
        ("2023-11-14T23:15:20+01:00", 120.0),
        ("2023-11-14T22:00:00Z", 0.0),
        (formatdate(NOW + 5, usegmt=True), 5.0),
        ("later", None),
    ],
)
def test_resets_are_read_as_times_and_as_durations(text, seconds):
    assert reset_seconds(text, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_limits_are_read_from_the_headers_of_each_dialect():
    openai = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    anthropic = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2023-11-14T22:14:20Z",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-input-tokens-remaining": "40000",
        "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:20Z",
    }
    cerebras = {"x-ratelimit-limit-requests-day": "14400", "x-ratelimit-limit-tokens-minute": "60000"}
    draft = {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "7", "ratelimit-reset": "9"}

    def read(headers):
        limits = header_limits(headers, NOW)
        return [
            (each.kind, each.limit, each.remaining, each.reset_seconds, each.window_seconds)
            for each in limits
        ]

    assert read(openai) == [("requests", 60, 59, 1, None), ("tokens", 150_000, 149_984, 360, None)]
    assert read(anthropic) == [("requests", 50, 0, 60, None), ("input-tokens", 40_000, 40_000, 0, None)]
    assert read(cerebras) == [
        ("requests", 14_400, None, None, 86_400),
        ("tokens", 60_000, None, None, 60),
    ]
    assert read(draft) == [("requests", 100, 7, 9, None)]
    assert read({"x-ratelimit-limit-requests": "many", "content-type": "text/plain"}) == []


def test_the_rate_of_a_limit_follows_from_what_is_used_and_when_it_is_whole_again():
    """Groq's requests count a day and its tokens a minute, under OpenAI's names; numbers from its docs."""
    groq = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "10ms",
        "x-ratelimit-limit-full": "5",
        "x-ratelimit-remaining-full": "5",
        "x-ratelimit-reset-full": "0s",
    }
    requests, tokens, full = header_limits(groq, NOW)
    assert requests.refill_per_second == pytest.approx(14_400 / 86_400, rel=0.01)
    assert tokens.refill_per_second == pytest.approx(300)  # 18,000 a minute
    assert full.refill_per_second is None


def test_the_end_of_a_window_is_a_wait_but_a_steady_limits_is_not():
    class Response:
        status_code = 429

        def __init__(self, **headers):
            self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    window = Response(x_ratelimit_limit="60", x_ratelimit_remaining="0", x_ratelimit_reset="1700000030")
    steady = Response(x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="0")
    steady.headers["x-ratelimit-reset-requests"] = "1m0s"
    left = Response(x_ratelimit_limit="60", x_ratelimit_remaining="1", x_ratelimit_reset="1700000030")

    def wait(response):
        answer = answer_of(response, now=lambda: NOW)
        assert answer is not None
        return answer.retry_after_seconds

    assert [wait(each) for each in (window, steady, left)] == [30.0, None, None]


def test_responses_and_headers_are_answers_too(provider):
    import httpx
    import requests

    provider.headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "7"}
    for response in (httpx.get(provider.url), requests.get(provider.url, timeout=5)):
        for source in (response, response.headers, dict(response.headers)):
            answer = answer_of(source)
            assert answer is not None and answer.limits[0].remaining == 7
            assert answer.status in (200, None) and not answer.is_transient and not answer.is_refusal


def test_a_body_that_was_not_read_is_left_unread(provider):
    import httpx

    provider.status, provider.body = 429, {"error": {"code": "insufficient_quota"}}
    with httpx.Client() as client, client.stream("GET", provider.url) as response:
        unread = answer_of(response)
        response.read()
    read = answer_of(response)
    assert unread is not None and not unread.quota_exhausted
    assert read is not None and read.quota_exhausted


@pytest.mark.parametrize(
    "source",
    [
        None,
        42,
        "text",
        {"label": "positive", "score": 0.5},
        {1: 2},
        object(),
        ValueError("bad value"),
        FileNotFoundError(2, "No such file"),
        KeyError("status"),
        SystemExit(429),
        urllib.error.URLError("unknown url type: foo"),
    ],
)
def test_what_carries_no_answer_gives_none(source):
    assert answer_of(source) is None


@pytest.mark.parametrize(
    ("error", "is_timeout"),
    [
        (TimeoutError("slow"), True),
        (socket.gaierror(-2, "Name or service not known"), False),
        (ConnectionResetError("reset"), False),
        (OSError(101, "Network is unreachable"), False),
        (urllib.error.URLError(ConnectionRefusedError(111, "refused")), False),
        (urllib.error.URLError(TimeoutError("slow")), True),
    ],
)
def test_the_standard_librarys_network_errors_count(error, is_timeout):
    answer = answer_of(error)
    assert answer is not None and answer.is_transient
    assert (answer.is_timeout, answer.is_connection_error) == (is_timeout, not is_timeout)


def test_the_answer_is_found_behind_what_was_raised_from_it(provider):
    provider.status = 404
    inner = failure_of(ask_httpx, provider.url)
    wrapped = ValueError("The passage could not be fetched.")
    wrapped.__cause__ = RuntimeError("no answer")
    wrapped.__cause__.__cause__ = inner
    task_error = TaskExecutionError.of("fetch", inner, {})
    for error in (wrapped, task_error, TaskExecutionError.of("outer", task_error, {})):
        answer = answer_of(error)
        assert answer is not None and answer.status == 404


def test_an_error_in_a_handler_is_not_the_providers_answer(provider):
    provider.status = 404
    slip = KeyError("title")
    slip.__context__ = failure_of(ask_httpx, provider.url)
    assert answer_of(slip) is None


def test_a_chain_that_bites_its_tail_ends():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert answer_of(first) is None


def test_of_a_group_the_answer_counts_that_forbids_most(provider):
    def failed(status: int, **error: str) -> BaseException:
        provider.status, provider.body = status, {"error": error}
        return failure_of(ask_httpx, provider.url)

    limited, refused = failed(429), failed(400)
    broke = failed(429, code="insufficient_quota")

    def status(*errors: BaseException) -> tuple[int | None, bool]:
        answer = answer_of(BaseExceptionGroup("several", [ValueError("x"), *errors]))
        assert answer is not None
        return answer.status, answer.quota_exhausted

    assert status(limited) == (429, False)
    assert status(limited, refused) == (400, False)
    assert status(limited, refused, broke) == (429, True)
    assert answer_of(ExceptionGroup("several", [ValueError("x")])) is None


def test_an_error_inside_of_a_stream_has_the_status_of_its_kind(provider):
    """The response began with a 200; the error came later, as an event."""
    import anthropic
    import httpx2

    request = httpx2.Request("POST", provider.url)
    response = httpx2.Response(200, request=request)
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    answer = answer_of(anthropic.APIStatusError("Overloaded", response=response, body=body))
    assert answer is not None and answer.is_overloaded and answer.is_transient


def test_botocores_throttling_is_a_rate_limit():
    error = RuntimeError("An error occurred (ThrottlingException)")
    error.response = {  # type: ignore[attr-defined]  # as botocore's ClientError has it
        "Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {"Retry-After": "2"}},
    }
    answer = answer_of(error)
    assert answer is not None and answer.is_rate_limited and answer.retry_after_seconds == 2


def test_attributes_that_raise_are_as_good_as_absent():
    class OddError(Exception):
        @property
        def response(self):
            raise RuntimeError("not sent yet")

        status_code = "four hundred"

    assert answer_of(OddError()) is None

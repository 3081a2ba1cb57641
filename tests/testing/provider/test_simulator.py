"""The life of a simulator: starting and stopping, counting, threads and processes."""

from __future__ import annotations

import asyncio
import http.client
import os
import pickle
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest

import latent.testing
from latent.errors import SimulatorError
from latent.testing import Fault, LogNormal, ProviderSimulator
from latent.testing.plugin import MakeProviderSimulator
from tests.testing.provider.conftest import ask, chat, message

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'


def test_public_names_are_those_that_are_listed() -> None:
    for name in latent.testing.__all__:
        assert getattr(latent.testing, name) is not None
    with pytest.raises(AttributeError, match=r"'latent\.testing' has no attribute 'Nothing'"):
        _ = latent.testing.Nothing  # type: ignore[attr-defined]


def test_counts_of_each_prompt(provider_simulator: ProviderSimulator) -> None:
    provider_simulator.change(faults=Fault(500, first=1))
    for prompt in ("a", "a", "a", "b"):
        chat(provider_simulator, prompt)
    assert provider_simulator.asked == {"a": 3, "b": 1}
    assert provider_simulator.answered == {"a": 2}
    assert provider_simulator.duplicates == {"a": 1}, "the third came after an answer, the second did not"
    assert provider_simulator.statuses == {500: 2, 200: 2}
    assert provider_simulator.requests == 4


def test_texts_embedded_together_are_counted_one_by_one(provider_simulator: ProviderSimulator) -> None:
    ask(provider_simulator, "/v1/embeddings", {"model": "m", "input": ["a", "b", "a"]})
    ask(provider_simulator, "/v1/embeddings", {"model": "m", "input": ["b", "c"]})
    assert provider_simulator.answered == {"a": 2, "b": 2, "c": 1}
    assert provider_simulator.duplicates == {"b": 1}


def test_record_tells_of_each_request(provider_simulator: ProviderSimulator) -> None:
    before = time.monotonic()
    chat(provider_simulator, "first")
    ask(provider_simulator, "/v1/models")
    first, second = provider_simulator.record().log
    assert before < first.arrived_at <= first.ended_at <= second.arrived_at < time.monotonic()
    assert (first.path, first.prompt, first.status, first.answered) == (
        "/v1/chat/completions",
        "first",
        200,
        True,
    )
    assert (second.path, second.prompt, second.status, second.answered) == ("/v1/models", None, 200, False)
    assert provider_simulator.arrivals == [first.arrived_at, second.arrived_at]
    # "first" is 2 tokens, in and out.
    record = provider_simulator.record()
    assert (record.input_tokens, record.output_tokens, record.peak_in_flight, record.in_flight) == (
        2,
        2,
        1,
        0,
    )


def test_record_is_a_copy(provider_simulator: ProviderSimulator) -> None:
    record = provider_simulator.record()
    record.asked["x"] += 1
    chat(provider_simulator)
    assert (record.requests, provider_simulator.asked) == (0, {"hello": 1})


def test_clear_starts_over(provider_simulator: ProviderSimulator) -> None:
    provider_simulator.change(faults=Fault(500, first=1))
    assert [chat(provider_simulator).status for _ in range(2)] == [500, 200]
    provider_simulator.clear()
    assert provider_simulator.requests == 0
    assert [chat(provider_simulator).status for _ in range(2)] == [500, 200]


def test_change_keeps_what_is_not_named(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(answer="x", requests_per_minute=60, burst=1)
    provider.change(requests_per_second=100, burst=50)
    assert [chat(provider).status for _ in range(20)] == [200] * 20
    with pytest.raises(SimulatorError):
        provider.change(answer="y", burst=-1)
    assert chat(provider).json["choices"][0]["message"]["content"] == "x", "nothing was changed"


def test_environment_leads_the_clients_here_even_behind_a_proxy(
    monkeypatch: pytest.MonkeyPatch, provider_simulator: ProviderSimulator
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert os.environ["OPENAI_BASE_URL"] == provider_simulator.openai_base_url
    assert "NO_PROXY" not in provider_simulator.environment
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.invalid")
    assert provider_simulator.environment["NO_PROXY"] == "intranet.invalid,127.0.0.1"


def test_record_outlives_the_simulator_and_the_address_does_not() -> None:
    simulator = ProviderSimulator()
    with pytest.raises(SimulatorError, match="before it is started"):
        _ = simulator.address
    assert simulator.requests == 0
    with simulator as provider:
        port = provider.port
        chat(provider)
    assert simulator.answered == {"hello": 1}
    with pytest.raises(SimulatorError):
        _ = simulator.address
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    simulator.stop()
    with simulator:
        assert chat(simulator).status == 200, "it can be started again"


def test_stop_ends_what_hangs() -> None:
    with ProviderSimulator(faults=Fault("hang")) as provider, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(chat, provider)
        _until(lambda: provider.record().in_flight == 1)
        provider.stop()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            hanging.result(timeout=5)
    assert (provider.record().abandoned, provider.record().in_flight) == (1, 0)


def test_port_that_is_taken(provider_simulator: ProviderSimulator) -> None:
    for own_process in (False, True):
        with pytest.raises(SimulatorError, match="0 takes a free one"):
            ProviderSimulator(port=provider_simulator.port, own_process=own_process).start()
    with pytest.raises(SimulatorError, match="port=99999"):
        ProviderSimulator(port=99999).start()


def test_connection_is_kept_and_pipelined_requests_are_answered_in_order(
    make_provider_simulator: MakeProviderSimulator,
) -> None:
    provider = make_provider_simulator(latency=lambda call: 0.1 if call.prompt == "slow" else 0.0)
    request = "POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{}"
    bodies = [BODY.decode().replace("hello", prompt) for prompt in ("slow", "quick")]
    with socket.create_connection(("127.0.0.1", provider.port), timeout=5) as client:
        client.sendall("".join(request.format(len(body), body) for body in bodies).encode())
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 2 or b"quick" not in received:
            received += client.recv(65536)
    assert received.index(b"slow") < received.index(b"quick")


def test_ways_to_send_a_body(provider_simulator: ProviderSimulator) -> None:
    """In chunks, in dribbles, after `100 Continue`, and with the wish to close."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\n"
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:], b""))
    for request in (
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked,
        head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    ):
        with socket.create_connection(("127.0.0.1", provider_simulator.port), timeout=5) as client:
            for start in range(0, len(request), 40):
                client.sendall(request[start : start + 40])
                time.sleep(0.001)
            received = client.makefile("rb").read()
        assert b"HTTP/1.1 200 OK" in received
        assert received.endswith(b"}"), "the server closes after the answer"
        assert received.startswith(b"HTTP/1.1 100 Continue") == (b"Expect" in request)


def test_own_process(make_provider_simulator: MakeProviderSimulator) -> None:
    suffix = "!"
    provider = make_provider_simulator(
        own_process=True, answer=lambda prompt: prompt + suffix, latency=LogNormal(0.01, 0.1)
    )
    assert chat(provider).json["choices"][0]["message"]["content"] == "hello!"
    assert provider.record().answered == {"hello": 1}
    provider.change(answer="changed")
    assert message(provider).json["content"][0]["text"] == "changed"
    provider.clear()
    assert provider.requests == 0
    chat(provider)
    provider.stop()
    assert provider.answered == {"hello": 1}


def test_own_process_takes_no_function_that_cannot_travel() -> None:
    with socket.socket() as own, pytest.raises(SimulatorError, match="cannot be sent to another process"):
        ProviderSimulator(own_process=True, answer=lambda prompt: str(own)).start()


def test_own_process_ends_with_the_one_that_started_it() -> None:
    script = """
import os
from latent.testing import ProviderSimulator
print(ProviderSimulator(own_process=True).start().port, flush=True)
os._exit(1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    port = int(done.stdout)

    def is_gone() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    _until(is_gone)


def test_simulator_itself_does_not_travel(provider_simulator: ProviderSimulator) -> None:
    with pytest.raises(TypeError, match="pass its addresses to others"):
        pickle.dumps(provider_simulator)


def test_other_processes_use_the_address(provider_simulator: ProviderSimulator) -> None:
    script = """
import sys, http.client
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
connection.request("POST", "/v1/chat/completions", sys.argv[2])
sys.exit(connection.getresponse().status != 200)
"""
    command = [sys.executable, "-c", script, str(provider_simulator.port), BODY.decode()]
    children = [subprocess.Popen(command) for _ in range(2)]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    assert provider_simulator.answered == {"hello": 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forked_child_neither_holds_the_port_nor_the_connections() -> None:
    """A fork copies the sockets: unless the child closes them, the client waits for ever."""
    script = """
import http.client, os, signal, socket, sys, time, warnings
from latent.errors import SimulatorError
from latent.testing import Fault, ProviderSimulator

warnings.simplefilter("ignore")  # forking beside threads is what this is about
body = '{"model": "m", "messages": [{"role": "user", "content": "%s"}]}'
with ProviderSimulator(faults=Fault("reset", only="bad")) as provider:
    port = provider.port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/chat/completions", body % "good")
    assert connection.getresponse().read()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            provider.record()
        except SimulatorError as error:
            assert "forked" in str(error)
            other = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            other.request("POST", "/v1/chat/completions", body % "from the child")
            assert other.getresponse().status == 200, "the address is good there"
            provider.stop()
            os.write(write, b"y")
        time.sleep(60)
        os._exit(1)
    assert os.read(read, 1) == b"y"
    connection.request("POST", "/v1/chat/completions", body % "bad")
    try:
        connection.getresponse()
    except ConnectionResetError:
        print("reset")
try:
    socket.create_connection(("127.0.0.1", port), timeout=5)
except ConnectionRefusedError:
    print("refused")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print(sorted(provider.asked))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "reset\nrefused\n['bad', 'from the child', 'good']\n", done.stderr


async def test_many_requests_at_once(make_provider_simulator: MakeProviderSimulator) -> None:
    """Functional here; how many a second is measured in the benchmarks."""
    provider = make_provider_simulator(latency=0.2)

    async def one(session: aiohttp.ClientSession, number: int) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": f"{number}"}]}
        async with session.post(f"{provider.openai_base_url}/chat/completions", json=body) as answer:
            return (await answer.json())["usage"]["total_tokens"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tokens = await asyncio.gather(*(one(session, number) for number in range(400)))
    assert tokens == [2] * 400
    record = provider.record()
    assert set(record.answered.values()) == {1}
    assert record.peak_in_flight > 100
    assert not record.duplicates


def _until(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)

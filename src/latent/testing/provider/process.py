"""
A simulator in a process of its own, and that process: `python -m latent.testing.provider.process`.

The two talk through the standard streams, in pickles. The process ends when its standard input does, so that
it never outlives the one that started it, however that ends.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any

from latent.errors import SimulatorError
from latent.testing.provider.behaviour import Behaviour
from latent.testing.provider.record import Record
from latent.testing.provider.service import ThreadHost

STOP_SECONDS = 10.0


class ProcessHost:
    """
    A simulator in another process.

    Raises:
        SimulatorError: The port is taken, or a function of the settings cannot be sent over.
    """

    def __init__(self, behaviour: Behaviour, port: int) -> None:
        order = _pickled((behaviour, port))
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "latent.testing.provider.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            self.port: int = self._exchange(order)
        except BaseException:
            self._end()
            raise

    def record(self) -> Record:
        copy = self._ask("record")
        assert isinstance(copy, Record)
        return copy

    def clear(self) -> None:
        self._ask("clear")

    def change(self, behaviour: Behaviour) -> None:
        self._ask("change", behaviour)

    def stop(self) -> Record:
        try:
            return self.record()
        finally:
            self._end()

    def _ask(self, what: str, *arguments: object) -> Any:
        return self._exchange(_pickled((what, *arguments)))

    def _exchange(self, message: bytes) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(message)
                self._process.stdin.flush()
                # The process is ours, and so is every byte that it sends.
                answer = pickle.load(self._process.stdout)  # noqa: S301
            except (OSError, EOFError) as error:
                code = self._process.poll()
                reason = f"its process ended with exit code {code}; what it wrote stands on stderr"
                raise SimulatorError("own_process", True, reason) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it is gone, and its pipe with it
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _pickled(order: object) -> bytes:
    # pickle would not take lambdas and functions of the main script along.
    from cloudpickle import dumps  # type: ignore[import-untyped]  # ships no types

    try:
        return bytes(dumps(order))
    except Exception as error:
        reason = f"a function of its settings cannot be sent to another process ({error})"
        raise SimulatorError("own_process", True, reason) from error


def serve(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Run a simulator as the first order says, and do what the others ask for, until there are no more."""
    try:
        behaviour, port = pickle.load(orders)  # noqa: S301  # from the process that started this one
        host = ThreadHost(behaviour, port)
    except Exception as error:
        _send(answers, error)
        return
    _send(answers, host.port)
    try:
        while True:
            what, *arguments = pickle.load(orders)  # noqa: S301
            _send(answers, getattr(host, what)(*arguments))
    except (EOFError, OSError):
        host.stop()


def _send(answers: IO[bytes], answer: object) -> None:
    answers.write(pickle.dumps(answer))
    answers.flush()


def main() -> None:
    """The process: its standard output is kept for answers, so that user functions may print."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

"""A server that answers what a test tells it to, in whatever form."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from latent.llm import Model


class Server:
    """Answers each request with one status, its headers and a document."""

    def __init__(self) -> None:
        self.status, self.headers = 200, dict[str, str]()
        self.document: Any = {}
        self.body: bytes | None = None
        """Sent as it is, in the place of the document."""
        self.answer: Callable[[Any], tuple[int, Any]] | None = None
        """Makes the status and the document, or a text, of a request's body."""
        self.requests, self.paths = 0, list[str]()
        self.bodies, self.sent_headers = list[Any](), list[dict[str, str]]()
        """What came, each with its headers, whose names are in lower case."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                outer.sent_headers.append({name.lower(): value for name, value in self.headers.items()})
                outer.requests += 1
                outer.paths.append(self.path)
                if outer.answer is not None:
                    outer.status, said = outer.answer(outer.bodies[-1])
                    outer.body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.body or json.dumps(outer.document).encode())

            def log_message(self, *args: object) -> None:
                """Nothing is printed."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def says(self, content: Any, **more: Any) -> None:
        """Answer with this content."""
        self.document = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}], **more}

    @property
    def root(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.http.server_port}"

    def model(self, spec: str = "mine:m", **options: Any) -> Model:
        """A model that asks this server."""
        return Model(spec, base_url=f"{self.root}/v1", api_key="any", **options)


@contextmanager
def scripted_server() -> Iterator[Server]:
    """A server that runs."""
    started = Server()
    thread = threading.Thread(target=started.http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield started
    finally:
        started.http.shutdown()
        thread.join()
        started.http.server_close()

"""What is told of sources without loading them, when a server answers and when it does not."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest

from latent.config import find_workspace
from latent.errors import NoDocumentsError, SourceConnectionError, UnreadableDocumentError
from latent.rag.load.files import read_source
from latent.rag.load.finding import find_documents
from latent.rag.load.loading import documents_in
from latent.rag.sources import content_fingerprints, forget_fetched, read_unchanged, vanished, was_fetched


class _Answers(BaseHTTPRequestHandler):
    """Answers `/STATUS/...` with that status, each time with another page."""

    asked = count()

    def do_GET(self) -> None:
        body = b"A page. <!-- %d -->" % next(self.asked)
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_only_what_a_server_says_is_not_there_is_gone(server, tmp_path):
    asked = [f"{server}/{status}/a.md" for status in (200, 404, 403, 500, 503)]
    assert vanished(asked, tmp_path) == [f"{server}/404/a.md"]


def test_an_address_is_found_unless_its_server_says_that_nothing_is_there(server, tmp_path):
    asked = [f"{server}/{status}/a.md{query}" for status in (200, 403, 429, 500) for query in ("", "?v=1")]
    assert find_documents(asked, root=tmp_path) == sorted(asked)
    for query in ("", "?v=1"):
        with pytest.raises(NoDocumentsError, match="look at the path and its spelling"):
            find_documents([f"{server}/404/a.md{query}"], root=tmp_path)


def test_where_no_server_answers_nothing_is_gone(server, tmp_path):
    assert vanished(["http://127.0.0.1:1/a.md", "no-such-protocol://a.md"], tmp_path) == []


def test_what_a_server_does_not_give_has_no_fingerprint(server):
    asked = {str(status): f"{server}/{status}/a.md" for status in (200, 404, 403, 503)}
    seen = content_fingerprints(asked, find_workspace())
    assert [status for status, fingerprint in seen.items() if fingerprint] == ["200"]


def test_files_of_other_file_systems_are_gone_when_they_are_not_there(tmp_path):
    import fsspec

    fsspec.filesystem("memory").pipe("/gone-or-not/here.md", b"text")
    asked = ["memory://gone-or-not/here.md", "memory://gone-or-not/away.md"]
    assert vanished(asked, tmp_path) == asked[1:]


def test_what_changed_since_it_was_looked_at_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_WORKSPACE", str(tmp_path))
    (tmp_path / "a.md").write_text("old")
    seen = content_fingerprints({"a.md": "a.md", "b.md": "b.md"}, find_workspace())
    assert read_unchanged("a.md", seen["a.md"], tmp_path) == b"old"
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("new")
        with pytest.raises(UnreadableDocumentError, match="changed while it was read"):
            read_unchanged(name, seen[name], tmp_path)


def test_a_signed_address_is_read_as_its_file_and_not_told():
    url = "https://me:secret@host/table.csv?X-Amz-Signature=abc"
    (document,) = documents_in(b"text,by\none,two\n", url)
    assert (document.source, document.title) == ("https://host/table.csv", "table, row 1")
    assert document.metadata["by"] == "two"


def test_a_page_that_differs_at_each_request_is_asked_for_once(server, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_WORKSPACE", str(tmp_path))
    url = f"{server}/200/a.md"
    before = next(_Answers.asked)
    (fingerprint,) = content_fingerprints({url: url}, find_workspace()).values()
    assert read_unchanged(url, fingerprint, tmp_path) == b"A page. <!-- %d -->" % (before + 1)
    assert next(_Answers.asked) == before + 2
    forget_fetched([fingerprint], tmp_path)
    assert not was_fetched(fingerprint, tmp_path)
    with pytest.raises(UnreadableDocumentError, match="changed while it was read"):
        read_unchanged(url, fingerprint, tmp_path)


def test_a_server_that_fails_is_told_without_what_signs_the_address(server):
    url = f"{server}/500/a.md?sig=" + "secret".upper()  # a traceback shows this line
    with pytest.raises(SourceConnectionError, match=r"/500/a.md cannot be fetched \(HTTP 500\)") as caught:
        read_source(url, Path())
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))

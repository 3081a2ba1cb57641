"""The ready flow: what lands in the index, what it costs, and that index and documents stay in step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import latent.flows.document_ingestion.flow as flow_module
import latent.rag.sources as identity_module
import latent.rag.sources as sources_module
from latent.config import Workspace, find_workspace
from latent.errors import (
    ChunkSettingError,
    ConfigValidationError,
    NoDocumentsError,
    PruneError,
    RunStoppedError,
    StoreConnectionError,
    StoreMismatchError,
    StoreRefusedError,
    UsageError,
)
from latent.flows import READY
from latent.prefect.running import run
from latent.rag import find_documents, load_document, open_store, remove_sources, retrieve
from latent.rag.stores import LanceStore
from latent.testing import PineconeSimulator
from tests.flows.conftest import DOCUMENTS, contents, prose

OPENAI = {"embedder": "openai:text-embedding-3-small", "embedder_options": {"dimensions": 64}}
AS_LONG = {**OPENAI, "embedder_options": {"dimensions": 256}}
"""Vectors of the length of those that are computed here."""
SHARED = Path(__file__).parents[3] / "shared" / "data"


def sources(store) -> Counter[str]:
    return Counter(source for source, _ in contents(store).values())


class TestWhatLands:
    def test_every_chunk_is_there_with_its_place_in_the_source(self, documents, ingest, index):
        assert ingest().value == index().count() > 2 * len(DOCUMENTS)
        for source in DOCUMENTS:
            (document,) = load_document(source, root=documents.root)
            matches = index().query([1.0] * index().dimensions, 1000, {"source": source})
            assert {m.id for m in matches} == {f"{document.hash}:{n}" for n in range(len(matches))}
            assert document.hash == hashlib.md5(document.text.encode(), usedforsecurity=False).hexdigest()
            for match in matches:
                assert document.text[match.start : match.end] == match.text
                assert len(match.text) <= 512
                assert match.metadata["title"] == f"About {source[5:-3]}"

    def test_questions_find_their_documents(self, ingest, index):
        ingest()
        for mode in ("vector", "bm25", "hybrid"):
            assert retrieve(index(), "what about bears?", 3, mode=mode)[0].source == "docs/bears.md"
        only = retrieve(index(), "bears", 3, mode="hybrid", filter={"source": "docs/figs.md"})
        assert {match.source for match in only} == {"docs/figs.md"}

    def test_running_twice_gives_the_same_index(self, ingest, index):
        first = ingest()
        before = contents(index())
        second = ingest()
        assert (second.value, contents(index())) == (first.value, before)
        assert second.counts.total() == 0  # not a task was called

    def test_equal_files_share_their_chunks_and_outlive_each_other(self, documents, ingest, index):
        copy = documents.root / "docs/zz_copy.md"
        copy.write_bytes((documents.root / "docs/bears.md").read_bytes())
        first = ingest()
        assert first.value == index().count()
        assert "docs/zz_copy.md" not in sources(index())
        (documents.root / "docs/bears.md").unlink()
        assert ingest().value == first.value
        assert sources(index())["docs/zz_copy.md"] > 0 == sources(index())["docs/bears.md"]

    def test_rows_of_a_table_are_documents(self, make_workspace, documents, ingest, index):
        make_workspace(
            {"docs/rows.jsonl": '{"text": "One row."}\n{"text": "Another."}\n{"text": "One row."}\n'}
        )
        ingest(file_paths=["docs/rows.jsonl"])
        assert sorted(text for _, text in contents(index()).values()) == ["Another.", "One row."]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("faq.csv", "question,text\nIs the sky blue?,Yes\nIs water wet?,Yes\nIs water wet?,Yes\n"),
            ("faq.jsonl", '{"question": "Is the sky blue?", "text": "Yes"}\n'
                          '{"question": "Is water wet?", "text": "Yes"}\n'),
        ],
    )  # fmt: skip
    def test_rows_that_share_a_text_are_all_kept(self, make_workspace, documents, ingest, index, name, text):
        make_workspace({f"docs/{name}": text})
        assert ingest(file_paths=[f"docs/{name}"]).value == index().count() == 2
        for question in ("Is the sky blue?", "Is water wet?"):
            (match,) = index().query("Yes", 5, {"question": question})
            assert match.text == "Yes"
        make_workspace({f"docs/{name}": text.replace("Is the sky blue?", "Is it dark?")})
        assert ingest(file_paths=[f"docs/{name}"]).value == index().count() == 2
        assert index().query("Yes", 5, {"question": "Is it dark?"})


class TestWhatItCosts:
    def test_an_unchanged_document_costs_nothing_and_a_changed_one_its_changed_chunks(
        self, documents, ingest, provider_simulator
    ):
        ingest(**OPENAI)
        first = provider_simulator.asked
        assert not provider_simulator.duplicates
        ingest(**OPENAI)
        assert provider_simulator.asked == first
        file = documents.root / "docs/cars.md"
        file.write_text(file.read_text() + "\n\n# More\n\nA sentence that was not there before.\n")
        ingest(**OPENAI)
        new = provider_simulator.asked - first
        assert 1 <= len(new) <= 2  # the last chunk may have grown, and there is a new one
        assert all("not there before" in text or "cars" in text for text in new)

    def test_texts_are_embedded_a_hundred_at_a_time(
        self, make_workspace, documents, ingest, provider_simulator
    ):
        rows = "".join(f'{{"text": "Row {number}."}}\n' for number in range(250))
        make_workspace({"docs/rows.jsonl": rows})
        assert ingest(file_paths=["docs/rows.jsonl"], **OPENAI).value == 250
        assert provider_simulator.requests == 3

    def test_another_chunk_size_leaves_nothing_of_the_old_chunks(self, ingest, index):
        ingest(chunk_size=200)
        small = contents(index())
        ingest(chunk_size=400)
        large = contents(index())
        assert len(large) < len(small)
        assert max(len(text) for _, text in large.values()) > 200
        ingest(chunk_size=200)
        assert contents(index()) == small


class TestInStep:
    def test_a_changed_document_replaces_its_chunks(self, documents, ingest, index):
        ingest()
        (documents.root / "docs/dogs.md").write_text(prose("wolves"))
        ingest()
        texts = [text for source, text in contents(index()).values() if source == "docs/dogs.md"]
        assert texts and all("wolves" in text for text in texts)

    @pytest.mark.parametrize("emptied", [False, True])
    def test_a_deleted_or_emptied_document_is_removed(self, documents, ingest, index, emptied):
        before = ingest().value
        file = documents.root / "docs/eels.md"
        file.write_text(" \n\n") if emptied else file.unlink()
        after = ingest()
        assert after.value < before
        assert set(sources(index())) == set(DOCUMENTS) - {"docs/eels.md"}

    @pytest.mark.parametrize("emptied", [False, True])
    def test_losing_much_at_once_is_refused_unless_it_is_meant(self, documents, ingest, index, emptied):
        ingest()
        before = contents(index())
        for name in ("apples", "bears", "cars"):
            file = documents.root / f"docs/{name}.md"
            file.write_text("") if emptied else file.unlink()
        with pytest.raises(PruneError, match=r"would lose 3 of its 6 sources, more than 20%") as caught:
            ingest()
        assert "max_loss=0.5" in str(caught.value)
        assert contents(index()) == before
        ingest(prune=False)
        assert contents(index()) == before
        ingest(max_loss=0.5)
        assert set(sources(index())) == {"docs/dogs.md", "docs/eels.md", "docs/figs.md"}

    @pytest.mark.parametrize("step", [1, 5, 1000])
    def test_records_that_were_deleted_by_hand_come_back_without_being_paid_for(
        self, documents, ingest, index, provider_simulator, step
    ):
        ingest(**OPENAI)
        before, requests = contents(index()), provider_simulator.requests
        index().delete(sorted(before)[::step])
        assert isinstance(ingest(**OPENAI, plan=True, fails=True).error, RunStoppedError)
        assert len(contents(index())) < len(before)
        assert ingest(**OPENAI).value == len(before)
        assert (contents(index()), provider_simulator.requests) == (before, requests)
        assert ingest(**OPENAI).counts.total() == 0

    def test_a_renamed_document_is_no_loss(self, documents, ingest, index):
        """However many: what another file of the same content keeps in the index is not lost."""
        before = ingest().value
        for name in ("apples", "bears", "cars"):
            (documents.root / f"docs/{name}.md").rename(documents.root / f"docs/new_{name}.md")
        assert ingest().value == before == index().count()
        assert sources(index())["docs/new_bears.md"] > 0 == sources(index())["docs/bears.md"]

    def test_what_was_never_complete_is_no_loss(self, documents, ingest, index, monkeypatch):
        def refuse(*_: object) -> None:
            raise StoreRefusedError("lancedb", "docs", "no more room.")

        with monkeypatch.context() as patch:
            patch.setattr(LanceStore, "upsert", refuse)
            assert "no more room" in str(ingest(fails=True).error)
        for name in ("apples", "bears", "cars"):
            (documents.root / f"docs/{name}.md").unlink()
        assert ingest().value == index().count() > 0

    def test_a_document_named_by_its_path_is_removed_when_it_is_gone(self, documents, ingest, index):
        paths = ["docs/apples.md", "docs/bears.md"]
        ingest(file_paths=paths)
        (documents.root / "docs/bears.md").unlink()
        with pytest.raises(PruneError, match="would lose 1 of its 2 sources"):
            ingest(file_paths=paths)
        ingest(file_paths=paths, max_loss=0.5)
        assert set(sources(index())) == {"docs/apples.md"}
        (documents.root / "docs/apples.md").unlink()
        assert ingest(file_paths=["docs/a*.md"], max_loss=1).value == 0 == index().count()
        with pytest.raises(NoDocumentsError):
            ingest(file_paths=["docs/a*.md"], max_loss=1)

    def test_a_document_that_is_a_folder_now_is_gone(self, documents, ingest, index):
        ingest(file_paths=["docs/**/*"])
        (documents.root / "docs/figs.md").unlink()
        (documents.root / "docs/figs.md").mkdir()
        ingest(file_paths=["docs/**/*"])
        assert set(sources(index())) == set(DOCUMENTS) - {"docs/figs.md"}

    def test_a_document_that_comes_back_after_a_killed_removal_is_there_again(
        self, documents, ingest, index, monkeypatch
    ):
        before = ingest().value
        file = documents.root / "docs/figs.md"
        file.unlink()
        write = LanceStore.write_manifest

        def killed(self, lines):
            if None in lines.values():
                raise KeyboardInterrupt
            write(self, lines)

        with monkeypatch.context() as patch:
            patch.setattr(LanceStore, "write_manifest", killed)
            with suppress(KeyboardInterrupt):
                ingest(fails=True)
        file.write_text(DOCUMENTS["docs/figs.md"])
        assert ingest().value == before == index().count()

    def test_other_files_add_to_an_index(self, make_workspace, ingest, index):
        make_workspace({"blog/one.md": "# One\n\nA post."})
        first = ingest().value
        assert ingest(file_paths=["blog/*.md"]).value == 1
        assert index().count() == first + 1

    def test_what_an_ingestion_does_not_name_is_not_its_to_remove(self, make_workspace, ingest, index):
        """Where several machines fill one index, each has only its own files."""
        make_workspace({"blog/one.md": "# One\n\nA post.", "blog/two.md": "# Two\n\nAnother."})
        ingest(file_paths=["docs/*.md", "blog/*.md"])
        before = contents(index())
        blog = find_workspace().root / "blog"
        shutil.rmtree(blog)
        ingest(max_loss=1)
        assert contents(index()) == before
        make_workspace({"blog/three.md": "# Three\n\nA third."})
        ingest(file_paths=["**/*.md"], max_loss=1)
        assert set(sources(index())) == {*DOCUMENTS, "blog/three.md"}

    def test_a_file_that_changes_while_it_is_read_is_taken_in_by_the_next_run(
        self, documents, ingest, index, monkeypatch
    ):
        file = documents.root / "docs/dogs.md"

        def seen_and_changed(paths, workspace):
            seen = sources_module.content_fingerprints(paths, workspace)
            file.write_text(prose("wolves"))
            return seen

        with monkeypatch.context() as patch:
            patch.setattr(flow_module, "content_fingerprints", seen_and_changed)
            assert ingest().counts["failed"] == 1
        assert "docs/dogs.md" not in sources(index())
        ingest()
        assert any("wolves" in text for source, text in contents(index()).values() if "dogs" in source)
        file.write_text(DOCUMENTS["docs/dogs.md"])
        ingest()
        assert not any("wolves" in text for _, text in contents(index()).values())

    def test_equal_texts_of_other_kinds_are_counted_as_they_are_cut(self, make_workspace, ingest, index):
        text = "\n\n".join(f"# Part {number}\n\n{prose('parts', 5)}" for number in range(8))
        make_workspace({"docs/a.md": text, "docs/b.txt": text})
        paths = ["docs/a.md", "docs/b.txt"]
        assert ingest(file_paths=paths).value == index().count()
        assert ingest(file_paths=paths[1:]).value == index().count()

    def test_an_unreadable_file_is_a_failed_row_and_keeps_what_it_had(self, documents, ingest, index):
        ingest()
        before = sources(index())["docs/figs.md"]
        (documents.root / "docs/figs.md").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
        (documents.root / "docs/new.md").write_text("New and readable.")
        result = ingest()
        assert (result.state, result.counts["failed"]) == ("ok", 1)
        assert sources(index())["docs/figs.md"] == before
        assert sources(index())["docs/new.md"] == 1

    @pytest.mark.parametrize(
        ("name", "text", "is_stored"),
        [
            ("big.md", f"---\nnumber: {10**30}\n---\nbody", True),
            ("pages.md", "---\npage_starts: x\n---\nbody", True),
            ("deep.jsonl", f'{{"text": "t", "m": {"[" * 300}{"]" * 300}}}\n', False),
        ],
    )
    def test_a_document_with_odd_metadata_stops_no_other(
        self, documents, ingest, index, name, text, is_stored
    ):
        ingest()
        (documents.root / f"docs/{name}").write_text(text)
        (documents.root / "docs/new.md").write_text("New and readable.")
        result = ingest()
        assert (result.state, result.counts["failed"]) == ("ok", 0 if is_stored else 1)
        assert (f"docs/{name}" in sources(index())) == is_stored
        assert sources(index())["docs/new.md"] == 1

    def test_what_the_store_would_refuse_is_a_failed_row(self, documents, ingest, monkeypatch):
        with PineconeSimulator() as pinecone:
            for key, value in pinecone.environment.items():
                monkeypatch.setenv(key, value)
            (documents.root / "docs/large.md").write_text(f"---\nnote: {'x' * 50_000}\n---\nbody")
            result = ingest(store="pinecone")
            assert (result.state, result.counts["failed"]) == ("ok", 1)
            held = pinecone.vectors("docs").values()
            assert {each["metadata"]["source"] for each in held} == set(DOCUMENTS)

    def test_a_chunk_that_is_too_long_is_a_failed_row_and_stops_no_other(
        self, documents, ingest, index, provider_simulator, caplog
    ):
        options = {**OPENAI, "chunk_size": 20_000}
        ingest(**options)
        before = contents(index())
        provider_simulator.change(context_window=3_000)
        for name in ("figs", "twin"):  # equal documents share a chunk: both are named
            (documents.root / f"docs/{name}.md").write_text("word " * 3_900)
        (documents.root / "docs/new.md").write_text("New and short.")
        for _ in range(2):
            result = ingest(**options)
            assert (result.state, result.counts["failed"]) == ("ok", 2)
            assert result.tasks["embeddable"].counts["failed"] == 2
            assert "docs/figs.md cannot be indexed: its chunk 0 (19,499 characters)" in caplog.text
            assert sources(index())["docs/new.md"] == 1
            assert before.items() <= contents(index()).items()  # also what it had of figs.md
        assert provider_simulator.answered["New and short."] == 1
        assert not provider_simulator.duplicates

    def test_sizes_that_contradict_each_other_are_told_before_anything_is_read(self, ingest):
        result = ingest(chunk_size=50, fails=True)
        assert isinstance(result.error, ChunkSettingError)
        assert result.counts.total() == 0


class TestRemote:
    @pytest.fixture
    def page(self, monkeypatch):
        """The address of a page that differs at each request, and how often it was asked for."""
        asked = []
        self.status = 200
        test = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = f"<p>Text of the page.</p><!-- {len(asked)} -->".encode()
                self.send_response(test.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/page.html", asked
            server.shutdown()
            thread.join()

    def test_a_page_that_differs_at_each_request_is_ingested(self, documents, ingest, index, page):
        url, asked = page
        assert ingest(file_paths=[url]).value == 1
        assert len(asked) == 2  # whether it is there, and what it holds
        assert set(sources(index())) == {url}
        assert not list((documents.root / ".latent/fetched").iterdir())

    def test_what_signs_an_address_stands_in_no_file(self, documents, ingest, index, page):
        url, _ = page
        assert ingest(file_paths=[f"{url}?v=1&token=SECRET"]).value == 1
        assert set(sources(index())) == {f"{url}?v=1"}
        files = [file for file in documents.root.rglob("*") if file.is_file()]
        assert not [file.name for file in files if b"SECRET" in file.read_bytes()]

    @pytest.mark.parametrize("status", [403, 429, 500])
    @pytest.mark.parametrize("query", ["", "?v=1"])
    def test_a_page_that_is_not_given_is_a_failed_row_and_stops_no_other(
        self, documents, ingest, index, page, status, query
    ):
        url = page[0] + query
        paths = [f"{url}{'&' if query else '?'}token=SECRET", "docs/a*.md"]
        before = ingest(file_paths=paths).value
        (documents.root / "docs/also.md").write_text("New and readable.")
        self.status = status
        result = ingest(file_paths=paths)
        assert (result.state, result.counts["failed"], result.value) == ("ok", 1, before + 1)
        assert (sources(index())[url], sources(index())["docs/also.md"]) == (1, 1)
        files = [file for file in documents.root.rglob("*") if file.is_file()]
        assert not [file.name for file in files if b"SECRET" in file.read_bytes()]

    def test_a_server_that_is_down_is_told_as_the_reason_of_its_row(self, documents, ingest, index):
        result = ingest(file_paths=["http://127.0.0.1:1/c.html?v=1", "docs/*.md"])
        assert (result.state, result.counts["failed"]) == ("ok", 1)
        assert set(sources(index())) == set(DOCUMENTS)
        shown = TestCommands().latent("runs", "failures", str(result.run_id))
        assert "http://127.0.0.1:1/c.html?v=1 cannot be fetched (ClientConnectorError)" in shown.stdout

    def test_a_page_that_its_server_does_not_have_is_gone(self, documents, ingest, index, page):
        ingest(file_paths=[page[0], "docs/*.md"])
        self.status = 404
        ingest(file_paths=[page[0], "docs/*.md"])
        assert set(sources(index())) == set(DOCUMENTS)


class TestAnotherEmbedder:
    def test_an_index_stays_what_it_was_until_it_has_a_vector_of_the_other(
        self, ingest, index, provider_simulator, monkeypatch
    ):
        ingest()
        before = index().read_manifest()
        monkeypatch.delenv("OPENAI_API_KEY")
        assert ingest(**AS_LONG, fails=True).error is not None
        assert index().read_manifest() == before
        assert index().query("what about bears?", 1)[0].source == "docs/bears.md"
        ingest(file_paths=["docs/a*.md"])

    def test_texts_are_not_compared_with_vectors_of_two_embedders(
        self, documents, ingest, index, provider_simulator
    ):
        ingest()
        figs = documents.root / "docs/figs.md"
        readable = figs.read_bytes()
        figs.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
        ingest(**AS_LONG)
        with pytest.raises(StoreRefusedError, match="some of its vectors are of 'local:wordllama'"):
            index().query("what about bears?", 1)
        with pytest.raises(StoreMismatchError, match="not among those that are ingested now"):
            ingest(file_paths=["docs/a*.md"])
        figs.write_bytes(readable + b"\nOne line more.\n")
        ingest(**AS_LONG)
        assert index().query("what about bears?", 1)

    def test_questions_are_embedded_with_what_ingestion_sent(self, ingest, index, provider_simulator):
        """Not every server takes a number of dimensions: who did not send one must not send it later."""
        url = provider_simulator.openai_base_url
        options = {"embedder_options": {"base_url": url.replace("http://", "http://me:secret@")}}
        ingest(embedder="mine:some-model", **options)
        (header,) = (line for name, line in index().read_manifest().items() if not name)
        note = json.loads(header)["embedder"]
        assert (note["requested"], note["base_url"]) == (None, url)
        assert note["dimensions"] == index().dimensions
        assert "secret" not in "".join(index().read_manifest().values())


class TestPlan:
    def test_a_plan_changes_nothing_and_counts_all_that_is_pending(
        self, documents, ingest, index, provider_simulator, monkeypatch
    ):
        monkeypatch.setattr(flow_module, "SOURCES_AT_ONCE", 2)
        planned = ingest(**OPENAI, plan=True, fails=True)
        assert isinstance(planned.error, RunStoppedError)
        assert not (documents.root / ".latent/lancedb").exists()
        assert provider_simulator.requests == 0
        (estimate,) = planned.cost_plan.estimates
        assert estimate.calls == 3  # a call for each wave
        ingest(**OPENAI)
        (documents.root / "docs/dogs.md").write_text(prose("wolves"))
        before = (index().read_manifest(), contents(index()), provider_simulator.requests)
        assert ingest(**OPENAI, plan=True, fails=True).cost_plan.estimates[0].calls == 1
        assert (index().read_manifest(), contents(index()), provider_simulator.requests) == before

    def test_a_plan_of_what_is_in_step_is_empty(self, ingest, index):
        done = ingest()
        planned = ingest(plan=True)
        assert (planned.value, planned.cost_plan.estimates) == (done.value, [])

    def test_a_plan_with_free_embeddings_changes_nothing_either(self, documents, ingest, index):
        ingest()
        before = index().read_manifest()
        (documents.root / "docs/dogs.md").write_text(prose("wolves"))
        ingest(plan=True, fails=True)
        assert index().read_manifest() == before


class TestWrongInput:
    def test_a_misspelt_option_of_the_embedder_is_told(self, ingest):
        with pytest.raises(UsageError, match="no option 'dimension': did you mean 'dimensions'"):
            ingest(embedder_options={"dimension": 256})

    def test_what_is_missing_is_said(self, ingest):
        for missing in ({"file_paths": []}, {"index_name": ""}):
            with pytest.raises(UsageError, match="-p index_name=docs"):
                ingest(**missing)

    def test_a_pattern_without_files_is_an_error(self, documents, ingest):
        with pytest.raises(NoDocumentsError, match="nothing"):
            ingest(file_paths=["docs/*.md", "nothing/*.md"])
        assert not list((documents.root / ".latent").glob("lancedb/docs.lance"))
        ingest()
        with pytest.raises(NoDocumentsError, match="nothing"):
            ingest(file_paths=["docs/*.md", "nothing/*.md"])

    def test_an_index_of_other_vectors_is_refused_before_anything_is_paid(self, ingest, provider_simulator):
        ingest()
        with pytest.raises(StoreMismatchError, match="vectors of 256 numbers, not for vectors of 64"):
            ingest(**OPENAI)
        assert provider_simulator.requests == 0

    def test_another_embedder_needs_all_sources(self, make_workspace, ingest, provider_simulator, index):
        options = {"embedder_options": {"dimensions": 256}}
        make_workspace({"blog/one.md": "# One\n\nA post."})
        ingest(file_paths=["docs/*.md", "blog/*.md"])
        other = {"embedder": "openai:text-embedding-3-small", **options}
        with pytest.raises(StoreMismatchError, match="not among those that are ingested now"):
            ingest(**other)
        assert provider_simulator.requests == 0
        ingest(file_paths=["docs/*.md", "blog/*.md"], **other)
        assert sum(provider_simulator.asked.values()) == index().count()

    @pytest.mark.parametrize(
        ("name", "value", "bound"),
        [
            ("max_loss", 20, "less than or equal to 1"),
            ("max_loss", -0.5, "greater than or equal to 0"),
            ("remember_loaded_hours", -1, "greater than or equal to 0"),
            ("remember_chunks_days", -0.1, "greater than or equal to 0"),
            ("max_loss", float("nan"), "less than or equal to 1"),
        ],
    )
    def test_what_cannot_be_is_refused_from_python_as_on_the_command_line(
        self, documents, ingest, index, name, value, bound
    ):
        ingest()
        before = contents(index())
        for document in ("apples", "bears", "cars", "dogs"):
            (documents.root / f"docs/{document}.md").unlink()
        with pytest.raises(ConfigValidationError, match=rf"{name}: .*{bound} .*got {value:g}.*, from Python"):
            flow_module.document_ingestion(["docs/*.md"], "docs", **{name: value})
        assert contents(index()) == before
        with pytest.raises(ConfigValidationError, match=rf"{name}: .*{bound} .*got {value:g}"):
            ingest(**{name: value})

    def test_a_misspelt_parameter_is_told(self, documents):
        result = run(documents, "document_ingestion", {"chunk_sise": 5}, ready=READY)
        assert "chunk_sise" in str(result.error) and "chunk_size" in str(result.error)


class TestTrouble:
    @pytest.fixture
    def pinecone(self, monkeypatch):
        with PineconeSimulator() as simulator:
            for name, value in simulator.environment.items():
                monkeypatch.setenv(name, value)
            yield simulator

    def test_a_store_that_vanishes_midway_costs_nothing(self, ingest, pinecone, provider_simulator):
        """The run fails clearly; the next one pays for no embedding again and ends where it should."""
        options = {"store": "pinecone", "chunk_size": 100, "overlap": 0, **OPENAI}
        pinecone.fail_next([200] * 0)
        ingest(**options, file_paths=["docs/a*.md"])
        pinecone.fail_next([503] * 200)
        result = ingest(**options, fails=True)
        assert isinstance(result.error, (StoreConnectionError, ExceptionGroup))
        assert "cannot be reached" in str(result.error)
        pinecone.fail_next([])
        pinecone._service.failing.clear()
        final = ingest(**options)
        assert len(pinecone.vectors("docs")) == final.value
        assert not provider_simulator.duplicates

    @pytest.mark.chaos
    def test_a_killed_ingestion_is_completed_by_the_next(
        self, documents, ingest, make_provider_simulator, index
    ):
        """After kill -9 between embedding and writing, the index ends where it would have."""
        slow = make_provider_simulator(latency=0.5)
        options = {**OPENAI, "chunk_size": 100, "overlap": 0}
        arguments = [
            f"{name}={json.dumps(value)}" for name, value in {**options, "index_name": "docs"}.items()
        ]
        command = [sys.executable, "-m", "latent", "run", "document_ingestion", "-p", "file_paths=docs/*.md"]
        process = subprocess.Popen([*command, *(part for each in arguments for part in ("-p", each))])
        deadline = time.monotonic() + 60
        while not slow.answered and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        final = ingest(**options)
        assert index().count() == final.value
        assert set(sources(index())) == set(DOCUMENTS)

    def test_two_ingestions_at_once_lose_nothing(self, documents, index):
        command = [sys.executable, "-m", "latent", "run", "document_ingestion", "-p", "index_name=docs", "-p"]
        halves = ("file_paths=docs/[a-c]*.md", "file_paths=docs/[c-f]*.md")
        both = [subprocess.Popen([*command, half], stderr=subprocess.PIPE, text=True) for half in halves]
        errors = [process.communicate(timeout=120)[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], errors
        assert set(sources(index())) == set(DOCUMENTS)

    def test_an_ingestion_that_waits_for_another_says_for_whom(self, ingest, index):
        ingest()
        command = [sys.executable, "-m", "latent", "run", "document_ingestion", "-p", "file_paths=docs/*.md"]
        with index().lock():
            waiting = subprocess.Popen(
                [*command, "-p", "index_name=docs"],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            assert waiting.stderr is not None
            line = next(line for line in waiting.stderr if "waits" in line)
        said = waiting.communicate(timeout=120)[1]
        assert f"Process {os.getpid()} is changing the index 'docs': this one waits" in line
        assert (waiting.returncode, "waits" in said) == (0, False)

    def test_pinecone_and_pgvector_hold_what_lancedb_holds(
        self, ingest, index, pinecone, postgres, documents
    ):
        (documents.root / "docs/nul.md").write_text('---\ntitle: "a\\0b"\n---\nWhat PostgreSQL refuses.')
        ingest()
        expected = contents(index())
        ingest(store="pinecone")
        held = pinecone.vectors("docs")
        assert {id: (v["metadata"]["source"], v["metadata"]["text"]) for id, v in held.items()} == expected
        options = {"url": postgres, "schema": "flows"}
        ingest(store="pgvector", store_options=options)
        store = open_store("pgvector", "docs", create=False, root=documents.root, **options)
        assert contents(store) == expected
        assert store.query("what about bears?", 1)[0].source == "docs/bears.md"
        store.close()


class TestReaders:
    """What reads a file is a part of what its chunks depend on."""

    @pytest.fixture
    def told(self, caplog):
        """What was logged, in one text."""
        caplog.set_level("INFO")
        return lambda: "\n".join(record.getMessage() for record in caplog.records)

    def test_another_edition_of_a_reader_reads_again_and_a_plan_says_so_first(
        self, documents, ingest, provider_simulator, monkeypatch, told
    ):
        (documents.root / "docs/page.html").write_text("<p>A page.</p>")
        before = ingest(**OPENAI)
        asked = provider_simulator.asked
        # As after an upgrade: the installed packages say another version.
        monkeypatch.setattr(identity_module, "EDITION", 99)
        ingest(plan=True, fails=True, **OPENAI)
        assert "6 unchanged sources are read again: by latent+99, which was latent+" in told()
        assert "1 unchanged sources are read again: by html-to-markdown-" in told()
        result = ingest(**OPENAI)
        assert result.value == before.value
        assert result.counts.total() > 14  # loaded and cut, as the plan did
        assert provider_simulator.asked == asked  # equal texts are not paid again
        assert ingest(**OPENAI).counts.total() == 0

    def test_indexes_of_before_readers_were_written_down_are_read_again_once(self, ingest, index, told):
        ingest()
        store = index()
        lines = {s: json.loads(line) for s, line in store.read_manifest().items() if s != "\0header"}
        lines = {s: line for s, line in lines.items() if "content" in line}
        old = {s: json.dumps(line | {"content": line["content"].split(" ")[0]}) for s, line in lines.items()}
        store.write_manifest(old)
        assert ingest().counts["ok"] > 0
        assert "6 unchanged sources are read again: by latent+2, which was an earlier one." in told()
        assert ingest().counts.total() == 0

    def test_the_field_of_the_text_can_be_named_and_changed(self, make_workspace, documents, ingest, index):
        make_workspace({"docs/rows.csv": "id,question,answer\n1,Why?,So.\n2,When?,Now.\n"})
        options = {"file_paths": ["docs/rows.csv"], "title_field": "id"}
        ingest(text_field="question", **options)
        assert sorted(text for _, text in contents(index()).values()) == ["When?", "Why?"]
        ingest(text_field="answer", **options)
        assert sorted(text for _, text in contents(index()).values()) == ["Now.", "So."]
        [match] = index().query("Now", 5, {"title": "2"})
        assert match.text == "Now."

    def test_numbers_of_a_csv_are_found_by_filters(self, make_workspace, documents, ingest, index):
        make_workspace({"docs/p.csv": "text,price,zip\nA lamp,9.50,01234\nA chair,120,00017\n"})
        ingest(file_paths=["docs/p.csv"])
        assert [m.text for m in index().query("x", 5, {"price": {"$gt": 50}})] == ["A chair"]
        assert [m.text for m in index().query("x", 5, {"zip": "01234"})] == ["A lamp"]

    def test_the_encoding_can_be_said(self, documents, ingest, index):
        (documents.root / "docs/a.txt").write_bytes("Łódź leży w Polsce".encode("cp852"))
        ingest(file_paths=["docs/a.txt"], encoding="cp852")
        assert [text for _, text in contents(index()).values()] == ["Łódź leży w Polsce"]
        with pytest.raises(UsageError, match="there is no such encoding: did you mean 'cp1250'"):
            ingest(file_paths=["docs/a.txt"], encoding="cp12500")

    def test_files_are_read_by_functions_of_the_workspace(self, make_workspace, documents, ingest, index):
        reader = "def read(data, source):\n    return 'Shapes: ' + data.decode()[::-1]\n"
        make_workspace({"my_drawings.py": reader, "docs/plan.vsdx": "esuoh A"})
        options = {"file_paths": ["docs/plan.vsdx"], "loaders": {".vsdx": "my_drawings:read"}}
        ingest(**options)
        assert [text for _, text in contents(index()).values()] == ["Shapes: A house"]
        with pytest.raises(UsageError, match="'my_drawings:raed' is not found as module:function"):
            ingest(file_paths=["docs/plan.vsdx"], loaders={".vsdx": "my_drawings:raed"})
        with pytest.raises(UsageError, match=r"'vsdx' is not a suffix in small letters, such as '\.vsdx'"):
            ingest(file_paths=["docs/plan.vsdx"], loaders={"vsdx": "my_drawings:read"})

    def test_a_reader_of_the_users_own_that_changes_reads_again(self, documents, index):
        (documents.root / "docs/a.x").write_text("text")
        first, second = (lambda data, source: "one " + data.decode()), (lambda data, source: "two")
        for reader, text in ((first, "one text"), (second, "two"), (first, "one text")):
            flow_module.document_ingestion(["docs/a.x"], "docs", loaders={".x": reader})
            assert [text for _, text in contents(index()).values()] == [text]

    def test_pages_that_are_scans_are_told(self, documents, ingest, told):
        scan = Path(__file__).parents[1] / "rag/load/pdf/mixed-scan.pdf"
        shutil.copy(scan, documents.root / "docs/contract.pdf")
        ingest(file_paths=["docs/*.pdf"])
        assert "docs/contract.pdf: pages without text, only with pictures, which are left out: 2-4." in told()


class TestRemoval:
    def test_sources_go_by_prefix_and_what_others_share_with_them_stays(self, documents, ingest, index):
        for name in ("old/a.md", "old/bears.md", "older.md"):
            (documents.root / "docs" / name).parent.mkdir(exist_ok=True)
            (documents.root / "docs" / name).write_text(f"# {name}\n\nText of {name}.")
        shutil.copy(documents.root / "docs/bears.md", documents.root / "docs/old/bears.md")
        ingest()
        before = sources(index())
        assert remove_sources(index(), "docs/old/") == ["docs/old/a.md", "docs/old/bears.md"]
        after = sources(index())
        assert after == before - Counter({"docs/old/a.md": 1})
        assert set(index().read_manifest()).isdisjoint({"docs/old/a.md", "docs/old/bears.md"})
        assert remove_sources(index(), "docs/old/") == []
        with pytest.raises(UsageError, match="an empty prefix"):
            remove_sources(index(), "")

    def test_sources_that_a_link_made_before_go(self, documents, ingest, index):
        """An index of when links to a folder above were followed forty times."""
        ingest(file_paths=["docs/bears.md"])
        (documents.root / "docs/loop").symlink_to(".")
        ingest(file_paths=["docs/loop/bears.md"], prune=False)
        ingest(file_paths=["docs/loop/cars.md"], prune=False)
        assert len(index().read_manifest()) == 4
        ingest(max_loss=1)
        named = set(index().read_manifest())
        assert set(DOCUMENTS) <= named
        assert len(named) == 7


class TestCommands:
    def latent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "latent", *arguments], capture_output=True, text=True, timeout=120
        )

    def test_it_runs_in_any_workspace_and_can_be_copied_out(self, documents: Workspace, index):
        done = self.latent(
            "run", "document_ingestion", "-p", 'file_paths=["docs/**/*.md"]', "-p", "index_name=docs"
        )
        assert done.returncode == 0, done.stderr
        count = index().count()
        assert count > 0
        copied = self.latent("new", "flow", "ingest_mine", "--from", "document_ingestion")
        assert copied.returncode == 0, copied.stderr
        assert '@flow("ingest_mine"' in (documents.root / "flows/ingest_mine/flow.py").read_text()
        mine = self.latent("run", "ingest_mine", "-p", "file_paths=docs/**/*.md", "-p", "index_name=mine")
        assert mine.returncode == 0, mine.stderr
        assert open_store("lancedb", "mine", create=False, root=documents.root).count() == count

    def test_a_misspelt_flow_is_told_with_the_ready_ones(self, documents):
        done = self.latent("run", "document_ingestoin")
        assert done.returncode == 2 or "did you mean 'document_ingestion'?" in done.stderr
        assert "did you mean 'document_ingestion'?" in done.stderr
        keyword = self.latent("new", "flow", "class", "--from", "document_ingestion")
        assert "say 'class_flow'" in keyword.stderr
        other = self.latent("new", "flow", "mine", "--from", "document_ingest")
        assert "did you mean 'document_ingestion'?" in other.stderr


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not here")
class TestBrokenFiles:
    def test_all_of_them_are_read_or_refused_and_none_ends_the_run(self, documents, ingest, index):
        folder = documents.root / "nasty"
        folder.symlink_to(SHARED / "nasty")
        listed = json.loads((SHARED / "nasty" / "MANIFEST.json").read_text(encoding="utf-8"))
        files = [each["path"] for each in (listed["files"] if isinstance(listed, dict) else listed)]
        paths = [f"nasty/{path}" for path in files]
        result = ingest(file_paths=paths)
        assert result.state == "ok"
        assert index().count() == result.value
        assert ingest(file_paths=paths).value == result.value

    def test_odd_names_are_kept_apart(self, documents, ingest, index):
        maker = SHARED / "nasty" / "make_odd_names.py"
        subprocess.run(
            [sys.executable, str(maker), str(documents.root / "odd")], check=True, capture_output=True
        )
        found = find_documents(["odd/**/*", "odd/**/.*"], root=documents.root)
        result = ingest(file_paths=["odd/**/*", "odd/**/.*"])
        assert (result.state, result.value) == ("ok", index().count())
        assert len(index().read_manifest()) == len(found) + 1 - result.counts["failed"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_in_no_encoding_ends_no_ingestion(documents, ingest, index):
    folder = os.fsencode(documents.root / "docs")
    with open(os.path.join(folder, b"caf\xe9.md"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(b"# Menu\n\nCoffee and cake.\n")
    result = ingest()
    assert (result.state, result.counts["failed"]) == ("ok", 0)
    assert sources(index())["docs/caf\\xe9.md"] == 1
    assert ingest().value == result.value
    os.unlink(os.path.join(folder, b"caf\xe9.md"))  # noqa: PTH108, PTH118
    ingest()
    assert "docs/caf\\xe9.md" not in sources(index())

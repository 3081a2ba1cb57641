"""Chunks: full, whole where the text is, and together all of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.errors import ChunkSettingError
from latent.rag import Chunk, Document, chunk_document, find_documents, load_document

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "corpus"


def rebuilt(chunks: Sequence[Chunk], length: int) -> str:
    """A text of blanks, with each chunk written where it says that it lies."""
    page = [" "] * length
    for chunk in chunks:
        page[chunk.start : chunk.end] = chunk.text
    return "".join(page)


def is_all_of(document: Document, chunks: Sequence[Chunk]) -> bool:
    """Whether chunks hold every character of a text that is not a blank, in its place and in order."""
    text = document.text
    in_place = all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    in_order = all(one.start < two.start and one.end < two.end for one, two in itertools.pairwise(chunks))
    blank = "".join(letter if not letter.isspace() else " " for letter in text)
    again = "".join(letter if not letter.isspace() else " " for letter in rebuilt(chunks, len(text)))
    return in_place and in_order and again == blank


def markdown(text: str) -> Document:
    return Document.of(text, source="page.md", media_type="text/markdown")


def texts(document: Document, **options: object) -> list[str]:
    return [chunk.text for chunk in chunk_document(document, **options)]  # type: ignore[arg-type]


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared data is not here")
@pytest.mark.parametrize(
    "options", [{}, {"chunk_size": 200, "overlap": 0}, {"chunk_size": 90, "overlap": 60}]
)
def test_every_document_of_the_corpus_is_rebuilt_from_its_chunks(options):
    sources = find_documents(["**/*.md", "**/*.rst", "**/*.html"], root=CORPUS)
    assert len(sources) == 346
    for source in sources[:: 1 if not options else 7]:
        [document] = load_document(source, root=CORPUS)
        chunks = chunk_document(document, **options)
        assert is_all_of(document, chunks), source
        assert all(len(chunk.text) <= options.get("chunk_size", 512) for chunk in chunks)


PIECES = st.sampled_from([
    "word ", "Another one. ", "\n", "\n\n", "# Heading\n", "- item\n", "```\n", "| a | b |\n", "====\n",
    "    ", "x" * 40, "\u00e9\u0302", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u4e2d\u6587\u3002",
    ".. note::\n", "a::\n",
])  # fmt: skip
KINDS = st.sampled_from(["text/plain", "text/markdown", "text/x-rst", "text/x-code"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40), KINDS, st.integers(1, 60), st.integers(0, 59))
def test_no_text_is_lost_whatever_it_is(pieces, kind, chunk_size, overlap):
    document = Document.of("".join(pieces), source="x", media_type=kind)
    overlap = min(overlap, chunk_size - 1)
    chunks = chunk_document(document, chunk_size=chunk_size, overlap=overlap)
    assert is_all_of(document, chunks)
    assert all(0 < len(chunk.text) <= chunk_size for chunk in chunks)
    assert all(one.end - two.start <= overlap for one, two in itertools.pairwise(chunks))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(3, 60), min_size=1, max_size=60), st.integers(40, 200))
def test_a_sentence_is_not_cut_when_its_border_lies_in_the_second_half(lengths, chunk_size):
    text = " ".join("S" + "a" * (length - 2) + "." for length in lengths)
    chunks = chunk_document(Document.of(text, source="x"), chunk_size=chunk_size, overlap=0)
    for chunk in chunks[:-1]:
        window = text[chunk.start : chunk.start + chunk_size + 1]
        if window.rfind(". ") + 1 > chunk_size // 2:
            assert chunk.text.endswith(".")


def test_ids_are_made_of_the_texts_hash_and_the_index():
    # md5 of "One. Two." by `printf 'One. Two.' | md5sum`
    [first, second] = chunk_document(
        Document.of("One. Two.", source="a.txt", title="A"), chunk_size=5, overlap=0
    )
    assert first.id == "118c588f3bf26778ba9d300d88b0e722:0"
    assert (first.chunk_index, second.chunk_index) == (0, 1)
    assert (first.source, first.metadata) == ("a.txt", {"title": "A"})
    assert second.id == "118c588f3bf26778ba9d300d88b0e722:1"


def test_a_chunk_ends_with_a_section_when_one_ends_in_its_second_half():
    section = "# One\n\n" + "Words of it. " * 20
    assert texts(markdown(section + "\n\n# Two\n\nMore. And more.\n"), chunk_size=280, overlap=30) == [
        section.strip(),
        "# Two\n\nMore. And more.",  # and a new section repeats nothing of the one before
    ]


def test_a_heading_stays_with_its_text():
    text = "Intro sentence here. " * 10 + "\n\n## Heading\n\n" + "Body sentence here. " * 10
    for size in range(60, 260, 7):
        assert not any(
            each.endswith("## Heading") for each in texts(markdown(text), chunk_size=size, overlap=10)
        )


def test_wrapped_lines_are_no_ends_of_sentences():
    text = "This sentence is wrapped\nover two lines by hand. The second one\nis wrapped, too, as you see."
    assert texts(markdown(text), chunk_size=60, overlap=0) == [
        "This sentence is wrapped\nover two lines by hand.",
        "The second one\nis wrapped, too, as you see.",
    ]


def test_code_is_cut_between_its_lines_and_its_comments_are_no_headings():
    code = "```python\n" + "".join(f"# step {n}\nvalue_{n} = compute({n})\n" for n in range(30)) + "```\n"
    chunks = texts(markdown("# Title\n\nHere it is:\n\n" + code), chunk_size=120, overlap=0)
    assert all(line in code.split("\n") for chunk in chunks[1:] for line in chunk.split("\n"))


def test_rows_of_tables_and_list_items_stay_whole():
    rows = [f"| row {n} | some value of it {n} |" for n in range(20)]
    assert all(
        line in rows
        for chunk in texts(markdown("\n".join(rows)), chunk_size=100)
        for line in chunk.split("\n")
    )
    items = [f"- item {n} which says a thing or two" for n in range(20)]
    chunks = texts(markdown("\n".join(items)), chunk_size=100, overlap=0)
    assert all(line in items for chunk in chunks for line in chunk.split("\n"))


def test_sections_of_restructuredtext_are_seen():
    section = "First\n=====\n\n" + "Text of the first. " * 12
    document = Document.of(section + "\n\nSecond\n------\n\nText.\n", source="x.rst", media_type="text/x-rst")
    assert texts(document, chunk_size=260, overlap=40) == [section.strip(), "Second\n------\n\nText."]


def test_overlap_repeats_whole_sentences():
    text = "Alpha is one. Beta is two. Gamma is three. Delta is four. Epsilon is five."
    chunks = texts(Document.of(text, source="x"), chunk_size=45, overlap=20)
    assert chunks == [
        "Alpha is one. Beta is two. Gamma is three.",
        "Gamma is three. Delta is four.",
        "Delta is four. Epsilon is five.",
    ]


def test_a_long_sentence_is_cut_behind_a_word_and_never_within_a_character():
    words = " ".join(["word"] * 100)
    assert {
        word
        for chunk in texts(Document.of(words, source="x"), chunk_size=33, overlap=9)
        for word in chunk.split()
    } == {"word"}
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"  # one character to its readers, five to Python
    chunks = texts(Document.of(family * 30, source="x"), chunk_size=18, overlap=0)
    assert all(chunk == family * 3 for chunk in chunks)


def test_tokens_are_counted_by_the_bundled_vocabulary():
    pytest.importorskip("wordllama")
    from latent.rag.chunk.chunking import tokenizer_of

    text = "Every sentence has some tokens in it. " * 60
    chunks = texts(Document.of(text, source="x"), chunk_size=50, overlap=10, unit="tokens")
    counts = [len(tokenizer_of(None)(chunk)) for chunk in chunks]
    assert max(counts) <= 52
    assert min(counts[:-1]) > 25
    assert is_all_of(
        Document.of(text, source="x"), chunk_document(Document.of(text, source="x"), unit="tokens")
    )


def test_tokens_may_be_ones_own():
    def letters(text: str) -> list[tuple[int, int]]:
        return [(index, index + 1) for index in range(len(text))]

    document = Document.of("One two. Three four. Five six.", source="x")
    assert texts(document, chunk_size=20, overlap=0, unit="tokens", tokenizer=letters) == texts(
        document, chunk_size=20, overlap=0
    )


def test_chunks_of_a_pdf_know_their_page():
    document = Document.of("First page.\nSecond page.", source="x.pdf", page_starts=[0, 12])
    pages = [chunk.metadata for chunk in chunk_document(document, chunk_size=13, overlap=0)]
    assert pages == [{"title": "x.pdf", "page": 1}, {"title": "x.pdf", "page": 2}]


@pytest.mark.parametrize("text", ["", " \n\t\n\u3000"])
def test_what_holds_no_text_has_no_chunks(text):
    assert chunk_document(Document.of(text, source="x")) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunk_size": 0}, "chunk_size=0"),
        ({"chunk_size": 100, "overlap": 100}, "less than chunk_size=100"),
        ({"overlap": -1}, "overlap=-1"),
        ({"unit": "words"}, "'characters' or in 'tokens'"),
        ({"unit": "tokens", "tokenizer": "/no/such/tokenizer.json"}, "cannot be read as a tokenizer.json"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(ChunkSettingError, match=words):
        chunk_document(Document.of("Text.", source="x"), **options)

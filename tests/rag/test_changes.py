"""What must change in an index, decided on plain values: whatever happens, it ends where it should."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from latent.rag.changes import (
    Changes,
    Line,
    Wanted,
    changes_for,
    doubted,
    is_current,
    losses,
    records_of,
    vectors_of,
)
from latent.rag.documents import Chunk, chunk_id


def wanted(content: str, documents: Mapping[str, int], source: str = "s", settings: str = "512") -> Wanted:
    """What a source is to hold: numbers of chunks by document."""
    return Wanted(
        content=content,
        settings=settings,
        documents={
            hash: [
                Chunk(
                    id=chunk_id(hash, n),
                    text=f"{hash} {n} {settings}",
                    source=source,
                    chunk_index=n,
                    start=n,
                    end=n,
                )
                for n in range(count)
            ]
            for hash, count in documents.items()
        },
    )


class Index:
    """A store in memory, on which changes are carried out step by step, or up to a step."""

    def __init__(self) -> None:
        self.records: dict[str, Chunk] = {}
        self.lines: dict[str, Line] = {}

    def carry_out(self, changes: Changes, steps: int = 4) -> None:
        if steps >= 1:
            self.lines |= changes.intents
        if steps >= 2:
            self.records |= {chunk.id: chunk for chunk in changes.write}
        if steps >= 3:
            for id in changes.obsolete:
                self.records.pop(id, None)
        if steps >= 4:
            for source, line in changes.lines.items():
                if line is None:
                    self.lines.pop(source, None)
                else:
                    self.lines[source] = line

    def bring_to(self, state: Mapping[str, Wanted], crash_after: int | None = None) -> None:
        """
        As the flow does it: what is pending, what is gone, and what inherits from that.

        Args:
            crash_after: The steps that are taken: four for what is pending, four for what is gone.
        """
        for _ in range(2):
            pending = {
                s: w for s, w in state.items() if not is_current(self.lines.get(s), w.content, w.settings)
            }
            left = 8 if crash_after is None else crash_after
            self.carry_out(changes_for(self.lines, pending), min(4, left))
            if left < 4:
                return
            self.carry_out(changes_for(self.lines, {}, gone_of(self.lines, state)), left - 4)
            if crash_after is not None:
                return


def gone_of(lines: Mapping[str, Line], state: Mapping[str, Wanted]) -> list[str]:
    return sorted(set(lines) - set(state))


def check(index: Index, state: Mapping[str, Wanted]) -> None:
    """The index holds each document as one of its sources has it cut, and nothing else."""
    hashes = {hash for each in state.values() for hash in each.documents}
    expected = {}
    for hash in hashes:
        owner = index.records[chunk_id(hash, 0)].source
        expected |= {chunk.id: (owner, chunk.text) for chunk in state[owner].documents[hash]}
    assert {id: (chunk.source, chunk.text) for id, chunk in index.records.items()} == expected
    assert vectors_of(index.lines, state) == len(expected)
    assert set(index.lines) == set(state)


def test_a_new_source_is_written_and_an_unchanged_one_costs_nothing():
    index, state = Index(), {"a.md": wanted("v1", {"h1": 3}, "a.md")}
    index.bring_to(state)
    check(index, state)
    changes = changes_for(index.lines, {})
    assert (changes.write, changes.obsolete, changes.lines, changes.intents) == ((), (), {}, {})


def test_a_changed_source_is_written_before_its_old_chunks_go():
    index = Index()
    index.bring_to({"a.md": wanted("v1", {"h1": 2}, "a.md")})
    changes = changes_for(index.lines, {"a.md": wanted("v2", {"h2": 1}, "a.md")})
    assert [chunk.id for chunk in changes.write] == ["h2:0"]
    assert changes.obsolete == ("h1:0", "h1:1")
    index.carry_out(changes, steps=2)
    assert set(index.records) == {"h1:0", "h1:1", "h2:0"}
    assert changes.intents["a.md"].documents == {"h1": 2, "h2": 1}
    assert not changes.intents["a.md"].content


def test_fewer_chunks_of_the_same_document_leave_none_of_the_old_ones():
    index = Index()
    index.bring_to({"a.md": wanted("v1", {"h1": 5}, "a.md")})
    state = {"a.md": wanted("v1", {"h1": 2}, "a.md", settings="1024")}
    index.bring_to(state)
    check(index, state)


def test_equal_texts_are_stored_once_and_outlive_the_source_that_owned_them():
    index = Index()
    both = {name: wanted("v1", {"same": 2}, name) for name in ("a.md", "b.md")}
    index.bring_to(both)
    assert {chunk.source for chunk in index.records.values()} == {"a.md"}
    assert vectors_of(index.lines, both) == 2
    only = {"b.md": both["b.md"]}
    index.bring_to(only)
    check(index, only)


def test_a_source_that_is_not_ingested_now_keeps_what_it_shares():
    """Another ingestion's source borrows; when the owner goes, chunks stay and it is due to write them."""
    index = Index()
    index.bring_to({name: wanted("v1", {"same": 1}, name) for name in ("a.md", "b.md")})
    index.carry_out(changes_for(index.lines, {}, ["a.md"]))
    assert set(index.records) == {"same:0"}
    assert not index.lines["b.md"].content


def test_losses_count_sources_that_have_something():
    lines = {
        "a": Line(content="1", documents={"h": 2}),
        "b": Line(content="1", documents={"i": 1}),
        "blank": Line(content="1"),
    }
    assert losses(lines, ["a", "blank"], ["b", "never"]) == (["a", "b"], 2)


def test_what_another_source_keeps_or_was_never_complete_is_no_loss():
    lines = {
        "a": Line(content="1", settings="s", documents={"h": 2}),
        "copy of a": Line(content="1", settings="s", documents={"h": 2}, borrowed=frozenset({"h"})),
        "begun": Line(settings="s", documents={"i": 1}),
        "interrupted": Line(documents={"k": 1}),
    }
    gone = ["a", "begun", "interrupted"]
    assert losses(lines, gone, [], ["copy of a"]) == (["interrupted"], 3)
    assert losses(lines, [*gone, "copy of a"], [], ["copy of a"])[0] == ["a", "copy of a", "interrupted"]


def test_a_gone_source_that_comes_back_after_a_crash_is_written_again():
    """A process that died after its chunks had begun to go left a line that does not look complete."""
    index, state = Index(), {"a.md": wanted("v1", {"h1": 2}, "a.md")}
    index.bring_to(state)
    index.carry_out(changes_for(index.lines, {}, ["a.md"]), steps=3)
    index.bring_to(state)
    check(index, state)


def test_many_sources_are_planned():
    """Time grows with the sources, not with their square: 20,000 lines would take minutes."""
    lines = {f"{n}": Line(content="c", settings="512", documents={f"h{n}": 1, "shared": 1},
                          borrowed=frozenset({"shared"} if n else ())) for n in range(20_000)}  # fmt: skip
    many = {f"new {n}": wanted("c", {f"new {n}": 1, "shared": 1}, f"new {n}") for n in range(500)}
    assert len(changes_for(lines, many).write) == 500


def test_lines_come_back_from_the_manifest():
    line = Line(content="c", settings="s", documents={"h": 2, "ü": 0}, borrowed=frozenset({"h"}))
    assert Line.of_text(line.to_text()) == line


SOURCES = ["a", "b", "c", "d"]
documents = st.dictionaries(st.sampled_from(["h1", "h2", "h3"]), st.integers(0, 3), max_size=3)
cuts = st.sampled_from(["512", "256"])


@st.composite
def states(draw: st.DrawFn) -> dict[str, Wanted]:
    """What all sources are to hold; a document in `c` or `d` is cut into a chunk more than in `a` or `b`."""
    cut = draw(cuts)
    counts = draw(documents)
    chosen: Iterable[str] = draw(st.lists(st.sampled_from(SOURCES), unique=True))
    state = {}
    for source in chosen:
        own = {hash: n + (source > "b") for hash, n in counts.items() if n and draw(st.booleans())}
        state[source] = wanted(f"{sorted(own.items())}", own, source, settings=cut)
    return state


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(states(), st.sampled_from([*range(9), None])), max_size=5), states())
def test_a_crash_between_any_two_steps_heals_on_the_next_run(history, last):
    index = Index()
    for state, crash_after in history:
        index.bring_to(state, crash_after)
    index.bring_to(last)
    check(index, last)
    before = dict(index.records)
    index.bring_to(last)
    assert index.records == before


@settings(max_examples=200, deadline=None)
@given(states(), st.data())
def test_records_that_were_deleted_by_hand_are_written_again(state, data):
    index = Index()
    index.bring_to(state)
    assert records_of(index.lines) == len(index.records)
    assert doubted(index.lines, index.records) == index.lines
    deleted = data.draw(st.sets(st.sampled_from(sorted(index.records)))) if index.records else set()
    for id in deleted:
        del index.records[id]
    index.lines = doubted(index.lines, index.records)
    # Only some of the sources are ingested at first: another machine's may be due as well.
    here = data.draw(st.sets(st.sampled_from(sorted(state)))) if state else set()
    pending = {s: w for s, w in state.items() if not is_current(index.lines[s], w.content, w.settings)}
    index.carry_out(changes_for(index.lines, {s: w for s, w in pending.items() if s in here}))
    documents = [each for source in here for each in index.lines[source].documents.items()]
    held = {chunk_id(hash, n) for hash, count in documents for n in range(count)}
    assert held <= index.records.keys()
    index.bring_to(state)
    check(index, state)


def test_a_source_that_lacks_a_record_still_counts_as_one_that_was_complete():
    index = Index()
    index.bring_to({"a": wanted("c", {"h": 2})})
    lines = doubted(index.lines, ["h:0"])
    assert not is_current(lines["a"], "c", "512")
    assert losses(lines, ["a"], []) == (["a"], 1)
    (begun,) = changes_for(lines, {"a": wanted("c", {"h": 2})}).intents.values()
    assert losses({"a": begun}, ["a"], []) == (["a"], 1)

"""
What must change in an index, so that it holds what its documents say now: decided from its manifest.

The manifest has a line for each source. A change goes in four steps: the lines say what will be held beside
what is, and that it is not complete; new chunks are written; those that nobody holds any more go; the lines
say what is held now. Whatever step a crash comes after, the next run knows from the lines all ids that may be
in the index, and does again what is not known to be complete. Everything here computes on plain values;
`latent.rag.index_sync` carries it out on a store.

Sources of equal text share its chunks, since equal documents have equal ids. One of them owns the records and
stands in them as `source`; when it goes, another takes over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from latent.rag.documents import Chunk, chunk_id
from latent.rag.stores.embedding import HEADER


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the manifest says of one source."""

    content: str = ""
    """`content_of` the file that its chunks were made of; empty while they are not known to be complete."""
    settings: str = ""
    """What else they depend on: how they were cut and embedded; empty while that is not one thing."""
    documents: Mapping[str, int] = field(default_factory=dict)
    """How many chunks of each document, by its hash, may be in the index."""
    borrowed: frozenset[str] = frozenset()
    """Those of the documents whose records are another source's."""

    def to_text(self) -> str:
        """The line as the store keeps it."""
        values = {
            "content": self.content,
            "settings": self.settings,
            "documents": dict(self.documents),
            "borrowed": sorted(self.borrowed),
        }
        return orjson.dumps(values).decode()

    @classmethod
    def of_text(cls, text: str) -> Line:
        """A line as the store kept it."""
        values: dict[str, Any] = orjson.loads(text)
        return cls(**values | {"borrowed": frozenset(values["borrowed"])})


Lines = Mapping[str, Line]
"""The manifest: lines by source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a source is to contribute from now on."""

    content: str
    settings: str
    documents: Mapping[str, Sequence[Chunk]] = field(default_factory=dict)
    """The chunks of each of its documents, by hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What brings an index to where it is wanted, in the order of the fields."""

    intents: Mapping[str, Line]
    """Lines to write before anything else."""
    write: tuple[Chunk, ...]
    """Chunks to embed and write."""
    obsolete: tuple[str, ...]
    """Ids to delete then."""
    lines: Mapping[str, Line | None]
    """Lines to write at last; None removes one."""


def content_of(fingerprint: str, reader: str) -> str:
    """What a source holds for its reader; empty when it cannot be read."""
    return f"{fingerprint} {reader}" if fingerprint else ""


def fingerprint_in(content: str) -> str:
    """The fingerprint of the file alone."""
    return content.partition(" ")[0]


def reader_in(content: str) -> str:
    """What reads or read the file; empty in lines of before readers were written down."""
    return content.partition(" ")[2]


def lines_of(manifest: Mapping[str, str]) -> dict[str, Line]:
    """The lines of all sources."""
    return {source: Line.of_text(text) for source, text in manifest.items() if source != HEADER}


def is_current(line: Line | None, content: str, settings: str) -> bool:
    """Whether a source needs nothing."""
    return line is not None and bool(content) and (line.content, line.settings) == (content, settings)


def changes_for(lines: Lines, wanted: Mapping[str, Wanted], gone: Iterable[str] = ()) -> Changes:
    """
    What must be done so that the sources of `wanted` contribute that, and those of `gone` nothing.

    Args:
        lines: The manifest as it is.
        wanted: By source; those that are not named stay as they are.
    """
    gone = sorted(set(gone) & lines.keys())
    # Of those that change, records are about to be written again: nobody can borrow from what they were.
    plan = _Plan({s: line for s, line in lines.items() if s not in wanted and s not in gone})
    write: list[Chunk] = []
    for source in sorted(wanted):
        own = plan.add(source, wanted[source])
        write += [chunk for hash in own for chunk in wanted[source].documents[hash]]
    after = plan.lines
    before = {source: line for source, line in lines.items() if after.get(source) != line}
    plan.appoint_heirs(before)
    changed = {s: after.get(s) for s in {*lines, *after} if after.get(s) != lines.get(s)}
    return Changes(
        intents={s: _both(lines.get(s), after[s]) for s in sorted(wanted)}
        # One that comes back unchanged must not look complete once its chunks have begun to go.
        | {s: replace(lines[s], content="") for s in gone},
        write=tuple(write),
        obsolete=_obsolete(before, after),
        lines=dict(sorted(changed.items())),
    )


def records_of(lines: Lines) -> int:
    """How many records an index has that holds what its lines say."""
    return vectors_of(lines, lines)


def doubted(lines: Lines, ids: Iterable[str]) -> dict[str, Line]:
    """
    The lines, of which those are due again that lack a record: it was deleted by other means.

    All that share it are: whichever comes first writes it, and the others find it there.

    Args:
        ids: Of the records that the index has.
    """
    there = set(ids)
    counts: dict[str, int] = {}
    for line in lines.values():
        for hash, count in line.documents.items():
            counts[hash] = max(count, counts.get(hash, 0))
    lacking = {h for h, n in counts.items() if any(chunk_id(h, index) not in there for index in range(n))}
    return {
        # Without settings, it still counts as one that was complete; what was only begun is due already.
        source: replace(line, content="", settings="")
        if line.content and not lacking.isdisjoint(line.documents)
        else line
        for source, line in lines.items()
    }


def losses(
    lines: Lines, gone: Iterable[str], emptied: Iterable[str], kept: Iterable[str] = ()
) -> tuple[list[str], int]:
    """
    The sources whose documents the index would lose, and how many have something now.

    Args:
        kept: Sources that stay: a document that one of them has as well is not lost.
    """
    having = {source: line for source, line in lines.items() if _has_something(line)}
    going = {*gone, *emptied}
    held = {
        hash for source in kept if source in lines and source not in going for hash in lines[source].documents
    }
    lost = [
        s for s in having.keys() & going if any(n and h not in held for h, n in having[s].documents.items())
    ]
    return sorted(lost), len(having)


def vectors_of(lines: Lines, sources: Iterable[str]) -> int:
    """How many vectors of an index belong to these sources; what they share counts once."""
    held = {hash: n for source in sources if source in lines for hash, n in lines[source].documents.items()}
    return sum(held.values())


def _has_something(line: Line) -> bool:
    """Whether a source ever had all of its chunks in the index: what was only begun is not a loss."""
    was_complete = bool(line.content) or not line.settings
    return was_complete and any(line.documents.values())


class _Plan:
    """
    The lines as they will be, while sources are added one by one.

    Who holds and who owns a document is looked up: with many sources, going through all lines for each of
    them takes longer than embedding them.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = dict(lines)
        self._holders: dict[str, list[str]] = {}
        self._owners: dict[str, list[str]] = {}
        for source, line in lines.items():
            self._note(source, line)

    def add(self, source: str, wanted: Wanted) -> list[str]:
        """Give a source its new line; the hashes of the documents that it writes itself."""
        own = {hash: len(chunks) for hash, chunks in wanted.documents.items() if chunks}
        owners = {hash: self._owner(hash, wanted.settings) for hash in own}
        # As many as the owner's: a text is cut otherwise where it is Markdown than where it is not.
        counts = {
            hash: count if (owner := owners[hash]) is None else owner.documents[hash]
            for hash, count in own.items()
        }
        borrowed = frozenset(hash for hash, owner in owners.items() if owner is not None)
        line = Line(content=wanted.content, settings=wanted.settings, documents=counts, borrowed=borrowed)
        written = [hash for hash in counts if hash not in borrowed]
        for hash in written:
            self._correct_counts(hash, line)
        self.lines[source] = line
        self._note(source, line)
        return written

    def appoint_heirs(self, before: Lines) -> None:
        """Where the owner of shared records is gone, the first of the others is due to write them again."""
        released = {h for line in before.values() for h in line.documents if h not in line.borrowed}
        for hash in sorted(released - self._owners.keys()):
            if heirs := self._holders.get(hash):
                heir = self.lines[min(heirs)]
                self.lines[min(heirs)] = replace(heir, content="", borrowed=heir.borrowed - {hash})

    def _note(self, source: str, line: Line) -> None:
        for hash in line.documents:
            self._holders.setdefault(hash, []).append(source)
            if hash not in line.borrowed:
                self._owners.setdefault(hash, []).append(source)

    def _owner(self, hash: str, settings: str) -> Line | None:
        """The line of a source that has all records of a document, made as the settings say."""
        lines = (self.lines[source] for source in self._owners.get(hash, ()))
        return next((line for line in lines if line.content and line.settings == settings), None)

    def _correct_counts(self, hash: str, line: Line) -> None:
        """
        Sources whose shared chunks are overwritten have as many now; those of other settings are due again.
        """
        count = line.documents[hash]
        for source in self._holders.get(hash, ()):
            other = self.lines[source]
            content = other.content if other.settings == line.settings else ""
            if (other.content, other.documents[hash]) != (content, count):
                documents = {**other.documents, hash: count}
                self.lines[source] = replace(other, content=content, documents=documents)


def _obsolete(before: Lines, after: Lines) -> tuple[str, ...]:
    """Ids that lines held and none holds any more."""
    held: dict[str, int] = {}
    for line in after.values():
        for hash, count in line.documents.items():
            held[hash] = max(count, held.get(hash, 0))
    lost: dict[str, int] = {}
    for line in before.values():
        for hash, count in line.documents.items():
            lost[hash] = max(count, lost.get(hash, 0))
    return tuple(
        chunk_id(hash, index) for hash, count in lost.items() for index in range(held.get(hash, 0), count)
    )


def _both(old: Line | None, new: Line) -> Line:
    """While a source changes, its line says all that may be in the index, and that it is not complete."""
    if old is None:
        return replace(new, content="")
    hashes = [*old.documents, *(hash for hash in new.documents if hash not in old.documents)]
    counts = {h: max(old.documents.get(h, 0), new.documents.get(h, 0)) for h in hashes}
    # Started over, a source that never was complete still never was.
    settings = new.settings if not old.content and old.settings == new.settings else ""
    return Line(settings=settings, documents=counts, borrowed=old.borrowed & new.borrowed)

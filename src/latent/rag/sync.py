"""
An index kept in step with its documents: what each source contributed, and what must change.

The manifest has a line for each source. A change goes in four steps: the lines say what will be held beside
what is; new chunks are written; those that nobody holds any more go; the lines say what is held now. Whatever
step a crash comes after, the next run knows from the lines all ids that may be in the index, and does again
what is not known to be complete. Everything here computes on plain values; `latent.rag.syncing` acts.

Sources of equal text share its chunks, since equal texts have equal ids. One of them owns the records and
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
    """Fingerprint of the file that its chunks were made of; empty while they are not known to be complete."""
    settings: str = ""
    """What else they depend on: how they were cut and embedded."""
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
    after = dict(lines)
    for source in gone:
        after.pop(source, None)
    # Their records are about to be written anew: nobody can borrow from what they were.
    for source in wanted:
        after.pop(source, None)
    write: list[Chunk] = []
    for source in sorted(wanted):
        line, own = _contribution(source, wanted[source], after)
        _correct_counts(after, line, own)
        after[source] = line
        write += [chunk for hash in own for chunk in wanted[source].documents[hash]]
    before = {source: line for source, line in lines.items() if after.get(source) != line}
    _appoint_heirs(after, before)
    changed = {s: after.get(s) for s in {*lines, *after} if after.get(s) != lines.get(s)}
    return Changes(
        intents={s: _both(lines.get(s), after[s]) for s in sorted(wanted)},
        write=tuple(write),
        obsolete=_obsolete(before, after),
        lines=dict(sorted(changed.items())),
    )


def losses(lines: Lines, gone: Iterable[str], emptied: Iterable[str]) -> tuple[list[str], int]:
    """The sources that would lose all they have, and how many have something now."""
    having = {source for source, line in lines.items() if any(line.documents.values())}
    return sorted(having.intersection([*gone, *emptied])), len(having)


def vectors_of(lines: Lines, sources: Iterable[str]) -> int:
    """How many vectors of an index belong to these sources; what they share counts once."""
    held = {hash: n for source in sources if source in lines for hash, n in lines[source].documents.items()}
    return sum(held.values())


def _contribution(source: str, wanted: Wanted, others: Lines) -> tuple[Line, list[str]]:
    """A source's new line, and the hashes of the documents that it writes itself."""
    own = {hash: len(chunks) for hash, chunks in wanted.documents.items() if chunks}
    owned_elsewhere = {
        hash: count
        for line in others.values()
        if line.content and line.settings == wanted.settings
        for hash, count in line.documents.items()
        if hash not in line.borrowed
    }
    # As many as the owner's: a text is cut otherwise where it is Markdown than where it is not.
    counts = {hash: owned_elsewhere.get(hash, count) for hash, count in own.items()}
    borrowed = frozenset(own) & owned_elsewhere.keys()
    line = Line(content=wanted.content, settings=wanted.settings, documents=counts, borrowed=borrowed)
    return line, [hash for hash in counts if hash not in borrowed]


def _correct_counts(after: dict[str, Line], line: Line, own: Iterable[str]) -> None:
    """Sources whose shared chunks are overwritten have as many now; those of other settings are due again."""
    own = set(own)
    for source, other in list(after.items()):
        shared = {hash: line.documents[hash] for hash in other.documents if hash in own}
        if shared:
            content = other.content if other.settings == line.settings else ""
            after[source] = replace(other, content=content, documents={**other.documents, **shared})


def _appoint_heirs(after: dict[str, Line], before: Lines) -> None:
    """Where the owner of shared records is gone, the first of the others is due to write them anew."""
    released = {h for line in before.values() for h in line.documents if h not in line.borrowed}
    owned = {h for line in after.values() for h in line.documents if h not in line.borrowed}
    for hash in sorted(released - owned):
        heir = min((source for source, line in after.items() if hash in line.documents), default=None)
        if heir is not None:
            after[heir] = replace(after[heir], content="", borrowed=after[heir].borrowed - {hash})


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
    return Line(documents=counts, borrowed=old.borrowed & new.borrowed)

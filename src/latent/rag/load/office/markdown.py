"""
What docling-rs says of a document, as Markdown.

It gives the JSON of docling's `DoclingDocument`: lists of texts, groups, tables and pictures, which refer to
each other. docling's own writer takes ten times as long as reading, and leaves out names of sheets and notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_BLANKS = re.compile(r"\s+")
_FENCE = re.compile(r"`{3,}")


class Reading(NamedTuple):
    """A document, read."""

    text: str
    title: str | None
    """What its first heading says."""
    pictures: int


def reading_of(document: dict[str, Any], *, spaced: bool) -> Reading:
    """
    The Markdown of a docling document.

    Args:
        spaced: Whether pieces of one line have lost the blanks around them.
    """
    writer = _Writer(document, " " if spaced else "")
    text = "\n\n".join(block for block in writer.blocks(document["body"]) if block.strip())
    notes = "\n\n".join(writer.notes())
    text = "\n\n".join(filter(None, (text, notes)))
    return Reading(f"{text}\n" if text else "", writer.title, len(document["pictures"]))


class _Writer:
    def __init__(self, document: dict[str, Any], blank: str) -> None:
        self._document, self._blank = document, blank
        self._seen: set[str] = set()
        self._top = 1 + any(each["label"] == "title" for each in document["texts"])
        self.title: str | None = None

    def blocks(self, node: dict[str, Any]) -> Iterator[str]:
        """The blocks of what stands in a node, in its order."""
        for child in self._children(node):
            yield from self._block(child)

    def notes(self) -> Iterator[str]:
        """The footnotes, which docling keeps apart from the text."""
        for text in self._document["texts"]:
            if text["label"] == "footnote" and text["self_ref"] not in self._seen:
                yield text["text"].strip()

    def _children(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for reference in node["children"]:
            path = reference["$ref"]
            kind, index = path.split("/")[1:]
            child = self._document[kind][int(index)]
            if path not in self._seen and self._is_said(child, node):
                self._seen.add(path)
                yield child

    def _is_said(self, node: dict[str, Any], parent: dict[str, Any]) -> bool:
        """Headers, footers and comments are beside the text; a speaker's notes are text."""
        layer = node.get("content_layer", "body")
        is_note = layer == "notes" and parent["label"] == "chapter" and node["label"] != "comment_section"
        return bool(layer == "body" or is_note)

    def _block(self, node: dict[str, Any]) -> Iterator[str]:
        label = node["label"]
        if label == "inline":
            yield self._line(node)
        elif label in ("list", "ordered_list"):
            yield "\n".join(self._items(node, 0))
        elif "data" in node and "table_cells" in node["data"]:
            yield from self._captions(node)
            yield self._table(node)
        elif label in ("picture", "chart"):
            yield from self._captions(node)
            described = (node.get("meta") or {}).get("description") or {}
            yield described.get("text", "").strip()
            yield from self.blocks(node)
        elif "text" in node:
            yield self._text(node)
            yield from self.blocks(node)
        else:
            name = node.get("name", "").removeprefix("sheet: ")
            inner = list(self.blocks(node))
            if name and inner and (label == "sheet" or name != node["name"]):
                yield f"## {name}"
            yield from inner

    def _text(self, node: dict[str, Any]) -> str:
        label, text = node["label"], node["text"].strip("\n")
        if label in ("title", "section_header"):
            heading = _BLANKS.sub(" ", text).strip()
            self.title = self.title or heading or None
            level = 1 if label == "title" else node.get("level", 1) + self._top - 1
            return f"{'#' * min(6, level)} {heading}" if heading else ""
        if label == "list_item":
            return f"{_marker(node)} {text.strip()}"
        if label == "code":
            fence = "`" * max(3, *(len(found) + 1 for found in [*_FENCE.findall(text), ""]))
            return f"{fence}\n{text}\n{fence}" if text.strip() else ""
        raised = (node.get("formatting") or {}).get("script") == "super"
        return f"^{text}" if raised and not text.startswith("^") else text.strip() if self._blank else text

    def _line(self, node: dict[str, Any]) -> str:
        """The pieces of a line that docling keeps apart: formulas, say."""
        line = ""
        for child in self._children(node):
            piece = self._line(child) if "text" not in child else child["text"]
            if (child.get("formatting") or {}).get("script") == "super":
                line, piece = line.rstrip(), f"^{piece.lstrip('^')}"
            elif line and piece and not line[-1].isspace() and not piece[0].isspace():
                line += self._blank
            line += piece
        return line.strip()

    def _items(self, node: dict[str, Any], depth: int) -> Iterator[str]:
        for child in self._children(node):
            if child["label"] in ("list", "ordered_list"):
                yield from self._items(child, depth + 1)
                continue
            if child["label"] != "list_item":
                yield from (f"\n{block}" for block in self._block(child) if block.strip())
                continue
            inner = [*self._children(child)]
            said = child["text"].strip()
            rest = []
            for each in inner:
                if not said and each["label"] in ("inline", "text"):
                    said = self._line(each) if each["label"] == "inline" else each["text"].strip()
                else:
                    rest.append(each)
            if said:
                yield f"{'  ' * depth}{_marker(child)} {said}"
            for each in rest:
                if each["label"] in ("list", "ordered_list"):
                    yield from self._items(each, depth + 1)
                else:
                    yield from (f"\n{block}" for block in self._block(each) if block.strip())

    def _captions(self, node: dict[str, Any]) -> Iterator[str]:
        yield from (
            self._text(each) for each in self._children({**node, "children": node.get("captions", ())})
        )

    def _table(self, node: dict[str, Any]) -> str:
        rows: dict[int, dict[int, str]] = {}
        for cell in node["data"]["table_cells"]:
            text = _BLANKS.sub(" ", " ".join(self._cell(cell, node))).strip().replace("|", "\\|")
            if text:
                rows.setdefault(cell["start_row_offset_idx"], {})[cell["start_col_offset_idx"]] = text
        if not rows:
            return ""
        width = 1 + max(max(row) for row in rows.values())
        lines = [
            f"| {' | '.join(row.get(column, '') for column in range(width))} |"
            for _, row in sorted(rows.items())
        ]
        return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])

    def _cell(self, cell: dict[str, Any], table: dict[str, Any]) -> Iterator[str]:
        """What a cell says, in pieces: its text, or what stands in it, which may be a table."""
        if "ref" in cell:
            yield from self._words({**table, "children": [cell["ref"]]})
        else:
            yield cell["text"]

    def _words(self, node: dict[str, Any]) -> Iterator[str]:
        for child in self._children(node):
            if "data" in child and "table_cells" in child["data"]:
                for cell in child["data"]["table_cells"]:
                    yield from self._cell(cell, child)
            elif child["label"] == "inline":
                yield self._line(child)
            else:
                yield child.get("text", "")
                yield from self._words(child)


def _marker(item: dict[str, Any]) -> str:
    return (item.get("marker") or "1.") if item.get("enumerated") else "-"

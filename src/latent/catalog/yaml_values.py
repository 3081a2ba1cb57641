"""YAML as data: plain values only, and nothing that would be lost or grow without end."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from latent.catalog.reading import UnreadableFileError

MOST_VALUES = 10_000_000
"""Values a file may stand for with its aliases written out; a few lines could stand for billions."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(text: str) -> Any:
    """
    The value of a YAML text; None when it is empty.

    Raises:
        UnreadableFileError: It is not YAML or not plain data, has a key twice, contains itself, or is made
            huge by aliases; with the line.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, set(), {})
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise UnreadableFileError(f"{error.problem or error.context}.", line) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableFileError(
            f"the character {chr(error.character)!r} is not allowed in YAML.", line
        ) from error
    except RecursionError as error:
        raise UnreadableFileError("nested too deeply to be read.") from error
    except ValueError as error:
        raise UnreadableFileError(
            f"a value cannot be read: {error}; put it in quotes if it is text."
        ) from error
    finally:
        if loader is not None:
            loader.dispose()


def _check(node: Node, opened: set[int], sizes: dict[int, int]) -> int:
    """How many values `node` stands for; refuses what PyYAML lets pass."""
    if isinstance(node, ScalarNode):
        return 1
    line = node.start_mark.line + 1
    if id(node) in opened:
        raise UnreadableFileError("this value contains itself.", line)
    if id(node) not in sizes:
        opened.add(id(node))
        if isinstance(node, MappingNode):
            _refuse_duplicates(node)
            children = [child for pair in node.value for child in pair]
        else:
            children = node.value
        sizes[id(node)] = 1 + sum(_check(child, opened, sizes) for child in children)
        opened.remove(id(node))
    if sizes[id(node)] > MOST_VALUES:
        raise UnreadableFileError(f"aliases make this stand for {sizes[id(node)]:,} values.", line)
    return sizes[id(node)]


def _refuse_duplicates(node: MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if (key.tag, key.value) in seen:
                raise UnreadableFileError(
                    f"the key {key.value!r} stands there twice.", key.start_mark.line + 1
                )
            seen.add((key.tag, key.value))

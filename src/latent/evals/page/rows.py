"""
The rows of an evaluation, packed for the page.

One block holds what the table shows of all rows, in columns; blocks of `BLOCK_ROWS` rows hold the details,
which the page unpacks when one of them is opened. Long texts that several rows share, as retrieved passages
are, stand in a block of their own, once: deflate looks back 32 kB only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latent.evals.evaluation import Evaluation

BLOCK_ROWS = 250
SHOWN_CHARS = 160
"""Of inputs and outputs in the table, which is also what the search looks at."""
LONG_CHARS = 200
"""Texts of this length that stand in several rows are kept once."""
KEY_CHARS = 16

Mask = Callable[[str], str]


def packed(evaluation: Evaluation, mask: Mask) -> dict[str, str]:
    """
    The blocks by name, each JSON, deflated, in base64: `table`, `shared`, and `rows-0` and so on.

    Args:
        mask: Takes secrets out of texts.
    """
    lines = evaluation.rows_table.to_pylist()
    row_id = evaluation.about["data"]["row_id"]
    details = [
        _detail(line, scores, row_id) for line, scores in zip(lines, _scores(evaluation, lines), strict=True)
    ]
    shared = _Shared(details)
    blocks = [details[at : at + BLOCK_ROWS] for at in range(0, len(details), BLOCK_ROWS)]
    found = {"table": _pack(_table(evaluation, lines, details), mask)}
    found |= {f"rows-{number}": _pack(shared.replaced(block), mask) for number, block in enumerate(blocks)}
    found["shared"] = _pack(shared.texts, mask)
    return found


def _pack(content: Any, mask: Mask) -> str:
    text = mask(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 9)).decode()


def _scores(evaluation: Evaluation, lines: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The scores of each line."""
    columns = ["id", "repeat", "metric", "value", "label", "outcome", "reason", "answer", "evidence"]
    by_row: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for score in evaluation.scores_table.select(columns).to_pylist():
        place = by_row[score.pop("id"), score.pop("repeat")]
        label = score.pop("label")
        if label is not None:
            score["value"] = label
        place.append({name: value for name, value in score.items() if value is not None})
    return (by_row[line["id"], line["repeat"]] for line in lines)


def _detail(line: dict[str, Any], scores: list[dict[str, Any]], row_id: str) -> dict[str, Any]:
    kept = (
        "id", "repeat", "expected", "output", "outcome", "error_type", "error", "attempts", "model",
        "finish_reason", "input_tokens", "output_tokens", "latency_seconds", "answer_cost_usd",
    )  # fmt: skip
    found = {name: line[name] for name in kept if line[name] is not None}
    inputs = {name: value for name, value in json.loads(line["input"]).items() if name != row_id}
    return {**found, "input": inputs, "scores": scores}


def _table(
    evaluation: Evaluation, lines: list[dict[str, Any]], details: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the table shows, a list for each column."""
    metrics = [name for name, metric in evaluation.metrics.items() if not metric.is_derived]
    values: dict[str, list[Any]] = {name: [None] * len(lines) for name in metrics}
    for place, detail in enumerate(details):
        for score in detail["scores"]:
            if score["metric"] in values:
                # None: missing. "n/a" is no value: the scorer does not apply, and nothing is missing.
                is_apart = score["outcome"] == "not_applicable"
                values[score["metric"]][place] = {"na": 1} if is_apart else score.get("value")
    flaky = {name for metric in evaluation.metrics.values() for name in metric.flaky}
    slices = evaluation.about["slice_columns"]
    return {
        "size": BLOCK_ROWS,
        "metrics": [_described(evaluation, name) for name in metrics],
        "id": [line["id"] for line in lines],
        "repeat": [line["repeat"] for line in lines],
        "outcome": [line["outcome"] for line in lines],
        "input": [_shown(detail["input"]) for detail in details],
        "output": [(line["output"] or line["error"] or "")[:SHOWN_CHARS] for line in lines],
        "values": values,
        "flaky": [place for place, line in enumerate(lines) if line["id"] in flaky],
        "slices": {name: [_text(detail["input"].get(name)) for detail in details] for name in slices},
        "key": [content_key(line["input"], line["output"]) for line in lines],
    }


def content_key(input_json: str, output: str | None) -> str:
    """What a mark belongs to: it expires when the input or the answer is another one."""
    content = json.dumps([input_json, output], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:KEY_CHARS]


def _described(evaluation: Evaluation, name: str) -> dict[str, Any]:
    metric = evaluation.metrics[name]
    return {"name": name, "kind": metric.kind, "scale": metric.scale, "higher": metric.higher_is_better}


def _shown(values: dict[str, Any]) -> str:
    """A row's columns in a line; a single one without its name."""
    texts = [
        _text(value) if len(values) == 1 else f"{name}: {_text(value)}" for name, value in values.items()
    ]
    return " · ".join(texts)[:SHOWN_CHARS]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class _Shared:
    """Long texts that stand in several rows: each once, and a reference where they stood."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        counts = Counter(text for detail in details for text in set(_long_texts(detail["input"])))
        self.texts = [text for text, count in counts.items() if count > 1]
        self._places = {text: place for place, text in enumerate(self.texts)}

    def replaced(self, value: Any) -> Any:
        if isinstance(value, str):
            place = self._places.get(value) if len(value) >= LONG_CHARS else None
            return value if place is None else {"$shared": place}
        if isinstance(value, dict):
            return {name: self.replaced(inner) for name, inner in value.items()}
        return [self.replaced(inner) for inner in value] if isinstance(value, list) else value


def _long_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= LONG_CHARS:
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _long_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _long_texts(inner)

"""
Results of promptfoo: what `promptfoo eval -o results.json` writes.

A file holds a table of tests by columns, and a column is a prompt with a provider: each is an evaluation.
Format: `EvaluateSummaryV3` in promptfoo's `src/types/index.ts`, version 0.121.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latent.errors import ImportedResultsError
from latent.evals.imports.rows import EXPECTED, ID, Imported, ImportedRow, ImportedScorer, number_or_text
from latent.evals.scoring import Score

TOOL = "promptfoo"
NEWEST = 3
"""The version of the format that this reads."""
PASS = "pass"  # noqa: S105  # a metric's name
_ERROR = 2
"""`failureReason` of a test without an answer; 1 is one that an assertion failed."""
_GRADED = ("llm-rubric", "model-graded-closedqa", "factuality", "g-eval", "answer-relevance")
_COLUMN_CHARS = 60


def read_promptfoo(path: Path, label: str, column: int | None) -> Imported:
    """
    The evaluation of one column.

    Its metrics are `pass`, and one for each assertion: by its `metric`, else by its type.

    Args:
        column: Which one, from 0; None where there is only one.

    Raises:
        ImportedResultsError: It holds several columns and none was named, or no such one, or is not a file of
            promptfoo's, or of another version.
    """
    content = _content(path, label)
    columns = _columns(content)
    if column is None and len(columns) > 1:
        listed = "".join(f"\n  {number}  {text}" for number, text in columns.items())
        raise ImportedResultsError(
            TOOL,
            label,
            f"it holds {len(columns)} evaluations, prompts by providers: say --column N{listed}\n",
        )
    chosen = next(iter(columns)) if column is None else column
    if chosen not in columns:
        raise ImportedResultsError(TOOL, label, f"it has no column {chosen}: there are {[*columns]}")
    lines = [line for line in content["results"] if line.get("promptIdx") == chosen]
    rows = list(_rows(lines))
    provider, prompt = lines[0].get("provider") or {}, lines[0].get("prompt") or {}
    return Imported(
        tool=TOOL,
        file=label,
        name=TOOL,
        target=str(provider.get("label") or provider.get("id") or "unknown"),
        about={"model": provider.get("id"), "prompt": prompt.get("label"), "column": chosen},
        rows=rows,
        scorers=list(_scorers(lines, rows)),
    )


def _content(path: Path, label: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise ImportedResultsError(TOOL, label, f"it is not a whole JSON document: {error}") from error
    content = document.get("results") if isinstance(document, dict) else None
    if not isinstance(content, dict) or not isinstance(content.get("results"), list):
        raise ImportedResultsError(
            TOOL, label, "it lacks `results.results`: write it with promptfoo eval -o FILE.json"
        )
    version = content.get("version")
    if version != NEWEST:
        raise ImportedResultsError(
            TOOL, label, f"it has version {version!r} of the format, and {NEWEST} is the one known here"
        )
    if not content["results"]:
        raise ImportedResultsError(TOOL, label, "it holds no rows")
    return content


def _columns(content: Mapping[str, Any]) -> dict[int, str]:
    """What each column is, by its number."""
    found: dict[int, str] = {}
    for line in content["results"]:
        provider, prompt = line.get("provider") or {}, line.get("prompt") or {}
        name = provider.get("label") or provider.get("id") or "?"
        text = " ".join(str(prompt.get("label", "")).split())[:_COLUMN_CHARS]
        found.setdefault(int(line.get("promptIdx", 0)), f"{name}: {text}")
    return dict(sorted(found.items()))


def _rows(lines: Sequence[Mapping[str, Any]]) -> Iterator[ImportedRow]:
    asked: Counter[str] = Counter()
    for line in lines:
        name = str(line.get("testIdx"))
        response, usage = line.get("response") or {}, line.get("tokenUsage") or {}
        latency, error = line.get("latencyMs"), None
        if line.get("failureReason") == _ERROR or response.get("output") is None:
            error = str(line.get("error") or "promptfoo has no output of it")
        columns = {key: value for key, value in (line.get("vars") or {}).items() if key not in (ID, "output")}
        if description := (line.get("testCase") or {}).get("description"):
            columns.setdefault("description", description)
        yield ImportedRow(
            id=name,
            repeat=asked[name],
            values={EXPECTED: None, **columns},
            prompt=(line.get("prompt") or {}).get("raw"),
            output=response.get("output"),
            error=error,
            known={
                "latency_seconds": None if latency is None or error is not None else latency / 1000,
                "cost_usd": line.get("cost"),
                "input_tokens": usage.get("prompt"),
                "output_tokens": usage.get("completion"),
                "finish_reason": response.get("finishReason"),
            },
            scores={} if error is not None else dict(_scores(line)),
        )
        asked[name] += 1


def _scores(line: Mapping[str, Any]) -> Iterator[tuple[str, Score]]:
    graded = line.get("gradingResult") or {}
    yield PASS, Score(float(bool(line.get("success"))), reason=graded.get("reason") or line.get("error"))
    named = _named([each.get("assertion") or {} for each in graded.get("componentResults") or ()])
    for metric, each in zip(named, graded.get("componentResults") or (), strict=True):
        value = number_or_text(each.get("score"))
        yield metric, Score(value, reason=each.get("reason"), abstained=value is None)


def _named(assertions: Sequence[Mapping[str, Any]]) -> list[str]:
    """A metric for each assertion of a test; of several of one name, the later ones are numbered."""
    seen: Counter[str] = Counter()
    names = []
    for each in assertions:
        name = str(each.get("metric") or each.get("type") or "assertion")
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def _scorers(lines: Sequence[Mapping[str, Any]], rows: Sequence[ImportedRow]) -> Iterator[ImportedScorer]:
    kinds: dict[str, set[str]] = {PASS: {"all assertions"}}
    for line in lines:
        assertions = (line.get("testCase") or {}).get("assert") or []
        for name, each in zip(_named(assertions), assertions, strict=True):
            kinds.setdefault(name, set()).add(str(each.get("type")))
    for metric in dict.fromkeys(metric for row in rows for metric in row.scores):
        types = sorted(kinds.get(metric, ()))
        graded = [each for each in types if each.removeprefix("not-") in _GRADED]
        judge = {"model": "unknown", "rubric": ", ".join(graded)} if graded else None
        yield ImportedScorer(name=metric, metrics=[metric], identity={"types": types}, judge=judge)

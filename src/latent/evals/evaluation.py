"""`Evaluation`: what came of an evaluation, in memory or read from a run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.errors import EvaluationNotFoundError
from latent.errors.text import did_you_mean
from latent.evals.metrics import Metric
from latent.evals.records import evaluations_in, frame_column, read, read_answered, utf8

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

    from latent.evals.answering import Answered
    from latent.evals.comparing.gates import GateReport
    from latent.evals.scoring import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an evaluation cost, in US dollars."""

    answers_usd: float
    """Paid for answers in this run."""
    judges_usd: float
    """Paid for judges in this run."""
    saved_usd: float
    """What answers from memory cost when they were made."""
    answers_reused: int
    """Answers that were remembered."""
    unpriced: int
    """Answers whose price is not known: unknown is not free."""

    @property
    def total_usd(self) -> float:
        """Paid in this run."""
        return self.answers_usd + self.judges_usd


class Evaluation:
    """
    An evaluation: its metrics, rows and scores.

    `print(evaluation)` shows the table of metrics; in a notebook it shows itself.
    """

    def __init__(
        self, about: Mapping[str, Any], rows: pa.Table, scores: pa.Table, folder: Path | None
    ) -> None:
        self.about = about
        """What was evaluated: `evaluation.json`."""
        self.rows_table, self.scores_table = rows, scores
        self.folder = folder
        """Where it is written; None for a plan."""

    @property
    def name(self) -> str:
        return str(self.about["name"])

    @property
    def run_id(self) -> str:
        """The run that it belongs to."""
        return str(self.about["run_id"])

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """By name, in the order of the scorers."""
        return {each["name"]: Metric.from_dict(each) for each in self.about["metrics"]}

    @cached_property
    def slices(self) -> dict[tuple[str, str], dict[str, Metric]]:
        """The metrics of each value of each slice, by column and value."""
        found: dict[tuple[str, str], dict[str, Metric]] = {}
        for each in self.about["slices"]:
            place = found.setdefault((each["slice"], each["value"]), {})
            place[each["name"]] = Metric.from_dict(each)
        return found

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A line for each answer: id, repeat, columns of the data, output, outcome, tokens, cost, latency."""
        import pandas as pd

        frame: pd.DataFrame = self.rows_table.drop_columns(["input", "returned", "exact"]).to_pandas()
        items = [json.loads(text) for text in self.rows_table.column("input").to_pylist()]
        names = [name for name in dict.fromkeys(name for item in items for name in item) if name not in frame]
        columns = pd.DataFrame(
            {utf8(name).decode(): frame_column([item.get(name) for item in items]) for name in names},
            index=frame.index,
        )
        return pd.concat([frame[["id", "repeat"]], columns, frame.drop(columns=["id", "repeat"])], axis=1)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A line for each score: id, repeat, metric, value, reason, answer, outcome, version."""
        frame: pd.DataFrame = self.scores_table.to_pandas()
        labels = frame.pop("label")
        if labels.notna().any():
            frame["value"] = frame["value"].astype(object).where(labels.isna(), labels)
        return frame

    @property
    def failures(self) -> pd.DataFrame:
        """The answers and scores that are missing, with why: id, repeat, what is missing, outcome, reason."""
        import pandas as pd

        bad = ("failed", "abstained", "skipped")
        answers = self.rows[self.rows["outcome"].isin(bad)]
        scores = self.scores[self.scores["outcome"].isin(bad)]
        missing = {(each.id, each.repeat) for each in answers.itertuples()}
        apart = [(each.id, each.repeat) not in missing for each in scores.itertuples()]
        own = scores[pd.Series(apart, index=scores.index, dtype=bool)]
        return pd.concat(
            [
                answers[["id", "repeat", "outcome", "error"]]
                .rename(columns={"error": "reason"})
                .assign(what="answer"),
                own[["id", "repeat", "outcome", "reason"]].assign(what=own["metric"]),
            ],
            ignore_index=True,
        )[["id", "repeat", "what", "outcome", "reason"]]

    @property
    def cost(self) -> Cost:
        """Answers and judges apart, and what memory saved."""
        return Cost(**self.about["cost"])

    @property
    def gates(self) -> GateReport | None:
        """What its gates have said, where they are kept with it: by `batch_evaluation`, or `latent gate`."""
        from latent.evals.comparing.gates import GateReport, GateResult

        known = self.about.get("gates")
        return None if not known else GateReport(self, [GateResult.from_dict(each) for each in known])

    def results(self) -> list[dict[str, Any]]:
        """
        A mapping for each answer, as JSON values.

        `id`, `response`, `input_tokens`, `output_tokens`, `score` and `reason` (the first judge's, without
        one the first scorer's), the row's columns, and every metric by its name.
        """
        judged = [each["name"] for each in self.about["scorers"] if each.get("judge")]
        first = next(iter([*judged, *self.metrics]), None)
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for line in self.rows_table.to_pylist():
            found[line["id"], line["repeat"]] = {
                **json.loads(line["input"]),
                "id": line["id"],
                "repeat": line["repeat"],
                "expected": line["expected"],
                "response": line["output"],
                "outcome": line["outcome"],
                "error": line["error"],
                "input_tokens": line["input_tokens"],
                "output_tokens": line["output_tokens"],
                "cost_usd": line["answer_cost_usd"],
                "latency_seconds": line["latency_seconds"],
                "score": None,
                "reason": None,
            }
        for line in self.scores_table.to_pylist():
            result = found[line["id"], line["repeat"]]
            value = line["value"] if line["label"] is None else line["label"]
            result[line["metric"]] = value
            if line["metric"] == first:
                result["score"], result["reason"] = value, line["reason"]
        return list(found.values())

    def to_pandas(self) -> pd.DataFrame:
        """The rows with a column for each metric."""
        scores = self.scores
        wide = scores.pivot_table(
            index=["id", "repeat"], columns="metric", values="value", aggfunc="first", dropna=False
        )
        names = [name for name in dict.fromkeys(scores["metric"]) if name in wide]
        return self.rows.merge(wide[names].reset_index(), on=["id", "repeat"], how="left")

    def summary(self) -> pd.DataFrame:
        """A line for each metric over all rows, and for each value of each slice."""
        import pandas as pd

        columns = ["metric", "slice", "value", "mean", "ci_low", "ci_high", "n", "rows", "missing"]
        columns += ["not_applicable", "worst", "best", "detectable", "method", "version"]
        lines = [*self.about["metrics"], *self.about["slices"]]
        return pd.DataFrame([{"metric": line["name"], **line} for line in lines], columns=columns)

    def long(self) -> pd.DataFrame:
        """A line for each row, repeat and metric: the score, the answer, and what it took."""
        from latent.evals.export import long_table

        frame: pd.DataFrame = long_table(self).to_pandas()
        return frame

    def export(self, path: str | Path) -> Path:
        """
        Write it to a file, as the file's suffix says; where that is.

        `.html`: the page; `.md`: Markdown; `.xml`: JUnit; `.csv` and `.parquet`: the table of `long`, in CSV
        safe from what spreadsheets take for formulas. Known secrets are masked.

        Raises:
            UsageError: The suffix is another one.
        """
        from latent.config import find_workspace, masker_for
        from latent.evals.export import exported, kind_of_file
        from latent.files import replace_file

        target = Path(path)
        kind = kind_of_file(target)
        replace_file(target, exported(self, kind, masker_for(find_workspace()).text))
        return target

    def __getitem__(self, metric: str) -> Metric:
        if metric not in self.metrics:
            known = ", ".join(self.metrics) or "none"
            raise KeyError(
                f"There is no metric {metric!r}: {did_you_mean(metric, self.metrics, f'there are {known}.')}"
            )
        return self.metrics[metric]

    def score(self, scorers: Scorer | Iterable[Scorer]) -> Evaluation:
        """
        The same answers with further scores, or with newer ones of the same names; the others stay.

        Nothing is asked of the model that answered. It makes a run of its own, unless a flow is running.
        """
        from latent.evals.evaluating import score_again

        return score_again(self, scorers)

    def check(
        self, gates: Mapping[str, Any] | None = None, *, against: Evaluation | str | None = None, **more: Any
    ) -> GateReport:
        """
        Whether it is good enough: `check({"contains": ">= 0.80"})`, or `check(contains=">= 0.80")`.

        Args:
            gates: By metric: `">= 0.80"`, `"<= 2"`, `"not worse than main by 0.02"`, `"better than main"`;
                also `cost_usd` and `coverage`.
            against: What gates that compare are held against, in the place of the run that they name.
            more: The same, by keyword; `max_cost_usd=1` is `cost_usd: "<= 1"`.

        Raises:
            GateError: A gate cannot be read, or names a metric that there is none of.
        """
        from latent.evals.comparing.gates import check_gates

        if (most := more.pop("max_cost_usd", None)) is not None:
            more["cost_usd"] = f"<= {most}"
        return check_gates(self, {**(gates or {}), **more}, against=against)

    def answered(self) -> list[Answered]:
        """The answers as scorers read them."""
        return read_answered(self.rows_table, self.about["data"]["expected"])

    def __str__(self) -> str:
        from latent.evals.table import metrics_text

        return metrics_text(self)

    def __repr__(self) -> str:
        means = ", ".join(
            f"{each.name}={'not scored' if each.mean is None else format(each.mean, '.3g')}"
            for each in self.metrics.values()
        )
        return f"<Evaluation {self.name}: {self.about['totals']['rows']:,} rows; {means or 'no scores'}>"

    def _repr_html_(self) -> str:
        from latent.evals.table import metrics_html

        return metrics_html(self)


_ENDS = {"failed": "failed", "interrupted": "was interrupted", "crashed": "crashed"}


def load_evaluation(run: str | Path = "last", name: str | None = None) -> Evaluation:
    """
    An evaluation of a finished run.

    Args:
        run: The run's id, the beginning of it, `last` for the newest run that has one, or a folder.
        name: Which of the run's evaluations; None: its only one, or the last.

    Raises:
        RunNotFoundError: There is no such run.
        EvaluationNotFoundError: It has no evaluation, or none of this name.
    """
    folders = _folders_of(run)
    if name is not None:
        folders = [folder for folder in folders if folder.name == name]
    if not folders:
        what = "no evaluation" if name is None else f"no evaluation {name!r}"
        raise EvaluationNotFoundError(str(run), f"it has {what}.")
    about, rows, scores = read(folders[-1])
    return Evaluation(about, rows, scores, folders[-1])


def _folders_of(run: str | Path) -> Sequence[Path]:
    from latent.config import find_workspace
    from latent.tracking import list_runs, load_run

    if isinstance(run, Path) or "/" in run:
        path = Path(run)
        return [path] if (path / "evaluation.json").exists() else evaluations_in(path)
    workspace = find_workspace()
    if run == "last":
        for each in list_runs(workspace):
            if found := evaluations_in(each.folder.path):
                return found
        raise EvaluationNotFoundError("last", "no run of this workspace has an evaluation yet.")
    view = load_run(workspace, run)
    if not (found := evaluations_in(view.folder.path)) and view.state != "ok":
        is_running = view.state == "running"
        why = "it is still running" if is_running else f"it {_ENDS[view.state]} before there was one"
        then = "wait for its end" if is_running else "run it again: what is finished is not paid for twice"
        raise EvaluationNotFoundError(str(run), f"it has no evaluation, since {why}; {then}.")
    return found

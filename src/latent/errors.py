"""
Every error the user can see.

Each says what happened, where, and what to do next::

    LatentError
    ├── UsageError                  a wrong call or command: exit code 2
    │   ├── WorkspaceError          no workspace, or one that cannot be used
    │   │   └── CodeChangedError    its code is not what was deployed
    │   ├── ExpressionError (ValueError)  a condition on rows that cannot be used
    │   ├── NotInRunError (RuntimeError)  something that exists only inside a run was asked for outside
    │   ├── ModelSpecError (ValueError)    a model, an embedder or one of its settings that cannot be
    │   │   ├── BrokenTextError            a text to send that holds half a character
    │   │   └── AttachmentError            an image or a file of a message that cannot be read
    │   ├── EmptyTextError (ValueError)    a text without words, among texts to embed
    │   ├── DeploymentNotFoundError (LookupError)   no deployment of that name
    │   ├── MissingKeyError         a provider's key is not set
    │   ├── RecordingError (ValueError)    a file of recorded answers that cannot be read
    │   ├── RecordingMissError (LookupError)   a call that is not among the recorded ones
    │   ├── PromptError (ValueError)       a prompt template cannot be found, read or filled in
    │   ├── ChunkSettingError (ValueError)   sizes of chunks that contradict each other
    │   ├── ScorerError (ValueError)       a scorer or a judge cannot be used, or reads what the data lacks
    │   ├── EvaluationDataError (ValueError)   rows that cannot be evaluated
    │   ├── ImportedResultsError (ValueError)  another tool's results that cannot be taken over
    │   ├── ComparisonError (ValueError)   two evaluations that are about different things
    │   ├── GateError (ValueError)         a gate that cannot be read or checked
    │   ├── MissingExtraError (ImportError)   a library that an extra brings is not installed
    │   ├── StatisticsError (ValueError)   numbers that a statistic cannot be computed from
    │   ├── SimulatorError (ValueError)   a provider simulator was set up or used wrongly
    │   └── StoreMismatchError, StoreUsageError   see StoreError
    ├── ConfigError (ValueError)    settings, parameters, YAML and TOML files
    │   ├── SettingsError           settings that are unknown or cannot be used
    │   ├── UnknownLimitError (KeyError)      a limit that the settings do not define
    │   ├── ConfigValidationError   parameters that their schema refuses
    │   ├── DeploymentError         a deployment that cannot be put on a server, or read from it
    │   └── ParameterNotFoundError (KeyError, AttributeError)
    ├── CatalogError                datasets that cannot be loaded or saved
    │   ├── DatasetNotFoundError (KeyError)
    │   ├── DatasetConfigError (ValueError)   a catalog entry that cannot be used
    │   ├── DatasetAccessError      the data cannot be reached
    │   │   ├── DatasetLoadError    it cannot be read; with the line where one is known
    │   │   └── DatasetSaveError    it cannot be written; what was there before is untouched
    │   └── OutputMismatchError (ValueError)  what a flow or task returned does not fit its `output`
    ├── RegistryError               flows and tasks that clash or are missing
    │   ├── FlowNotFoundError (KeyError)
    │   └── FlowImportError (ImportError)     a flow file that Python cannot load
    ├── CacheError                  the store of remembered results
    │   ├── UnhashableError (TypeError)       a value without a stable fingerprint
    │   └── UnstorableError (TypeError)       a value that would not come back exactly as it was
    ├── ModelCallError              a call to a model has no answer
    │   ├── ModelRefusedError       the provider answered with an error; its status and words
    │   │   ├── WrongKeyError       it does not take the key
    │   │   ├── UnknownModelError (LookupError)   it has no model of this name
    │   │   ├── WrongAddressError (LookupError)   nothing answers below this `base_url`
    │   │   └── ContextWindowError (ValueError)   the prompt is longer than the model can read
    │   │       └── TextTooLongError   texts to embed are, by their places
    │   ├── ModelConnectionError (ConnectionError)   no whole answer came
    │   ├── ModelAnswerError (ValueError)            a whole one came, and cannot be read
    │   └── ModelTimeoutError (TimeoutError)         none came in time
    ├── IngestionError              documents on their way into an index
    │   ├── NoDocumentsError (FileNotFoundError)   a path or pattern that no file fits
    │   ├── SourceConnectionError (ConnectionError)   a server or bucket does not give a file
    │   ├── ChunkTooLongError (ValueError)   a chunk is longer than the embedder reads
    │   └── UnreadableDocumentError (ValueError)   a file that holds no text, or not in the form it should
    ├── ScoringError (ValueError)   what a scorer returned for a row is no score
    ├── RecipeError                 a scorer or a target cannot be made again from the records of a run
    ├── EvaluationNotFoundError (LookupError)   a run has no evaluation, or one that cannot be read
    ├── StoreError                  an index of a vector store
    │   ├── StoreNotFoundError (LookupError)      there is no such index
    │   ├── StoreMismatchError (UsageError, ValueError)   it was made for other vectors than those given
    │   ├── StoreRefusedError (ValueError)        the store does not take what it was given
    │   │   └── StoreUsageError (UsageError)      a name, a setting or a query that no such store takes
    │   ├── StoreConnectionError (ConnectionError)   it cannot be reached, or vanished
    │   └── PruneError          too much would be removed from an index at once
    ├── RunSupersededError          a run that counted as crashed lives, and another one has taken its place
    ├── ServerUnreachableError (ConnectionError)   Prefect's server does not answer
    ├── ServiceError                a server of the workspace cannot be started, ended or used
    │   └── ServiceStartError       it ended, or does not answer; the last lines of its log
    ├── TrackingError               run folders, the spool and the MLflow store
    │   ├── DamagedDatabaseError    the workspace's MLflow database cannot be read
    │   └── RunNotFoundError (KeyError)
    ├── PortableError               stands for an exception that cannot cross a process border
    ├── TaskExecutionError          a task failed; also an instance of the original error's class
    ├── RowEndedError (RuntimeError)      a row called `sys.exit`, or its worker process died
    ├── FailedRowsError (ExceptionGroup)  rows of a mapped task failed
    └── RunStoppedError             rows were left out: a budget ran out, too much failed, the run was ended
"""

from __future__ import annotations

import json
import pickle
import re
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence


class LatentError(Exception):
    """Base of every error that latent raises on purpose."""


class UsageError(LatentError):
    """A wrong call or command; the command line ends with exit code 2."""


class WorkspaceError(UsageError):
    """There is no workspace here, or it cannot be used."""


class CodeChangedError(WorkspaceError):
    """A worker's workspace holds other code or configuration than what was deployed."""

    def __init__(self, root: str, here: str, deployed: str) -> None:
        super().__init__(root, here, deployed)
        self.root, self.here, self.deployed = root, here, deployed

    def __str__(self) -> str:
        return (
            f"flows/ and config/ of {self.root} have the digest {self.here}, but {self.deployed} was "
            "deployed: `latent deploy` deploys what is here, or bring what was deployed to this machine. "
            'With `[code] check = "trust"` in the settings a worker runs what it has.'
        )


class ExpressionError(UsageError, ValueError):
    """A condition on rows cannot be read, or asks for what the rows do not have."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(expression, reason)  # all in args: errors cross process borders by pickle
        self.expression, self.reason = expression, reason

    def __str__(self) -> str:
        end = "" if self.reason.endswith((".", "?")) else "."
        return f"The condition {self.expression!r} cannot be used: {self.reason}{end}"


class NotInRunError(UsageError, RuntimeError):
    """Something that exists only inside a flow or task run was asked for outside of one."""


class StatisticsError(UsageError, ValueError):
    """A statistic cannot be computed from what it was given; it says from what it can."""


class SimulatorError(UsageError, ValueError):
    """A simulator of `latent.testing` got a setting that it cannot use, or was asked at the wrong time."""

    def __init__(self, setting: str, value: object, reason: str) -> None:
        super().__init__(setting, value, reason)  # all in args: errors cross process borders by pickle
        self.setting, self.value, self.reason = setting, value, reason

    def __str__(self) -> str:
        return f"The simulator cannot use {self.setting}={self.value!r}: {self.reason}."


class ModelSpecError(UsageError, ValueError):
    """A model or an embedder cannot be what was asked for: its name, a setting, a message, a schema."""

    def __init__(self, spec: str, reason: str) -> None:
        super().__init__(spec, reason)  # all in args: errors cross process borders by pickle
        self.spec, self.reason = spec, reason

    def __str__(self) -> str:
        return f"Model {self.spec!r} cannot be used: {self.reason}"


class BrokenTextError(ModelSpecError):
    """A text that was to be sent holds half a character (a lone surrogate): no provider takes it."""

    def __init__(self, spec: str, name: str, half: str, position: int) -> None:
        """
        Args:
            name: What the text is called: `the prompt`, `texts[3]`.
            position: Where in the text it stands, 0-based.
        """
        # All in args: errors cross process borders by pickle.
        Exception.__init__(self, spec, name, half, position)
        self.spec, self.name, self.half, self.position = spec, name, half, position

    def __str__(self) -> str:
        return (
            f"Half a character (a lone surrogate, {self.half!r}) stands at position {self.position:,} of "
            f"{self.name} for {self.spec!r}, and no provider takes it. Leave it out, or put another in its "
            "place: text.encode('utf-8', 'replace').decode()."
        )


class AttachmentError(ModelSpecError):
    """An image or a file cannot be put into a message."""

    def __init__(self, kind: str, source: str | None, reason: str) -> None:
        """
        Args:
            kind: `image` or `file`, say.
            source: Its path; None for one that was given as bytes.
        """
        Exception.__init__(self, kind, source, reason)
        self.kind, self.source, self.reason = kind, source, reason
        self.spec = source or kind

    def __str__(self) -> str:
        what = "that was given as bytes" if self.source is None else repr(self.source)
        return f"The {self.kind} {what} cannot be used: {self.reason}"


class EmptyTextError(UsageError, ValueError):
    """Texts that hold only blanks were to be embedded: they have no meaning, and providers refuse them."""

    def __init__(self, spec: str, indices: tuple[int, ...], count: int) -> None:
        """
        Args:
            indices: Which of the texts are empty, 0-based.
            count: How many texts there were.
        """
        super().__init__(spec, indices, count)  # all in args: errors cross process borders by pickle
        self.spec, self.indices, self.count = spec, indices, count

    def __str__(self) -> str:
        shown = ", ".join(f"texts[{index}]" for index in self.indices[:5])
        more = f" and {len(self.indices) - 5:,} more" if len(self.indices) > 5 else ""
        verb = "is" if len(self.indices) == 1 else "are"
        return f"{shown}{more} of {self.count:,} for {self.spec!r} {verb} empty: leave out what has no words."


class MissingKeyError(UsageError):
    """A provider takes no call without a key, and none is set."""

    def __init__(self, spec: str, variable: str) -> None:
        super().__init__(spec, variable)
        self.spec, self.variable = spec, variable

    def __str__(self) -> str:
        return (
            f"Model {self.spec!r} needs a key, and the environment variable {self.variable} is not set: "
            f"export {self.variable}=..., or pass api_key=."
        )


class RecordingError(UsageError, ValueError):
    """A file of recorded answers cannot be read."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(file, line, reason)  # all in args: errors cross process borders by pickle
        self.file, self.line, self.reason = file, line, reason

    def __str__(self) -> str:
        return f"{self.file}:{self.line} holds no recorded answer: {self.reason}"


class RecordingMissError(UsageError, LookupError):
    """A model was asked for something that is not among its recorded answers, and may not be asked itself."""

    def __init__(self, spec: str, folder: str, nearest: str) -> None:
        """
        Args:
            nearest: What comes nearest among the recorded calls, and what differs there.
        """
        super().__init__(spec, folder, nearest)  # all in args: errors cross process borders by pickle
        self.spec, self.folder, self.nearest = spec, folder, nearest

    def __str__(self) -> str:
        return (
            f"Model {self.spec!r} has no recorded answer to this in {self.folder}: record once more, with "
            f"--record or LATENT_RECORDINGS__MODE=record.\n{self.nearest}"
        )


class ChunkSettingError(UsageError, ValueError):
    """Documents cannot be cut into chunks in the way that was asked for."""

    def __init__(self, setting: str, value: object, reason: str) -> None:
        super().__init__(setting, value, reason)  # all in args: errors cross process borders by pickle
        self.setting, self.value, self.reason = setting, value, reason

    def __str__(self) -> str:
        return f"Documents cannot be chunked with {self.setting}={self.value!r}: {self.reason}."


class ScorerError(UsageError, ValueError):
    """A scorer or a judge cannot be used as it is, or reads what the data does not have."""

    def __init__(self, scorer: str, reason: str) -> None:
        super().__init__(scorer, reason)  # all in args: errors cross process borders by pickle
        self.scorer, self.reason = scorer, reason

    def __str__(self) -> str:
        return f"Scorer {self.scorer!r} cannot be used: {self.reason}"


class EvaluationDataError(UsageError, ValueError):
    """Rows cannot be evaluated: there are none, an id stands twice, a column is missing."""

    def __init__(self, data: str, reason: str) -> None:
        super().__init__(data, reason)  # all in args: errors cross process borders by pickle
        self.data, self.reason = data, reason

    def __str__(self) -> str:
        return f"{self.data} cannot be evaluated: {self.reason}"


class ScoringError(LatentError, ValueError):
    """What a scorer returned for a row cannot be a score: the row counts as failed."""

    def __init__(self, scorer: str, reason: str) -> None:
        super().__init__(scorer, reason)  # all in args: errors cross process borders by pickle
        self.scorer, self.reason = scorer, reason

    def __str__(self) -> str:
        return f"Scorer {self.scorer!r}: {self.reason}."


class ImportedResultsError(UsageError, ValueError):
    """The results of another tool cannot be taken over: another file, a newer version, half of one."""

    def __init__(self, tool: str, file: str, reason: str) -> None:
        super().__init__(tool, file, reason)  # all in args: errors cross process borders by pickle
        self.tool, self.file, self.reason = tool, file, reason

    def __str__(self) -> str:
        return f"{self.file} cannot be read as results of {self.tool}: {self.reason}."


class ComparisonError(UsageError, ValueError):
    """Two evaluations cannot be held against each other."""

    def __init__(self, old: str, new: str, reason: str) -> None:
        super().__init__(old, new, reason)  # all in args: errors cross process borders by pickle
        self.old, self.new, self.reason = old, new, reason

    def __str__(self) -> str:
        return (
            f"The evaluations of {self.old[:8]} and {self.new[:8]} are not compared, since {self.reason}. "
            "`latent compare --force`, or `compare(..., force=True)`, does it all the same."
        )


class GateError(UsageError, ValueError):
    """A gate cannot be read, or asks for what an evaluation does not have."""

    def __init__(self, metric: str, reason: str) -> None:
        super().__init__(metric, reason)  # all in args: errors cross process borders by pickle
        self.metric, self.reason = metric, reason

    def __str__(self) -> str:
        return f"Gate {self.metric!r}: {self.reason}"


class RecipeError(LatentError):
    """A scorer or a target cannot be made again as the records of an evaluation say it was."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)  # all in args: errors cross process borders by pickle
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what} cannot be made again from the records: {self.reason}."


class EvaluationNotFoundError(LatentError, LookupError):
    """A run has no evaluation, or one that cannot be read."""

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(run, reason)  # all in args: errors cross process borders by pickle
        self.run, self.reason = run, reason

    def __str__(self) -> str:
        return f"Evaluation {self.run!r} cannot be read: {self.reason}"


class MissingExtraError(UsageError, ImportError):
    """Something was asked for that needs a library which is not installed; an extra brings it."""

    def __init__(self, purpose: str, module: str, extra: str, distribution: str) -> None:
        """
        Args:
            purpose: What needs it, as the beginning of a sentence: `PDF files`.
        """
        super().__init__(purpose, module, extra, distribution)  # all in args: errors cross process borders
        self.purpose, self.module, self.extra, self.distribution = purpose, module, extra, distribution

    def __str__(self) -> str:
        return (
            f"{self.purpose} need {self.module}, which is not installed: "
            f"pip install '{self.distribution}[{self.extra}]'"
        )


class PromptError(UsageError, ValueError):
    """A prompt template cannot be found, read or filled in."""

    def __init__(self, file: str, line: int | None, reason: str) -> None:
        super().__init__(file, line, reason)
        self.file, self.line, self.reason = file, line, reason

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"Prompt {where} cannot be used: {self.reason}"


class ConfigError(LatentError, ValueError):
    """A settings, parameter or catalog file says something that cannot be used."""


class SettingsError(ConfigError):
    """Settings are unknown or cannot be used."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)  # all in args: errors cross process borders by pickle
        self.problems = problems

    def __str__(self) -> str:
        return "\n  ".join(("The settings cannot be used:", *self.problems))


class UnknownLimitError(ConfigError, KeyError):
    """A task, a model or a `with limit(...)` names a limit that the settings do not define."""

    def __init__(self, name: str, known: tuple[str, ...], place: str) -> None:
        super().__init__(name, known, place)
        self.name, self.known, self.place = name, known, place

    def __str__(self) -> str:
        near = nearest(self.name, self.known)
        hint = f"did you mean {near!r}? Otherwise add" if near else "add"
        defined = f"defined: {', '.join(self.known)}" if self.known else "none is defined"
        return (
            f"There is no limit {self.name!r} in {self.place} ({defined}): {hint} the line "
            f"[limits.{toml_key(self.name)}] there; it needs nothing below it."
        )


class ConfigValidationError(ConfigError):
    """Parameters that the `config_schema` of their flow refuses, one line for each."""

    def __init__(self, flow_name: str, problems: tuple[str, ...]) -> None:
        super().__init__(flow_name, problems)
        self.flow_name, self.problems = flow_name, problems

    def __str__(self) -> str:
        head = f"Configuration validation failed for flow {self.flow_name!r}:"
        return "\n  ".join((head, *self.problems))


class DeploymentError(ConfigError):
    """A deployment cannot be what its settings say, or what stands on the server cannot be read."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # all in args: errors cross process borders by pickle
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        end = "" if self.reason.endswith((".", "?")) else "."
        return f"Deployment {self.name!r}: {self.reason}{end}"


class DeploymentNotFoundError(UsageError, LookupError):
    """There is no deployment of that name in the settings, or on the server."""

    def __init__(self, name: str, known: tuple[str, ...], where: str) -> None:
        """
        Args:
            where: Where there is none: `latent.toml`, or an address.
        """
        super().__init__(name, known, where)
        self.name, self.known, self.where = name, known, where

    def __str__(self) -> str:
        known = f"known there: {', '.join(self.known)}." if self.known else "none is known there."
        hint = did_you_mean(self.name, self.known, known)
        return f"There is no deployment {self.name!r} in {self.where}: {hint}"


class CatalogError(LatentError):
    """A dataset cannot be described, loaded or saved."""


class DatasetNotFoundError(CatalogError, KeyError):
    """A flow named a dataset that its catalog does not define."""

    def __init__(self, name: str, known: tuple[str, ...], file: str) -> None:
        super().__init__(name, known, file)  # all in args: errors cross process borders by pickle
        self.name, self.known, self.file = name, known, file

    def __str__(self) -> str:
        elsewhere = next((name for name in self.known if name.endswith(f".{self.name}")), None)
        hint = did_you_mean(
            elsewhere or self.name, self.known, "`latent catalog list` shows what is defined."
        )
        return f"Dataset {self.name!r} is not in {self.file}: {hint}"


class DatasetConfigError(CatalogError, ValueError):
    """An entry of a catalog file cannot be used: its type, its path or one of its arguments."""

    def __init__(self, name: str, file: str, reason: str) -> None:
        super().__init__(name, file, reason)
        self.name, self.file, self.reason = name, file, reason

    def __str__(self) -> str:
        return f"Dataset {self.name!r} in {self.file} cannot be used: {self.reason}"


class DatasetAccessError(CatalogError):
    """The data of a dataset cannot be reached."""

    action = "used"

    def __init__(self, name: str, kind: str, path: str | None, reason: str, line: int | None = None) -> None:
        """
        Args:
            kind: The dataset's type as a catalog names it, say `pandas.CSVDataset`.
            path: Its file or folder, relative to the workspace; None for what is not a file.
            line: 1-based line of the file; None when none is to blame or it is unknown.
        """
        super().__init__(name, kind, path, reason, line)
        self.name, self.kind, self.path, self.reason, self.line = name, kind, path, reason, line

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.kind, self.path) if part)
        line = f"line {self.line}: " if self.line else ""
        return f"Dataset {self.name!r} ({where}) cannot be {self.action}: {line}{self.reason}"


class DatasetLoadError(DatasetAccessError):
    """The data of a dataset cannot be read."""

    action = "loaded"


class DatasetSaveError(DatasetAccessError):
    """The data of a dataset cannot be written; what its file held before is untouched."""

    action = "saved"


class RegistryError(LatentError):
    """Flows or tasks clash, or one that was named does not exist."""


class CacheError(LatentError):
    """The store of remembered results cannot be used."""


class UnhashableError(CacheError, TypeError):
    """A value has no fingerprint that stays the same from run to run, so no key can be made of it."""

    def __init__(self, path: str, kind: str, reason: str) -> None:
        super().__init__(path, kind, reason)  # all in args: errors cross process borders by pickle
        self.path, self.kind, self.reason = path, kind, reason

    def __str__(self) -> str:
        return f"{self.path or 'The value'} ({self.kind}) has no stable hash: {self.reason}."


class UnstorableError(CacheError, TypeError):
    """A result cannot be remembered, because what is read back would not be exactly what was returned."""

    def __init__(self, path: str, kind: str, reason: str) -> None:
        super().__init__(path, kind, reason)
        self.path, self.kind, self.reason = path, kind, reason

    def __str__(self) -> str:
        return f"{self.path or 'The result'} ({self.kind}) cannot be remembered: {self.reason}."


class ModelCallError(LatentError):
    """A call to a model has no answer."""

    def __init__(self, spec: str, place: str, reason: str) -> None:
        """
        Args:
            place: The address that was called, without credentials.
        """
        super().__init__(spec, place, reason)  # all in args: errors cross process borders by pickle
        self.spec, self.place, self.reason = spec, place, reason

    def __str__(self) -> str:
        return f"Model {self.spec!r} gave no answer: {self.reason} ({self.place})"


class ModelConnectionError(ModelCallError, ConnectionError):
    """The provider cannot be reached, or what it sent is not a whole answer; worth another attempt."""


class ModelAnswerError(ModelCallError, ValueError):
    """What the provider sent is whole and no answer of its API; it was paid for: not tried again."""


class ModelTimeoutError(ModelCallError, TimeoutError):
    """No answer came in time; worth another attempt."""


class ModelRefusedError(ModelCallError):
    """
    The provider answered with an error.

    Attributes:
        status: Of the HTTP answer.
        headers: Of the answer, names in lower case: a hint when to come back is among them.
        body: The decoded JSON; a text where it is none.
    """

    def __init__(
        self,
        spec: str,
        place: str,
        reason: str,
        status: int,
        headers: Mapping[str, str],
        body: Any,
        hint: str,
    ) -> None:
        Exception.__init__(self, spec, place, reason, status, dict(headers), body, hint)
        self.spec, self.place, self.reason, self.hint = spec, place, reason, hint
        self.status, self.headers, self.body = status, dict(headers), body

    def with_hint(self, hint: str) -> Self:
        """The same error, which says what to do."""
        return type(self)(self.spec, self.place, self.reason, self.status, self.headers, self.body, hint)

    def __str__(self) -> str:
        said = self.reason.strip().rstrip(".")
        hint = f" {self.hint}" if self.hint else ""
        return f"Model {self.spec!r} refused the call (HTTP {self.status}, {self.place}): {said}.{hint}"


class WrongKeyError(ModelRefusedError):
    """The provider does not take the key, or the key may not use this model."""


class UnknownModelError(ModelRefusedError, LookupError):
    """The provider has no model of this name."""


class WrongAddressError(ModelRefusedError, LookupError):
    """There is no such API at the address: `base_url` lacks a part, or has one too many."""


class ContextWindowError(ModelRefusedError, ValueError):
    """The prompt is longer than the model can read."""


class TextTooLongError(ContextWindowError):
    """Texts to embed are longer than the model reads; the others have their vectors, and are remembered."""

    def __init__(
        self,
        spec: str,
        place: str,
        reason: str,
        status: int,
        headers: Mapping[str, str],
        body: Any,
        hint: str,
        indices: tuple[int, ...] = (),
        count: int = 0,
    ) -> None:
        """
        Args:
            indices: Which of the texts are too long, 0-based; the words are about the first of them.
            count: How many texts there were.
        """
        super().__init__(spec, place, reason, status, headers, body, hint)
        self.args = (*self.args, indices, count)
        self.indices, self.count = indices, count

    @classmethod
    def of(cls, error: ModelRefusedError, indices: tuple[int, ...], count: int) -> TextTooLongError:
        """The error of the first of these texts, with the places of all of them."""
        shown = ", ".join(f"texts[{index}]" for index in indices[:5])
        more = f" and {len(indices) - 5:,} more" if len(indices) > 5 else ""
        verb = "is" if len(indices) == 1 else "are"
        hint = f"{shown}{more} of {count:,} {verb} too long: cut into shorter pieces."
        about = (error.spec, error.place, error.reason, error.status, error.headers, error.body)
        return cls(*about, hint, indices, count)


class IngestionError(LatentError):
    """Documents cannot be brought into an index."""


class NoDocumentsError(IngestionError, FileNotFoundError):
    """A path or a pattern that no file fits."""

    def __init__(self, pattern: str, place: str, hint: str) -> None:
        super().__init__(pattern, place, hint)
        self.pattern, self.place, self.hint = pattern, place, hint

    def __str__(self) -> str:
        return f"No file in {self.place} fits {self.pattern!r}: {self.hint}"


class SourceConnectionError(IngestionError, ConnectionError):
    """A file system elsewhere does not give a file: another attempt may help."""

    def __init__(self, source: str, said: str, status: int | None = None) -> None:
        """
        Args:
            status: Of the server's answer; a refusal is not worth another attempt.
        """
        super().__init__(source, said, status)
        self.source, self.said, self.status = source, said, status

    def __str__(self) -> str:
        return f"{self.source} cannot be fetched ({self.said})."


class ChunkTooLongError(IngestionError, ValueError):
    """A chunk of a source is longer than the embedder reads; the index keeps what it had of the source."""

    def __init__(self, source: str, chunk_index: int, characters: int, embedder: str, said: str) -> None:
        """
        Args:
            chunk_index: Which chunk of its document, 0-based.
            characters: How long it is.
            said: What the provider says.
        """
        super().__init__(source, chunk_index, characters, embedder, said)
        self.source, self.chunk_index, self.characters = source, chunk_index, characters
        self.embedder, self.said = embedder, said

    def __str__(self) -> str:
        return (
            f"{self.source} cannot be indexed: its chunk {self.chunk_index} ({self.characters:,} characters) "
            f"is longer than {self.embedder!r} reads ({self.said.strip().rstrip('.')}). Lower chunk_size."
        )


class UnreadableDocumentError(IngestionError, ValueError):
    """A file holds no text, or not in the form that its suffix says."""

    def __init__(self, source: str, reason: str, line: int | None = None) -> None:
        """
        Args:
            line: 1-based; None when none is to blame.
        """
        super().__init__(source, reason, line)
        self.source, self.reason, self.line = source, reason, line

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return f"{where} cannot be read: {self.reason}"


class StoreError(LatentError):
    """An index of a vector store cannot be used."""

    def __init__(self, store: str, index: str, reason: str) -> None:
        super().__init__(store, index, reason)  # all in args: errors cross process borders by pickle
        self.store, self.index, self.reason = store, index, reason

    def __str__(self) -> str:
        return f"Index {self.index!r} of {self.store}: {self.reason}"


class StoreNotFoundError(StoreError, LookupError):
    """The store has no index of this name."""


class StoreMismatchError(StoreError, UsageError, ValueError):
    """An index was made for other vectors than those it is given: their length, metric or model."""


class StoreRefusedError(StoreError, ValueError):
    """The store does not take what it was given: a name, a record, a filter, a key."""


class StoreUsageError(StoreRefusedError, UsageError):
    """The store was asked wrongly, which is known without asking it: a name, a metric, a query, no key."""


class StoreConnectionError(StoreError, ConnectionError):
    """The store cannot be reached, or vanished midway; what was written before is kept."""


class PruneError(StoreError):
    """So many sources are gone that a mistake is likelier than a wish; nothing was removed."""

    def __init__(self, store: str, index: str, gone: tuple[str, ...], known: int, max_loss: float) -> None:
        """
        Args:
            gone: The sources that are gone or empty now.
            known: How many sources the index has.
            max_loss: The share that may go at once.
        """
        LatentError.__init__(self, store, index, gone, known, max_loss)
        self.store, self.index, self.gone, self.known, self.max_loss = store, index, gone, known, max_loss

    def __str__(self) -> str:
        shown = ", ".join(map(repr, self.gone[:3])) + (", ..." if len(self.gone) > 3 else "")
        share = min(1.0, -(-100 * len(self.gone) // self.known) / 100)
        return (
            f"Index {self.index!r} of {self.store} would lose {len(self.gone)} of its {self.known} sources, "
            f"more than {self.max_loss:.0%} at once ({shown}). They are gone or empty; nothing was removed. "
            f"If that is meant, say max_loss={share:g}; to keep them, prune=False."
        )


class ServerUnreachableError(LatentError, ConnectionError):
    """Prefect's settings name a server, and it does not answer."""

    def __init__(self, address: str, reason: str, *, has_begun: bool = False) -> None:
        """
        Args:
            has_begun: Whether the run was under way; else nothing has happened yet.
        """
        # Not through OSError's own reading of two arguments, which makes them an errno and its text.
        Exception.__init__(self, address, reason)
        self.address, self.reason, self.has_begun = address, reason, has_begun

    def __str__(self) -> str:
        source = "which Prefect's settings name (PREFECT_API_URL or the profile)"
        named = f"Prefect's server at {self.address}, {source},"
        if self.has_begun:
            return (
                f"{named} went away ({self.reason}): what is finished is kept, and the flow goes on from "
                "there when it runs again."
            )
        return (
            f"{named} cannot be reached ({self.reason}): start it, correct the address, or take it away "
            "(unset PREFECT_API_URL, or `prefect config unset PREFECT_API_URL`): without one, flows run "
            "without a server."
        )


class RunSupersededError(LatentError):
    """A run that its server took for dead is alive, and another one goes on in its place by now."""

    def __init__(self, flow_name: str, run_name: str, successor: str) -> None:
        super().__init__(flow_name, run_name, successor)
        self.flow_name, self.run_name, self.successor = flow_name, run_name, successor

    def __str__(self) -> str:
        return (
            f"Run {self.run_name!r} of flow {self.flow_name!r} ends: nothing was heard of it for so long "
            f"that it counted as crashed, and run {self.successor!r} goes on in its place. What is finished "
            "is kept."
        )


class ServiceError(LatentError):
    """A server of the workspace, Prefect's or MLflow's, cannot be started, ended or used."""

    def __init__(self, name: str | None, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        title = {"prefect": "Prefect's server: ", "mlflow": "MLflow's server: "}.get(self.name or "", "")
        return f"{title}{self.reason}"


class ServiceStartError(ServiceError):
    """A server ended while it started, or does not answer."""

    def __init__(self, name: str, what: str, log: str, lines: str) -> None:
        """
        Args:
            what: What became of it, as the end of a sentence.
            lines: The last of what it wrote to `log`.
        """
        LatentError.__init__(self, name, what, log, lines)
        self.name, self.what, self.log, self.lines = name, what, log, lines
        self.reason = f"it {what}. Its log is {log}; the end of it:\n{lines}"


class TrackingError(LatentError):
    """A run folder, the spool or the MLflow store cannot be used."""


class DamagedDatabaseError(TrackingError):
    """The workspace's MLflow database exists but cannot be read; it is never deleted or overwritten."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file, self.reason = file, reason

    def __str__(self) -> str:
        return (
            f"The MLflow database {self.file} is damaged ({self.reason}). "
            "Put a backup in its place, or move it away: the next run then starts a new one. "
            "Runs go on meanwhile and are sent once it can be read."
        )


class RunNotFoundError(TrackingError, KeyError):
    """No run, or more than one, is meant by an id or the beginning of one."""

    def __init__(self, wanted: str, matches: tuple[str, ...], place: str) -> None:
        super().__init__(wanted, matches, place)
        self.wanted, self.matches, self.place = wanted, matches, place

    def __str__(self) -> str:
        if self.matches:
            shown = ", ".join(self.matches[:5]) + (", ..." if len(self.matches) > 5 else "")
            count = len(self.matches)
            return f"{self.wanted!r} is the beginning of {count} runs ({shown}): give more of the id."
        if self.wanted == "last":
            return f"Nothing has run yet, there is no run in {self.place}: `latent run FLOW` runs a flow."
        return f"There is no run {self.wanted!r} in {self.place}: `latent runs list` shows those that exist."


class OutputMismatchError(CatalogError, ValueError):
    """What a flow or task returned does not fit the datasets it declares as `output`."""


class ParameterNotFoundError(ConfigError, KeyError, AttributeError):
    """`params` was asked for a name that the running flow does not have."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0])


class FlowNotFoundError(RegistryError, KeyError):
    """The workspace has no flow of this name."""

    def __init__(self, name: str, known: tuple[str, ...], place: str) -> None:
        super().__init__(name, known, place)
        self.name, self.known, self.place = name, known, place

    def __str__(self) -> str:
        hint = did_you_mean(self.name, self.known, "`latent ls` shows the flows that exist.")
        return f"There is no flow {self.name!r} in {self.place}: {hint}"


class FlowImportError(RegistryError, ImportError):
    """Python cannot load a flow file; the message names the file, the line and the reason."""

    def __init__(self, file: str, line: int | None, reason: str) -> None:
        super().__init__(file, line, reason)
        self.file, self.line, self.reason = file, line, reason

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where} cannot be loaded: {self.reason}"


class PortableError(LatentError):
    """Stands for an exception that cannot be pickled when an error crosses a process border."""


class TaskExecutionError(LatentError):
    """
    A task failed; the original error is chained and kept at `.original_error`.

    Made by `TaskExecutionError.of`, whose instances also belong to the original error's class, so that
    `except ValueError` still catches them, and carry its attributes (`errno`, `response`, ...). Where that
    class cannot be subclassed (pydantic's `ValidationError`, for one), only the chain leads to it.

    Attributes:
        task_name: The task that failed.
        original_error: What the task's function raised.
        context: `input` (dataset names), `row_index` (None outside of a map), `arguments` (shortened and
            masked), `attempts` and `span`.
    """

    task_name: str
    original_error: BaseException
    context: Mapping[str, Any]
    original_text: str

    @classmethod
    def of(
        cls, task_name: str, original: BaseException, context: Mapping[str, Any], text: str | None = None
    ) -> TaskExecutionError:
        """
        An error about `original`, which is also an instance of its class.

        Args:
            text: The original's text when it must be masked; its own text otherwise.
        """
        try:
            kind = _failure_class(cast("Hashable", _root_class(original)))
            return cls._filled(kind, task_name, original, context, text)
        except Exception:  # an exception class of so strange a make that nothing can be both
            return cls._filled(TaskExecutionError, task_name, original, context, text)

    @staticmethod
    def _filled(
        kind: type[TaskExecutionError],
        task_name: str,
        original: BaseException,
        context: Mapping[str, Any],
        text: str | None,
    ) -> TaskExecutionError:
        error = _instance(kind, original)
        if kind is not TaskExecutionError:
            error.__dict__.update({k: v for k, v in original.__dict__.items() if not k.startswith("__")})
        for attribute in _BUILTIN_ATTRIBUTES:
            if getattr(original, attribute, None) is not None and hasattr(error, attribute):
                setattr(error, attribute, getattr(original, attribute))
        error.task_name, error.original_error, error.context = task_name, original, context
        error.original_text = text_of(original) if text is None else text
        return error

    def __str__(self) -> str:
        return (
            f"Task {self.task_name!r} failed.\n"
            f"Original error: {type(self.original_error).__name__}: {self.original_text}\n"
            f"Context: {dict(self.context)}"
        )

    def __repr__(self) -> str:
        # That of the base would show the original's arguments, which may hold what the text masks.
        kind = type(self.original_error).__name__
        return f"TaskExecutionError({self.task_name!r}, {kind}: {self.original_text})"

    def __reduce__(self) -> tuple[Any, ...]:
        original = _portable(self.original_error)
        return _rebuild_task_error, (self.task_name, original, dict(self.context), self.original_text)


class RowEndedError(LatentError, RuntimeError):
    """A row ended without a word of its own: `sys.exit` was called in it, or its worker process died."""


class FailedRowsError(LatentError, ExceptionGroup):
    """Rows of a mapped task failed; `.exceptions` are their errors, so that `except*` can tell them apart."""

    @classmethod
    def of(
        cls, task_name: str, rows: int, errors: Sequence[Exception], stopped: str | None = None
    ) -> FailedRowsError:
        """
        One error for all failed rows; its text names each different cause once, with its first row.

        Args:
            stopped: Why further rows were not even begun; None when none were left out.
        """
        causes: dict[str, list[Exception]] = {}
        for error in errors:
            causes.setdefault(cause_of(_message(error)), []).append(error)
        shown = [
            f"  {len(group):,}x {_message(group[0])}{_first_row(group[0])}"
            for group in list(causes.values())[:5]
        ]
        if len(causes) > len(shown):
            shown.append(f"  ... and {len(causes) - len(shown)} other causes")
        shown.extend([] if stopped is None else [stopped])
        return cls(
            "\n".join([f"Task {task_name!r}: {len(errors):,} of {rows:,} rows failed.", *shown]), errors
        )

    def derive(self, excs: Sequence[Exception]) -> FailedRowsError:  # type: ignore[override]  # rows raise no others
        """A part of this group with the same text: what `except*` and `split` make."""
        return FailedRowsError(self.message, excs)

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        # Prefect logs it, and that of the base class has every row's error in it: ten thousand on one line.
        return f"{type(self).__name__}({self.message!r})"


class RunStoppedError(LatentError):
    """
    Rows were left out on purpose; what is done is kept, and the next run goes on from there.

    Attributes:
        reason: What ended the work: a budget that is used up, too many failures, an exhausted quota.
    """

    def __init__(self, reason: str, task_name: str | None = None, row_index: int | None = None) -> None:
        super().__init__(reason, task_name, row_index)
        self.reason, self.task_name, self.row_index = reason, task_name, row_index

    def __str__(self) -> str:
        where = (
            "" if self.row_index is None else f"Row {self.row_index} of task {self.task_name!r} was skipped. "
        )
        return f"{where}{self.reason}"


def cause_of(message: str) -> str:
    """
    What messages of one cause have in common: numbers and ids become `#`, white space one blank.

    The status of an HTTP answer stays: 429 and 500 are two causes.
    """
    text = " ".join(message[:_CAUSE_CHARS].split())
    return _CHANGING.sub(lambda found: found[0] if found.lastgroup == "kept" else "#", text)


_CAUSE_CHARS = 500
_CHANGING = re.compile(
    r"""
    (?P<kept>\b(?:status|code|http|http/[\d.]+|error)[^\w]{0,3}[1-5]\d\d\b)
    | \b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b              # UUIDs
    | \b0x[0-9a-f]+\b
    | \b(?=[a-z_-]*\d)(?=[\d_-]*[a-z])[\w-]{10,}\b                  # ids of requests: req_011CSHoEeqs5C35K
    | (?<![\w.])[+-]?\d+(?:[.,:]\d+)*(?![\w])
    | \d+
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _message(error: Exception) -> str:
    if isinstance(error, TaskExecutionError):
        return f"{type(error.original_error).__name__}: {error.original_text}"
    return f"{type(error).__name__}: {error}"


def _first_row(error: Exception) -> str:
    index = error.context.get("row_index") if isinstance(error, TaskExecutionError) else None
    return "" if index is None else f" (first in row {index})"


def _rebuild_task_error(
    task_name: str, original: BaseException, context: Mapping[str, Any], text: str
) -> TaskExecutionError:
    error = TaskExecutionError.of(task_name, original, context, text)
    error.__cause__ = original
    return error


_BUILTIN_ATTRIBUTES = ("filename", "filename2", "name", "obj", "path")
"""What built-in exceptions keep outside of `args` and `__dict__`."""


def _root_class(error: BaseException) -> type[BaseException]:
    """The class a user wrote: of a nested task's error, the class of what failed innermost."""
    while isinstance(error, TaskExecutionError):
        error = error.original_error
    return type(error)


@lru_cache(maxsize=256)
def _failure_class(original: Hashable) -> type[TaskExecutionError]:
    bases = (TaskExecutionError, cast("type[BaseException]", original))
    try:
        return type("TaskExecutionError", bases, {"__module__": __name__})
    except TypeError:  # a final class, or one whose memory layout cannot be combined
        return TaskExecutionError


def _instance(kind: type[TaskExecutionError], original: BaseException) -> TaskExecutionError:
    """An instance of `kind` whose built-in part (`args`, `errno`, `start`, ...) repeats the original's."""
    builtin = next(base for base in type(original).__mro__ if base.__module__ == "builtins")
    try:
        error = kind.__new__(kind, *original.args)
        if isinstance(error, builtin):
            builtin.__init__(error, *original.args)  # type: ignore[misc]  # one of the error's own bases
    except Exception:  # a class that wants other arguments than it keeps in `args`
        error = Exception.__new__(kind, *original.args)
    return error


def text_of(error: BaseException) -> str:
    """What an error says; some raise when they are asked."""
    try:
        return str(error)
    except Exception as broken:
        return f"<no message: {type(error).__qualname__}.__str__ raised {type(broken).__qualname__}>"


def _portable(error: BaseException) -> BaseException:
    try:
        # Only whether it survives the border is asked; nothing foreign is read here.
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return _revivable(error)
    return error


def _revivable(error: BaseException) -> BaseException:
    """
    The error in a form that survives the border without its class being called.

    Exceptions whose `__init__` wants other arguments than they hand on to `Exception` cannot be unpickled.
    """
    from cloudpickle import dumps  # type: ignore[import-untyped]  # ships no types

    parts = (type(error), error.args, dict(error.__dict__))
    try:
        dumps(parts)  # also a class of the script itself, which plain pickle does not find on the other side
    except Exception:
        return PortableError(f"{type(error).__name__}: {text_of(error)}")
    return cast("BaseException", _Revivable(parts))


class _Revivable:
    """Pickles as what `_revive` makes of an exception's parts."""

    def __init__(self, parts: tuple[type[BaseException], tuple[Any, ...], dict[str, Any]]) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, self.parts


def _revive(kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    error = BaseException.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


def toml_key(name: str) -> str:
    """`name` as a key of a TOML table: quoted where it holds more than letters, digits, dashes."""
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most likely meant by `name`; None when nothing comes close."""
    matches = get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint for an unknown `name`: the nearest known one, else the sentence `otherwise`."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else otherwise

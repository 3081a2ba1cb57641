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
    │   │   ├── BrokenTextError            a string to send that holds a lone surrogate
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

from typing import TYPE_CHECKING, Any, Self

from latent.error_base import Fields
from latent.error_base import LatentError as LatentError
from latent.error_text import as_sentence, did_you_mean, file_line, first_few, nearest, toml_key
from latent.task_errors import FailedRowsError as FailedRowsError
from latent.task_errors import PortableError as PortableError
from latent.task_errors import RowEndedError as RowEndedError
from latent.task_errors import TaskExecutionError as TaskExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping


class UsageError(LatentError):
    """A wrong call or command; the command line ends with exit code 2."""


class WorkspaceError(UsageError):
    """There is no workspace here, or it cannot be used."""


class CodeChangedError(Fields, WorkspaceError):
    """A worker's workspace holds other code or configuration than what was deployed."""

    root: str
    here: str
    deployed: str
    template = (
        "flows/ and config/ of {root} have the digest {here}, but {deployed} was "
        "deployed: `latent deploy` deploys what is here, or bring what was deployed to this machine. "
        'With `[code] check = "trust"` in the settings a worker runs what it has.'
    )


class ExpressionError(Fields, UsageError, ValueError):
    """A condition on rows cannot be read, or asks for what the rows do not have."""

    expression: str
    reason: str

    def __str__(self) -> str:
        return f"The condition {self.expression!r} cannot be used: {as_sentence(self.reason)}"


class NotInRunError(UsageError, RuntimeError):
    """Something that exists only inside a flow or task run was asked for outside of one."""


class StatisticsError(UsageError, ValueError):
    """A statistic cannot be computed from what it was given; it says from what it can."""


class SimulatorError(Fields, UsageError, ValueError):
    """A simulator of `latent.testing` got a setting that it cannot use, or was asked at the wrong time."""

    setting: str
    value: object
    reason: str
    template = "The simulator cannot use {setting}={value!r}: {reason}."


class ModelSpecError(Fields, UsageError, ValueError):
    """A model or an embedder cannot be what was asked for: its name, a setting, a message, a schema."""

    spec: str
    reason: str
    template = "Model {spec!r} cannot be used: {reason}"


class BrokenTextError(ModelSpecError):
    """
    A string that was to be sent holds a lone surrogate, half of a character: no provider takes it.

    Attributes:
        name: What the string is called: `the prompt`, `texts[3]`.
        position: Where in the string the surrogate stands, 0-based.
    """

    def __init__(self, spec: str, name: str, surrogate: str, position: int) -> None:
        super().__init__(spec, f"{name} holds a lone surrogate")
        self.args = (spec, name, surrogate, position)
        self.name, self.surrogate, self.position = name, surrogate, position

    template = (
        "A lone surrogate ({surrogate!r}) stands at position {position:,} of {name} for {spec!r}, and no "
        "provider takes it. Leave it out, or put another character in its place: "
        "text.encode('utf-8', 'replace').decode()."
    )


class AttachmentError(ModelSpecError):
    """
    An image or a file cannot be put into a message.

    Attributes:
        kind: `image` or `file`, say.
        source: Its path; None for one that was given as bytes.
    """

    def __init__(self, kind: str, source: str | None, reason: str) -> None:
        super().__init__(source or kind, reason)
        self.args = (kind, source, reason)
        self.kind, self.source = kind, source

    def __str__(self) -> str:
        what = "that was given as bytes" if self.source is None else repr(self.source)
        return f"The {self.kind} {what} cannot be used: {self.reason}"


class EmptyTextError(Fields, UsageError, ValueError):
    """
    Texts that hold only blanks were to be embedded: they have no meaning, and providers refuse them.

    Attributes:
        indices: Which of the texts are empty, 0-based.
        count: How many texts there were.
    """

    spec: str
    indices: tuple[int, ...]
    count: int

    def __str__(self) -> str:
        verb = "is" if len(self.indices) == 1 else "are"
        return (
            f"{first_few(self.indices)} of {self.count:,} for {self.spec!r} {verb} empty: "
            "leave out what has no words."
        )


class MissingKeyError(Fields, UsageError):
    """A provider takes no call without a key, and none is set."""

    spec: str
    variable: str
    template = (
        "Model {spec!r} needs a key, and the environment variable {variable} is not set: "
        "export {variable}=..., or pass api_key=."
    )


class RecordingError(Fields, UsageError, ValueError):
    """A file of recorded answers cannot be read."""

    file: str
    line: int
    reason: str
    template = "{file}:{line} holds no recorded answer: {reason}"


class RecordingMissError(Fields, UsageError, LookupError):
    """
    A model was asked for something that is not among its recorded answers, and may not be asked itself.

    Attributes:
        nearest: What comes nearest among the recorded calls, and what differs there.
    """

    spec: str
    folder: str
    nearest: str
    template = (
        "Model {spec!r} has no recorded answer to this in {folder}: record once more, with "
        "--record or LATENT_RECORDINGS__MODE=record.\n{nearest}"
    )


class ChunkSettingError(Fields, UsageError, ValueError):
    """Documents cannot be cut into chunks in the way that was asked for."""

    setting: str
    value: object
    reason: str
    template = "Documents cannot be chunked with {setting}={value!r}: {reason}."


class ScorerError(Fields, UsageError, ValueError):
    """A scorer or a judge cannot be used as it is, or reads what the data does not have."""

    scorer: str
    reason: str
    template = "Scorer {scorer!r} cannot be used: {reason}"


class EvaluationDataError(Fields, UsageError, ValueError):
    """Rows cannot be evaluated: there are none, an id stands twice, a column is missing."""

    data: str
    reason: str
    template = "{data} cannot be evaluated: {reason}"


class ScoringError(Fields, LatentError, ValueError):
    """What a scorer returned for a row cannot be a score: the row counts as failed."""

    scorer: str
    reason: str
    template = "Scorer {scorer!r}: {reason}."


class ImportedResultsError(Fields, UsageError, ValueError):
    """The results of another tool cannot be taken over: another file, a newer version, half of one."""

    tool: str
    file: str
    reason: str
    template = "{file} cannot be read as results of {tool}: {reason}."


class ComparisonError(Fields, UsageError, ValueError):
    """Two evaluations cannot be held against each other."""

    old: str
    new: str
    reason: str
    template = (
        "The evaluations of {old:.8} and {new:.8} are not compared, since {reason}. "
        "`latent compare --force`, or `compare(..., force=True)`, does it all the same."
    )


class GateError(Fields, UsageError, ValueError):
    """A gate cannot be read, or asks for what an evaluation does not have."""

    metric: str
    reason: str
    template = "Gate {metric!r}: {reason}"


class RecipeError(Fields, LatentError):
    """A scorer or a target cannot be made again as the records of an evaluation say it was."""

    what: str
    reason: str
    template = "{what} cannot be made again from the records: {reason}."


class EvaluationNotFoundError(Fields, LatentError, LookupError):
    """A run has no evaluation, or one that cannot be read."""

    run: str
    reason: str
    template = "Evaluation {run!r} cannot be read: {reason}"


class MissingExtraError(Fields, UsageError, ImportError):
    """
    Something was asked for that needs a library which is not installed; an extra brings it.

    Attributes:
        purpose: What needs it, as the beginning of a sentence: `PDF files`.
    """

    purpose: str
    module: str
    extra: str
    distribution: str
    template = "{purpose} need {module}, which is not installed: pip install '{distribution}[{extra}]'"


class PromptError(Fields, UsageError, ValueError):
    """A prompt template cannot be found, read or filled in."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"Prompt {file_line(self.file, self.line)} cannot be used: {self.reason}"


class ConfigError(LatentError, ValueError):
    """A settings, parameter or catalog file says something that cannot be used."""


class SettingsError(Fields, ConfigError):
    """Settings are unknown or cannot be used."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n  ".join(("The settings cannot be used:", *self.problems))


class UnknownLimitError(Fields, ConfigError, KeyError):
    """A task, a model or a `with limit(...)` names a limit that the settings do not define."""

    name: str
    known: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        near = nearest(self.name, self.known)
        hint = f"did you mean {near!r}? Otherwise add" if near else "add"
        defined = f"defined: {', '.join(self.known)}" if self.known else "none is defined"
        return (
            f"There is no limit {self.name!r} in {self.place} ({defined}): {hint} the line "
            f"[limits.{toml_key(self.name)}] there; it needs nothing below it."
        )


class ConfigValidationError(Fields, ConfigError):
    """Parameters that the `config_schema` of their flow refuses, one line for each."""

    flow_name: str
    problems: tuple[str, ...]

    def __str__(self) -> str:
        head = f"Configuration validation failed for flow {self.flow_name!r}:"
        return "\n  ".join((head, *self.problems))


class DeploymentError(Fields, ConfigError):
    """A deployment cannot be what its settings say, or what stands on the server cannot be read."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"Deployment {self.name!r}: {as_sentence(self.reason)}"


class DeploymentNotFoundError(Fields, UsageError, LookupError):
    """
    There is no deployment of that name in the settings, or on the server.

    Attributes:
        where: Where there is none: `latent.toml`, or an address.
    """

    name: str
    known: tuple[str, ...]
    where: str

    def __str__(self) -> str:
        known = f"known there: {', '.join(self.known)}." if self.known else "none is known there."
        hint = did_you_mean(self.name, self.known, known)
        return f"There is no deployment {self.name!r} in {self.where}: {hint}"


class CatalogError(LatentError):
    """A dataset cannot be described, loaded or saved."""


class DatasetNotFoundError(Fields, CatalogError, KeyError):
    """A flow named a dataset that its catalog does not define."""

    name: str
    known: tuple[str, ...]
    file: str

    def __str__(self) -> str:
        elsewhere = next((name for name in self.known if name.endswith(f".{self.name}")), None)
        hint = did_you_mean(
            elsewhere or self.name, self.known, "`latent catalog list` shows what is defined."
        )
        return f"Dataset {self.name!r} is not in {self.file}: {hint}"


class DatasetConfigError(Fields, CatalogError, ValueError):
    """An entry of a catalog file cannot be used: its type, its path or one of its arguments."""

    name: str
    file: str
    reason: str
    template = "Dataset {name!r} in {file} cannot be used: {reason}"


class DatasetAccessError(Fields, CatalogError):
    """
    The data of a dataset cannot be reached.

    Attributes:
        kind: The dataset's type as a catalog names it, say `pandas.CSVDataset`.
        path: Its file or folder, relative to the workspace; None for what is not a file.
        line: 1-based line of the file; None when none is to blame or it is unknown.
    """

    action = "used"

    name: str
    kind: str
    path: str | None
    reason: str
    line: int | None = None

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


class UnhashableError(Fields, CacheError, TypeError):
    """A value has no fingerprint that stays the same from run to run, so no key can be made of it."""

    path: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'The value'} ({self.kind}) has no stable hash: {self.reason}."


class UnstorableError(Fields, CacheError, TypeError):
    """A result cannot be remembered, because what is read back would not be exactly what was returned."""

    path: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'The result'} ({self.kind}) cannot be remembered: {self.reason}."


class ModelCallError(Fields, LatentError):
    """
    A call to a model has no answer.

    Attributes:
        place: The address that was called, without credentials.
    """

    spec: str
    place: str
    reason: str
    template = "Model {spec!r} gave no answer: {reason} ({place})"


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

    status: int
    headers: Mapping[str, str]
    body: Any
    hint: str

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
    """
    Texts to embed are longer than the model reads; the others have their vectors, and are remembered.

    Attributes:
        indices: Which of the texts are too long, 0-based; the words are about the first of them.
        count: How many texts there were.
    """

    indices: tuple[int, ...] = ()
    count: int = 0

    @classmethod
    def of(cls, error: ModelRefusedError, indices: tuple[int, ...], count: int) -> TextTooLongError:
        """The error of the first of these texts, with the places of all of them."""
        verb = "is" if len(indices) == 1 else "are"
        hint = f"{first_few(indices)} of {count:,} {verb} too long: cut into shorter pieces."
        about = (error.spec, error.place, error.reason, error.status, error.headers, error.body)
        return cls(*about, hint, indices, count)


class IngestionError(LatentError):
    """Documents cannot be brought into an index."""


class NoDocumentsError(Fields, IngestionError, FileNotFoundError):
    """A path or a pattern that no file fits."""

    pattern: str
    place: str
    hint: str
    template = "No file in {place} fits {pattern!r}: {hint}"


class SourceConnectionError(Fields, IngestionError, ConnectionError):
    """
    A file system elsewhere does not give a file: another attempt may help.

    Attributes:
        status: Of the server's answer; a refusal is not worth another attempt.
    """

    source: str
    said: str
    status: int | None = None
    template = "{source} cannot be fetched ({said})."


class ChunkTooLongError(Fields, IngestionError, ValueError):
    """
    A chunk of a source is longer than the embedder reads; the index keeps what it had of the source.

    Attributes:
        chunk_index: Which chunk of its document, 0-based.
        characters: How long it is.
        said: What the provider says.
    """

    source: str
    chunk_index: int
    characters: int
    embedder: str
    said: str

    def __str__(self) -> str:
        return (
            f"{self.source} cannot be indexed: its chunk {self.chunk_index} ({self.characters:,} characters) "
            f"is longer than {self.embedder!r} reads ({self.said.strip().rstrip('.')}). Lower chunk_size."
        )


class UnreadableDocumentError(Fields, IngestionError, ValueError):
    """
    A file holds no text, or not in the form that its suffix says.

    Attributes:
        line: 1-based; None when none is to blame.
    """

    source: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{file_line(self.source, self.line)} cannot be read: {self.reason}"


class StoreError(Fields, LatentError):
    """An index of a vector store cannot be used."""

    store: str
    index: str
    reason: str
    template = "Index {index!r} of {store}: {reason}"


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
    """
    So many sources are gone that a mistake is likelier than a wish; nothing was removed.

    Attributes:
        gone: The sources that are gone or empty now.
        known: How many sources the index has.
        max_loss: The share that may go at once.
    """

    def __init__(self, store: str, index: str, gone: tuple[str, ...], known: int, max_loss: float) -> None:
        super().__init__(store, index, "too many sources are gone")
        self.args = (store, index, gone, known, max_loss)
        self.gone, self.known, self.max_loss = gone, known, max_loss

    def __str__(self) -> str:
        shown = ", ".join(map(repr, self.gone[:3])) + (", ..." if len(self.gone) > 3 else "")
        share = min(1.0, -(-100 * len(self.gone) // self.known) / 100)
        return (
            f"Index {self.index!r} of {self.store} would lose {len(self.gone)} of its {self.known} sources, "
            f"more than {self.max_loss:.0%} at once ({shown}). They are gone or empty; nothing was removed. "
            f"If that is meant, say max_loss={share:g}; to keep them, prune=False."
        )


class ServerUnreachableError(Fields, LatentError, ConnectionError):
    """
    Prefect's settings name a server, and it does not answer.

    Attributes:
        has_begun: Whether the run was under way; else nothing has happened yet.
    """

    address: str
    reason: str
    has_begun: bool = False

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


class RunSupersededError(Fields, LatentError):
    """A run that its server took for dead is alive, and another one goes on in its place by now."""

    flow_name: str
    run_name: str
    successor: str
    template = (
        "Run {run_name!r} of flow {flow_name!r} ends: nothing was heard of it for so long "
        "that it counted as crashed, and run {successor!r} goes on in its place. What is finished "
        "is kept."
    )


class ServiceError(Fields, LatentError):
    """A server of the workspace, Prefect's or MLflow's, cannot be started, ended or used."""

    name: str | None
    reason: str

    def __str__(self) -> str:
        title = {"prefect": "Prefect's server: ", "mlflow": "MLflow's server: "}.get(self.name or "", "")
        return f"{title}{self.reason}"


class ServiceStartError(ServiceError):
    """
    A server ended while it started, or does not answer.

    Attributes:
        what: What became of it, as the end of a sentence.
        lines: The last of what it wrote to `log`.
    """

    def __init__(self, name: str, what: str, log: str, lines: str) -> None:
        super().__init__(name, f"it {what}. Its log is {log}; the end of it:\n{lines}")
        self.args = (name, what, log, lines)
        self.what, self.log, self.lines = what, log, lines


class TrackingError(LatentError):
    """A run folder, the spool or the MLflow store cannot be used."""


class DamagedDatabaseError(Fields, TrackingError):
    """The workspace's MLflow database exists but cannot be read; it is never deleted or overwritten."""

    file: str
    reason: str
    template = (
        "The MLflow database {file} is damaged ({reason}). "
        "Put a backup in its place, or move it away: the next run then starts a new one. "
        "Runs go on meanwhile and are sent once it can be read."
    )


class RunNotFoundError(Fields, TrackingError, KeyError):
    """No run, or more than one, is meant by an id or the beginning of one."""

    wanted: str
    matches: tuple[str, ...]
    place: str

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


class FlowNotFoundError(Fields, RegistryError, KeyError):
    """The workspace has no flow of this name."""

    name: str
    known: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        hint = did_you_mean(self.name, self.known, "`latent ls` shows the flows that exist.")
        return f"There is no flow {self.name!r} in {self.place}: {hint}"


class FlowImportError(Fields, RegistryError, ImportError):
    """Python cannot load a flow file; the message names the file, the line and the reason."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{file_line(self.file, self.line)} cannot be loaded: {self.reason}"


class RunStoppedError(Fields, LatentError):
    """
    Rows were left out on purpose; what is done is kept, and the next run goes on from there.

    Attributes:
        reason: What ended the work: a budget that is used up, too many failures, an exhausted quota.
    """

    reason: str
    task_name: str | None = None
    row_index: int | None = None

    def __str__(self) -> str:
        where = (
            "" if self.row_index is None else f"Row {self.row_index} of task {self.task_name!r} was skipped. "
        )
        return f"{where}{self.reason}"

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
    ├── ScoringError (ValueError)   what a scorer returned for a row is not a score
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

from latent.errors.base import LatentError, UsageError
from latent.errors.documents import (
    ChunkSettingError,
    ChunkTooLongError,
    IngestionError,
    NoDocumentsError,
    PruneError,
    SourceConnectionError,
    StoreConnectionError,
    StoreError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreRefusedError,
    StoreUsageError,
    UnreadableDocumentError,
)
from latent.errors.evaluations import (
    ComparisonError,
    EvaluationDataError,
    EvaluationNotFoundError,
    ExpressionError,
    GateError,
    ImportedResultsError,
    RecipeError,
    ScorerError,
    ScoringError,
    StatisticsError,
)
from latent.errors.models import (
    AttachmentError,
    BrokenTextError,
    ContextWindowError,
    EmptyTextError,
    MissingKeyError,
    ModelAnswerError,
    ModelCallError,
    ModelConnectionError,
    ModelRefusedError,
    ModelSpecError,
    ModelTimeoutError,
    PromptError,
    RecordingError,
    RecordingMissError,
    TextTooLongError,
    UnknownModelError,
    WrongAddressError,
    WrongKeyError,
)
from latent.errors.runs import (
    DamagedDatabaseError,
    NotInRunError,
    RunNotFoundError,
    RunStoppedError,
    RunSupersededError,
    ServerUnreachableError,
    ServiceError,
    ServiceStartError,
    SimulatorError,
    TrackingError,
)
from latent.errors.tasks import FailedRowsError, PortableError, RowEndedError, TaskExecutionError
from latent.errors.workspace import (
    CacheError,
    CatalogError,
    CodeChangedError,
    ConfigError,
    ConfigValidationError,
    DatasetAccessError,
    DatasetConfigError,
    DatasetLoadError,
    DatasetNotFoundError,
    DatasetSaveError,
    DeploymentError,
    DeploymentNotFoundError,
    FlowImportError,
    FlowNotFoundError,
    MissingExtraError,
    OutputMismatchError,
    ParameterNotFoundError,
    RegistryError,
    SettingsError,
    UnhashableError,
    UnknownLimitError,
    UnstorableError,
    WorkspaceError,
)

__all__ = [
    "AttachmentError",
    "BrokenTextError",
    "CacheError",
    "CatalogError",
    "ChunkSettingError",
    "ChunkTooLongError",
    "CodeChangedError",
    "ComparisonError",
    "ConfigError",
    "ConfigValidationError",
    "ContextWindowError",
    "DamagedDatabaseError",
    "DatasetAccessError",
    "DatasetConfigError",
    "DatasetLoadError",
    "DatasetNotFoundError",
    "DatasetSaveError",
    "DeploymentError",
    "DeploymentNotFoundError",
    "EmptyTextError",
    "EvaluationDataError",
    "EvaluationNotFoundError",
    "ExpressionError",
    "FailedRowsError",
    "FlowImportError",
    "FlowNotFoundError",
    "GateError",
    "ImportedResultsError",
    "IngestionError",
    "LatentError",
    "MissingExtraError",
    "MissingKeyError",
    "ModelAnswerError",
    "ModelCallError",
    "ModelConnectionError",
    "ModelRefusedError",
    "ModelSpecError",
    "ModelTimeoutError",
    "NoDocumentsError",
    "NotInRunError",
    "OutputMismatchError",
    "ParameterNotFoundError",
    "PortableError",
    "PromptError",
    "PruneError",
    "RecipeError",
    "RecordingError",
    "RecordingMissError",
    "RegistryError",
    "RowEndedError",
    "RunNotFoundError",
    "RunStoppedError",
    "RunSupersededError",
    "ScorerError",
    "ScoringError",
    "ServerUnreachableError",
    "ServiceError",
    "ServiceStartError",
    "SettingsError",
    "SimulatorError",
    "SourceConnectionError",
    "StatisticsError",
    "StoreConnectionError",
    "StoreError",
    "StoreMismatchError",
    "StoreNotFoundError",
    "StoreRefusedError",
    "StoreUsageError",
    "TaskExecutionError",
    "TextTooLongError",
    "TrackingError",
    "UnhashableError",
    "UnknownLimitError",
    "UnknownModelError",
    "UnreadableDocumentError",
    "UnstorableError",
    "UsageError",
    "WorkspaceError",
    "WrongAddressError",
    "WrongKeyError",
]

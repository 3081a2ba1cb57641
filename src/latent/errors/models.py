"""Errors of models and embedders: how they were asked, and what became of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from latent.errors.base import Fields, LatentError, UsageError
from latent.errors.text import file_line, first_few

if TYPE_CHECKING:
    from collections.abc import Mapping


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


class PromptError(Fields, UsageError, ValueError):
    """A prompt template cannot be found, read or filled in."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"Prompt {file_line(self.file, self.line)} cannot be used: {self.reason}"


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

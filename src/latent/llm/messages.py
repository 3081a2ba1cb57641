"""What is said to a model: texts, images and files, in the forms that people write them."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from latent.errors import AttachmentError, ModelSpecError
from latent.llm.surrogates import check_whole

Role = Literal["user", "assistant", "system"]
ROLES: tuple[Role, ...] = ("user", "assistant", "system")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """
    Something beside text in a message, by its bytes or by its address.

    Known again by its content: a file that was read and then changed is another attachment.
    """

    data: bytes | None = field(default=None, repr=False)
    url: str | None = None
    """Where the provider fetches it itself; None when `data` is sent."""
    media_type: str = "application/octet-stream"
    name: str | None = None
    """Shown to the model where the provider has a place for it."""

    @classmethod
    def of(cls, source: str | Path | bytes, media_type: str | None = None) -> Attachment:
        """
        An attachment from a file's path, an `http(s)://` address, or bytes.

        Raises:
            AttachmentError: The file cannot be read, or nothing tells its media type.
        """
        if isinstance(source, bytes):
            return cls(data=source, media_type=media_type or cls._guessed(None, _type_of(source)))
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            guessed = media_type or mimetypes.guess_type(source.partition("?")[0])[0]
            return cls(url=source, media_type=guessed or cls._fallback())
        path = Path(source)
        try:
            data = path.read_bytes()
        except OSError as error:
            reason = f"it cannot be read ({error.strerror or error})."
            raise AttachmentError(cls._kind(), str(path), reason) from error
        found = media_type or _type_of(data) or mimetypes.guess_type(path.name)[0]
        return cls(data=data, media_type=cls._guessed(str(path), found), name=path.name)

    @classmethod
    def _guessed(cls, source: str | None, media_type: str | None) -> str:
        if media_type is None:
            reason = "nothing tells its media type: pass media_type='...'."
            raise AttachmentError(cls._kind(), source, reason)
        return media_type

    @classmethod
    def _kind(cls) -> str:
        return cls.__name__.lower()

    @classmethod
    def _fallback(cls) -> str:
        return "application/octet-stream"

    @property
    def base64(self) -> str:
        """The bytes as text."""
        return base64.b64encode(self.data or b"").decode()

    @property
    def data_url(self) -> str:
        """The address, or the bytes as one."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"

    def __latent_hash__(self) -> Any:
        return ("latent.llm.attachment", self._kind(), self.data, self.url, self.media_type, self.name)


class Image(Attachment):
    """A picture in a message: `Image.of("chart.png")`. No provider has a place for its name."""

    __slots__ = ()

    def __latent_hash__(self) -> Any:
        return ("latent.llm.attachment", self._kind(), self.data, self.url, self.media_type, None)

    @classmethod
    def _fallback(cls) -> str:
        return "image/png"


class File(Attachment):
    """A document in a message, PDF above all: `File.of("report.pdf")`."""

    __slots__ = ()

    @classmethod
    def _fallback(cls) -> str:
        return "application/pdf"


class MarkedText(str):
    """
    A text up to which the provider is to keep the prompt in its cache: a part with `cache_control`.

    It is a text like any other but where it is sent; answers are found again without looking at the mark,
    which changes what a call costs and not what it says.
    """

    cache_control: Mapping[str, Any]

    def __new__(cls, text: str, cache_control: Mapping[str, Any]) -> MarkedText:
        """
        Args:
            cache_control: As the provider takes it: `{"type": "ephemeral"}`.
        """
        made = super().__new__(cls, text)
        made.cache_control = dict(cache_control)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return MarkedText, (str(self), self.cache_control)


Part: TypeAlias = "str | Attachment"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def is_marked(self) -> bool:
        """Whether a part of it has `cache_control`."""
        return any(isinstance(part, MarkedText) for part in self.parts)

    @property
    def text(self) -> str:
        """Its texts, one below the other."""
        return "\n".join(part for part in self.parts if isinstance(part, str))

    def __latent_hash__(self) -> Any:
        plain = tuple(str(part) if isinstance(part, MarkedText) else part for part in self.parts)
        return ("latent.llm.message", self.role, plain)


Prompt: TypeAlias = "str | Message | Attachment | Mapping[str, Any] | Sequence[Any]"
"""What `complete` takes: a text, parts of one message, a message, or several."""

Turns: TypeAlias = "str | tuple[Message, ...]"
"""A prompt in its one normal form: the text of a single message from the user, or messages."""


def turns_of(spec: str, prompt: Prompt, name: str = "the prompt") -> Turns:
    """
    A prompt in its normal form, so that equal prompts are remembered as one.

    Args:
        name: What it is called where it is empty.

    Raises:
        ModelSpecError: It is empty, or says something else than texts, images and files.
        BrokenTextError: A text in it holds a lone surrogate.
    """
    if isinstance(prompt, str):
        if not prompt:
            raise ModelSpecError(spec, f"{name} is empty.")
        check_whole(spec, name, prompt)
        return prompt
    messages = tuple(_messages(spec, prompt))
    if not messages or not any(message.parts for message in messages):
        raise ModelSpecError(spec, f"{name} is empty.")
    for part in (part for message in messages for part in message.parts):
        check_whole(spec, name, part if isinstance(part, str) else part.name or "")
    first = messages[0]
    if len(messages) == 1 and first.role == "user" and len(first.parts) == 1 and type(first.parts[0]) is str:
        return first.parts[0]
    return messages


def messages_of(turns: Turns) -> tuple[Message, ...]:
    """The messages of a prompt in its normal form."""
    return (Message("user", (turns,)),) if isinstance(turns, str) else turns


def split_system(system: str | None, turns: Turns) -> tuple[list[str], tuple[Message, ...]]:
    """The texts of the system prompt, with what messages add to it, and the other messages."""
    messages = messages_of(turns)
    texts = [system] if system else []
    told = [message for message in messages if message.role == "system"]
    if not told:
        return texts, messages
    for message in told:
        texts += (
            [part for part in message.parts if isinstance(part, str)] if message.is_marked else [message.text]
        )
    return texts, tuple(message for message in messages if message.role != "system")


def _messages(spec: str, prompt: Any) -> list[Message]:
    if isinstance(prompt, (Message, Mapping)):
        return [_message(spec, prompt)]
    if isinstance(prompt, Attachment):
        return [Message("user", (prompt,))]
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes):
        raise ModelSpecError(spec, f"a prompt must be a string or messages, not {_a_kind(prompt)}.")
    if all(isinstance(each, Message) or (isinstance(each, Mapping) and "role" in each) for each in prompt):
        return [_message(spec, each) for each in prompt]
    return [Message("user", _parts(spec, prompt))]


def _message(spec: str, given: Any) -> Message:
    message = given if isinstance(given, Message) else _message_of(spec, given)
    attached = next((part for part in message.parts if not isinstance(part, str)), None)
    if message.role == "system" and attached is not None:
        kind = type(attached).__name__
        raise ModelSpecError(spec, f"a system message holds only text: put the {kind} into one of the user.")
    return message


def _message_of(spec: str, given: Any) -> Message:
    role, unknown = given.get("role"), sorted(set(given) - {"role", "content"})
    if role not in ROLES:
        raise ModelSpecError(spec, f"a message's role is one of {', '.join(ROLES)}, not {role!r}.")
    if unknown:
        raise ModelSpecError(spec, f"a message has `role` and `content`, and no {unknown[0]!r}.")
    content = given.get("content")
    if content is None:
        reason = f"a message of the role {role!r} has no `content`: write a text, or a list of parts."
        raise ModelSpecError(spec, reason)
    many = isinstance(content, Sequence) and not isinstance(content, (str, bytes))
    return Message(role, _parts(spec, content if many else [content]))


def _parts(spec: str, given: Sequence[Any]) -> tuple[Part, ...]:
    return tuple(part for each in given if (part := _part(spec, each)) != "")


def _part(spec: str, given: Any) -> Part:
    if isinstance(given, (str, Attachment)):
        return given
    if isinstance(given, Mapping) and given.get("type") == "text" and isinstance(given.get("text"), str):
        return _text_part(spec, given)
    raise ModelSpecError(
        spec,
        f"a part of a message must be a string, Image.of(...) or File.of(...), not {_a_kind(given)}.",
    )


def _text_part(spec: str, given: Mapping[str, Any]) -> str:
    text, mark = str(given["text"]), given.get("cache_control")
    # What SDKs write down of texts that have none (`citations: None`) says nothing.
    unknown = [name for name in given if name not in ("type", "text", "cache_control") and given[name]]
    if unknown:
        reason = (
            f"a part of a message that is a text has no {unknown[0]!r}: it would not be sent. Leave it out."
        )
        raise ModelSpecError(spec, reason)
    if mark is None:
        return text
    if not isinstance(mark, Mapping) or "type" not in mark:
        raise ModelSpecError(
            spec, f'`cache_control` is a mapping such as {{"type": "ephemeral"}}, not {mark!r}.'
        )
    return MarkedText(text, mark) if text else ""


def _a_kind(given: object) -> str:
    """What a value is, with its article: `an int`."""
    name = type(given).__name__
    return "None" if given is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


def _type_of(data: bytes) -> str | None:
    """The media type that the first bytes tell: names lie more often."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), None)

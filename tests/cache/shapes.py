"""Classes at the top of a module: what codecs can find again."""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, PrivateAttr, RootModel


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Name(enum.StrEnum):
    ADA = "ada"


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: Any
    right: Any = None


@dataclass
class Document:
    text: str
    scores: dict[str, float] = field(default_factory=dict)
    parent: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    value: Any
    derived: int = field(init=False, default=0)


made = []


@dataclass
class Counted:
    """Counts how often it is made the usual way."""

    value: int

    def __post_init__(self) -> None:
        made.append(self)


class Answer(BaseModel):
    text: str
    usage: dict[str, int] | None = None
    document: Document | None = None
    colour: Colour = Colour.RED
    _raw: Any = PrivateAttr(default=None)


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    name: str


class Names(RootModel[list[str]]):
    pass


class Outer:
    @dataclass
    class Inner:
        value: int


@dataclass
class Page:
    text: str

    @cached_property
    def lock(self) -> Any:
        return threading.Lock()


class Sheet(BaseModel):
    text: str

    @cached_property
    def lock(self) -> Any:
        return threading.Lock()

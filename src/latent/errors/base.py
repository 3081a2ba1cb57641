"""What all errors have in common: their base, and how an error is made of its fields."""

from __future__ import annotations

from typing import Any, ClassVar, dataclass_transform


class LatentError(Exception):
    """Base of every error that latent raises on purpose."""

    __module__ = "latent.errors"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("latent.errors."):
            # Tracebacks and pickles name an error by the place that users import it from.
            cls.__module__ = "latent.errors"


_REQUIRED: Any = object()


@dataclass_transform(eq_default=False)
class Fields(LatentError):  # noqa: N818  # a base, which is never raised itself
    """
    Base of the errors that carry values: the annotations of a class and its bases are what it is made of.

    They are given in their order or by name, are attributes of the error, and stand in `args`, since errors
    cross process borders by pickle. A type checker sees the `__init__` of a dataclass; dataclasses themselves
    would cost each start of the command line the compilation of sixty functions.

    Attributes:
        template: What the error says, a format string of its fields.
    """

    template: ClassVar[str]
    _fields: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls).get("__annotations__", {})
        cls._fields = cls._fields | {name: vars(cls).get(name, _REQUIRED) for name in own}

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self._fields, values, strict=False)) | named
        fields = self._fields | given
        fits = len(given) == len(values) + len(named) and len(fields) == len(self._fields)
        if not fits or any(value is _REQUIRED for value in fields.values()):
            raise TypeError(f"{type(self).__name__} is made of {', '.join(self._fields)}, not of {given!r}")
        # Not through OSError's own reading of two arguments, which makes them an errno and its text.
        Exception.__init__(self, *fields.values())
        vars(self).update(fields)

    def __str__(self) -> str:
        return self.template.format_map(vars(self))


class UsageError(LatentError):
    """A wrong call or command; the command line ends with exit code 2."""

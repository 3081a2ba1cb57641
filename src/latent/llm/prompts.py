"""
Prompts as files: Jinja2 templates in `flows/<name>/prompts/*.md`.

Sandboxed, since a prompt may come from elsewhere; strict, since an undefined name in a prompt is paid for and
not seen. What a template renders to is what the model is asked, and what its answer is remembered by.

Lines that hold nothing but tags vanish; all others stay as they are written. Jinja's own `trim_blocks` takes
the end of every line that ends with a tag, also of one with text in it: `Language: {% if de %}German{%
endif %}` would run into the next line.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2.lexer import Lexer
from jinja2.sandbox import SandboxedEnvironment

from latent.errors import PromptError
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from jinja2 import Template, nodes

    from latent.prefect.run import Run

Token = tuple[int, str, str]
"""The line, the kind and the text of a piece of a template, as Jinja cuts it."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ENDS = frozenset({"block_end", "comment_end", "raw_end"})


class PromptEnvironment(SandboxedEnvironment):
    """A sandbox whose templates keep their lines."""

    @cached_property
    def lexer(self) -> Lexer:
        return _LineLexer(self)


class _LineLexer(Lexer):
    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[Token]:
        for line in _lines(super().tokeniter(source, name, filename, state)):
            yield from _without_blanks(line)


def _lines(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The pieces of each line; the text between tags is cut at its line ends."""
    line: list[Token] = []
    for number, kind, text in tokens:
        if kind != "data":
            line.append((number, kind, text))
            continue
        for place, piece in enumerate(_LINE.findall(text)):
            line.append((number + place, kind, piece))
            if piece.endswith("\n"):
                yield line
                line = []
    yield line


def _without_blanks(line: list[Token]) -> list[Token]:
    """A line without its indentation and its end, where there are only tags in it."""
    tags = [place for place, (_, kind, _) in enumerate(line) if kind != "data"]
    has_text = any(kind == "variable_begin" or (kind == "data" and text.strip()) for _, kind, text in line)
    if not tags or has_text:
        return line
    first, last = tags[0], tags[-1]
    # `{%+` and `+%}` keep what is before and behind them, as in Jinja.
    head = line[:first] if line[first][2].endswith("+") else []
    _, kind, text = line[last]
    tail = line[last + 1 :]
    is_cut = kind in _ENDS and not text.startswith("+") and [piece for _, _, piece in tail] == ["\n"]
    return [*head, *line[first : last + 1], *([] if is_cut else tail)]


FOLDER = "prompts"
SUFFIX = ".md"


class PromptTemplate:
    """
    A prompt with names to be filled in: `prompt("judge").render(question=..., answer=...)`.

    Among the arguments of a task it counts by its text, so that a changed file is asked again.
    """

    __slots__ = ("_folder", "path", "text")

    def __init__(self, text: str, path: Path | None = None) -> None:
        """
        Args:
            path: The file that it comes from; other templates of its folder can be included.

        Raises:
            PromptError: It is not a template; with the line.
        """
        self.text, self.path = text, path
        self._folder = None if path is None else path.parent
        self._template()

    def render(self, **values: Any) -> str:
        """
        The prompt, with every name filled in; white space at its ends is left out.

        Raises:
            PromptError: A name in it has no value, or a value cannot be used as it says.
        """
        from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError

        try:
            return self._template().render(values).strip()
        except UndefinedError as error:
            given = ", ".join(values) or "nothing"
            raise PromptError(self._name, None, f"{error.message}; given: {given}.") from error
        except TemplateSyntaxError as error:  # of a template that it includes
            raise PromptError(error.filename or self._name, error.lineno, f"{error.message}.") from error
        except TemplateError as error:
            raise PromptError(self._name, None, f"{error.message}.") from error
        except RecursionError:
            raise PromptError(self._name, None, "it includes itself, without an end.") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise PromptError(self._name, None, f"{type(error).__name__}: {error}.") from error

    @property
    def names(self) -> frozenset[str]:
        """The names that have to be given."""
        from jinja2.meta import find_undeclared_variables

        environment = _environment(self._folder)
        return frozenset(find_undeclared_variables(environment.parse(self.text)))

    @property
    def _name(self) -> str:
        return "the prompt" if self.path is None else str(self.path)

    def _template(self) -> Template:
        return _compiled(self.text, self._folder, self._name)

    def __repr__(self) -> str:
        return f"PromptTemplate({self._name!r})" if self.path else f"PromptTemplate({self.text[:40]!r})"

    def __latent_hash__(self) -> Any:
        # What it includes counts too, as far as the names of the files stand in it.
        return ("latent.llm.prompt", self.text, _included(self.text, self._folder))

    def __reduce__(self) -> tuple[Any, ...]:
        return PromptTemplate, (self.text, self.path)


def prompt(name: str, *, folder: str | Path | None = None) -> PromptTemplate:
    """
    The template `<name>.md` of the running flow; outside of a run, of the flow that the caller's file is in.

    A task that reads one depends on its text: a changed file has the task computed again.

    Args:
        folder: Where it lies; the flow's `prompts/` by default.

    Raises:
        PromptError: There is no such file, or it is not a template.
    """
    run = _run(inspect.currentframe())
    place = Path(folder) if folder is not None else _folder_of(run)
    file = place / f"{name}{'' if name.endswith(SUFFIX) else SUFFIX}"
    if not file.exists():
        known = sorted(each.stem for each in place.glob(f"*{SUFFIX}"))
        listed = f"it has {', '.join(known)}." if known else "it has none."
        raise PromptError(str(file), None, f"there is no such file: {did_you_mean(name, known, listed)}")
    made = PromptTemplate(_read(file), file)
    _note_read(run, file, made)
    return made


def _run(frame: Any) -> Run:
    from latent.prefect.run import current_run, surroundings

    if (run := current_run()) is not None:
        return run
    caller = frame.f_back if frame is not None else None
    return surroundings(caller.f_code.co_filename if caller is not None else None)


def _folder_of(run: Run) -> Path:
    home = run.workspace.flow_folder(run.flow_name) if run.flow_name else None
    if home is None:
        what = f"flow {run.flow_name!r} has no folder" if run.flow_name else "no flow is running"
        raise PromptError(FOLDER, None, f"{what}, so there is none of prompts either: pass folder=.")
    return home / FOLDER


def _note_read(run: Run, file: Path, made: PromptTemplate) -> None:
    """Write down that whatever runs here depends on the file, and on those that it includes."""
    from latent.prefect.scope import record_read

    included = [file.parent / name for name in _included(made.text, file.parent)]
    record_read(run.read_files([file, *included]))


def _included(text: str, folder: Path | None) -> dict[str, str]:
    """What a template includes, and what that includes: the texts of files of its folder, by name."""
    from jinja2.meta import find_referenced_templates

    if folder is None:
        return {}
    found: dict[str, str] = {}
    waiting = [("the prompt", text)]
    while waiting:
        for name in find_referenced_templates(_parsed(*waiting.pop(), folder)):
            if name is not None and name not in found and (file := folder / name).is_file():
                found[name] = _read(file)
                waiting.append((str(file), found[name]))
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(str(file), None, f"it is not text in UTF-8: {error}.") from error
    except OSError as error:
        raise PromptError(str(file), None, f"it cannot be read: {error.strerror or error}.") from error


def _parsed(name: str, text: str, folder: Path) -> nodes.Template:
    from jinja2 import TemplateSyntaxError

    try:
        return _environment(folder).parse(text)
    except TemplateSyntaxError as error:
        raise PromptError(name, error.lineno, f"{error.message}.") from error


@lru_cache(maxsize=64)
def _environment(folder: Path | None) -> SandboxedEnvironment:
    from jinja2 import FileSystemLoader, StrictUndefined

    loader = None if folder is None else FileSystemLoader(folder, encoding="utf-8-sig")
    # Prompts are not HTML: nothing is escaped.
    return PromptEnvironment(
        loader=loader, undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )


@lru_cache(maxsize=256)
def _compiled(text: str, folder: Path | None, name: str) -> Template:
    from jinja2 import TemplateSyntaxError

    try:
        return _environment(folder).from_string(text)
    except TemplateSyntaxError as error:
        raise PromptError(name, error.lineno, f"{error.message}.") from error

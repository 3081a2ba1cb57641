"""A page at work: its files, its Python and its commands, in their order, in one workspace of its own."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

from tests.docs.blocks import Block, blocks_of, tracks

COMMAND_SECONDS = 120

_QUIET = {
    "LATENT_TASKS__RETRY_DELAY_SECONDS": "0",
    "LATENT_TRACKING__IDLE_MINUTES": "0.02",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONUTF8": "1",
    "NO_COLOR": "1",
    "COLUMNS": "100",
}


class Page:
    """Runs blocks up to the one asked for, each once; so any block can be tested alone and in any order."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self.root = path, root
        self.blocks = blocks_of(path)
        self.failures: dict[int, BaseException] = {}
        self.module = ModuleType(f"example_{path.stem.replace('-', '_')}")
        self._next = 0
        (root / "config").mkdir(parents=True)
        (root / "config" / "latent.toml").write_text("")
        # Classes of an example can be found again only in a module that is known.
        sys.modules[self.module.__name__] = self.module

    def run(self, line: int) -> None:
        """
        Run the page up to the block of `line`.

        Raises:
            BaseException: Whatever that block raised, now or when a later block asked for it.
        """
        while self._next < len(self.blocks) and self.blocks[self._next].line <= line:
            block = self.blocks[self._next]
            self._next += 1
            try:
                with self._current():
                    self._run(block)
            except Exception as error:
                self.failures[block.line] = error
        if line in self.failures:
            raise self.failures[line]

    def _run(self, block: Block) -> None:
        if block.kind == "file":
            assert block.path is not None
            file = self.root / block.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            self._run_python(block)
        elif block.kind == "console" and block.runs:
            self._run_console(block)

    def _run_python(self, block: Block) -> None:
        # Tracebacks and fingerprints of code read the file: its lines are those of the page.
        file = self.root / f"{self.module.__name__}_{block.line}.py"
        file.write_text("\n" * block.line + block.text, encoding="utf-8")
        code = compile(file.read_text(encoding="utf-8"), str(file), "exec", dont_inherit=True)
        if not block.runs:
            return
        self.module.__file__ = str(file)
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(code, vars(self.module))
        if block.expected is not None:
            assert_shows(block.expected, printed.getvalue())

    def _run_console(self, block: Block) -> None:
        commands = list(_commands(block.text))
        assert commands, f"{block.label}: a console block has lines that begin with `$ `"
        for number, (command, shown) in enumerate(commands, start=1):
            wanted = block.exit_code if number == len(commands) else 0
            done = subprocess.run(
                _argv(command),
                env=dict(os.environ) | _assignments(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                timeout=COMMAND_SECONDS,
                check=False,
            )
            assert done.returncode == wanted, f"$ {command}\nended with {done.returncode}:\n{done.stdout}"
            if shown:
                assert_shows(shown, done.stdout)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """In the page's workspace, with the environment of a fresh terminal."""
        folder, environ = Path.cwd(), dict(os.environ)
        for name in [name for name in os.environ if name.startswith("LATENT_")]:
            del os.environ[name]
        # Commands that may not keep compiled files take a second longer, each.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        source = str(Path(__file__).parents[2] / "src")
        os.environ.update(
            _QUIET
            | {"PYTHONPATH": os.pathsep.join([source, environ.get("PYTHONPATH", "")]).strip(os.pathsep)}
        )
        if not tracks(self.path):
            os.environ["LATENT_TRACKING__ENABLED"] = "false"
        os.chdir(self.root)
        sys.path.insert(0, str(self.root))
        _forget_flows()
        try:
            yield
        finally:
            sys.path.remove(str(self.root))
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environ)


def assert_shows(shown: str, actual: str) -> None:
    """
    Compare what a page shows with what was printed.

    `...` stands for any text, and on a line of its own for any lines. Times, ids and blanks may differ; log
    lines need not be shown, nor the tracebacks that belong to them.
    """
    if not _LOG_LINE.search(shown):
        actual = _without_log(actual)
    pattern = "".join(_line_pattern(line) for line in _steady(shown).splitlines())
    assert re.fullmatch(pattern, _steady(actual) + "\n"), f"shown:\n{shown}\nprinted:\n{actual}"


def _without_log(text: str) -> str:
    kept, in_traceback = [], False
    for line in text.splitlines(keepends=True):
        if _LOG_LINE.match(line) or line.startswith(("Flow '", "Error: ")):
            in_traceback = False
        elif "Traceback (most recent call last)" in line:
            in_traceback = True
        if not in_traceback and not _LOG_LINE.match(line):
            kept.append(line)
    return "".join(kept)


_LOG_LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} \| [A-Z]+ +\| ", re.MULTILINE)
_CHANGING = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{32}\b|'id': '[0-9a-f]{16}'"), "<hash>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "<moment>"),
    (re.compile(r"^\d\d:\d\d:\d\d\.\d{3}", re.MULTILINE), "<time>"),
    (re.compile(r"\b[\d.]+ (?:ms|s|min \d+ s)(?= |$|[.:,])", re.MULTILINE), "<duration>"),
    (re.compile(r"(Flow|Task) run '[\w-]+'"), r"\1 run <name>"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" $", re.MULTILINE), ""),
]


def _steady(text: str) -> str:
    """`text` without what is different in each run."""
    for pattern, replacement in _CHANGING:
        text = pattern.sub(replacement, text)
    return text.strip("\n")


def _line_pattern(line: str) -> str:
    if line.strip() == "...":
        return r"(?:.*\n)*?"
    return r".*?".join(map(re.escape, line.split("..."))) + r"\n"


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command with what is shown to be printed by it; a backslash continues a command."""
    command, shown = None, ""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command, shown
            command, shown = line.removeprefix("$ "), ""
        else:
            shown += f"{line}\n"
    if command is not None:
        yield command, shown.strip("\n")


_ASSIGNMENT = re.compile(r"^[A-Z_]+=")


def _assignments(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return dict(word.split("=", 1) for word in words if _ASSIGNMENT.match(word))


def _argv(command: str) -> list[str]:
    """The words of a command, `latent` and `python` being those under test."""
    words = [word for word in shlex.split(command, comments=True) if not _ASSIGNMENT.match(word)]
    if words[0] == "latent":
        words = ["python", "-m", *words]
    return [sys.executable if word == "python" else word for word in words]


def _forget_flows() -> None:
    """Every workspace has a package called `flows`: what was imported from another page's must not answer."""
    for name in [name for name in sys.modules if name.split(".")[0] == "flows"]:
        del sys.modules[name]

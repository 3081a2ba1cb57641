"""
Hold the shape of src/latent to the limits in pyproject.toml: import cycles, sizes, arguments.

    python scripts/shape.py            each figure and its limit; exit code 1 when a limit is broken
    python scripts/shape.py --list     and what each figure was measured on, the largest first

The sources are parsed, nothing is imported. When a change improves a figure, lower its limit.

cycle            modules in the largest group that all import each other, directly or through others; 1 means
                 none. Three sets of imports, each with those before it: at a module's top level; deferred,
                 inside functions; for typing alone. `from package import name` imports the submodule of that
                 name, or else the package's `__init__`.
single importer  modules that at most one other module imports; `__init__` and `__main__` are left out
function         from `def` to its last line, with its docstring and without decorators
arguments        all but `self` and `cls`; a command's options and a flow's parameters are left out
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "latent"
TOP_LEVEL, DEFERRED, TYPING = KINDS = ("top level", "deferred", "typing")
INTERFACES = ("command", "callback", "flow")
"""Decorators of functions whose arguments are options of the command line or parameters of a flow."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """One source file. `imports` holds the names of the package's other modules, by kind of import."""

    name: str
    path: Path
    lines: int
    tree: ast.Module
    import_lines: int = 0
    imports: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})


@dataclass(frozen=True)
class Figure:
    """A measured value, what it was measured on, and what to do when it exceeds its limit."""

    title: str
    value: float
    measured_on: list[str]
    advice: str
    is_minimum: bool = False


def main(*, with_lists: bool) -> int:
    """Print each figure beside its limit; the exit code is 1 when a limit is broken."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    limits = pyproject["tool"]["latent"]["shape"]
    figures = measure(read_modules(), tuple(limits["not_counted"]))
    broken = []
    for key, figure in figures.items():
        limit = limits[key]
        sign = ">=" if figure.is_minimum else "<="
        print(f"{figure.title:42} {figure.value:>8,g} {sign} {limit:,g}")
        if figure.value < limit if figure.is_minimum else figure.value > limit:
            broken.append(
                f"{figure.title}: {figure.value:,g} breaks the limit {key} = {limit:,g}: {figure.advice}"
            )
            broken.extend(f"    {part}" for part in figure.measured_on[:12])
    if with_lists:
        for figure in figures.values():
            print(f"\n{figure.title}:", *figure.measured_on, sep="\n    ")
    print(*broken, sep="\n", end="\n" if broken else "", file=sys.stderr)
    return 1 if broken else 0


def measure(modules: list[Module], not_counted: tuple[str, ...]) -> dict[str, Figure]:
    """The figures by the key of their limit. `not_counted` names packages that two of them leave out."""
    lines = sum(module.lines for module in modules)
    counted = [m for m in modules if not m.name.startswith(not_counted)]
    tests = sum(line_count(path) for path in (ROOT / "tests").rglob("*.py"))
    most_imports = sorted(modules, key=lambda m: -m.import_lines / max(m.lines, 100))
    return {
        **cycle_figures(modules),
        "single_importer_modules": single_importers(modules, counted),
        "import_lines_percent": Figure(
            "import lines, % of all lines",
            round(100 * sum(m.import_lines for m in modules) / lines, 2),
            [f"{m.name} ({m.import_lines} of {m.lines})" for m in most_imports[:20]],
            "Merge modules of one idea; import a package's face instead of its modules.",
        ),
        **size_figures(modules, counted),
        "test_code_ratio": Figure(
            "test : code lines",
            round(tests / lines, 2),
            [f"{tests:,} lines of tests, {lines:,} of code"],
            "Test what was added.",
            is_minimum=True,
        ),
    }


def cycle_figures(modules: list[Module]) -> dict[str, Figure]:
    figures = {}
    edges: dict[str, set[str]] = {module.name: set() for module in modules}
    for kind in KINDS:
        for module in modules:
            edges[module.name] |= module.imports[kind]
        members = largest_cycle(edges)
        figures[f"cycle_{kind.replace(' ', '_')}"] = Figure(
            f"largest import cycle, {kind}",
            max(1, len(members)),
            members,
            "Move what two of them share into a module below both, or declare a protocol in the lower one.",
        )
    return figures


def single_importers(modules: list[Module], counted: list[Module]) -> Figure:
    importers = Counter(name for m in modules for name in set().union(*m.imports.values()))
    single = [
        m.name for m in counted if importers[m.name] <= 1 and m.path.stem not in ("__init__", "__main__")
    ]
    advice = "Merge such a module into its importer, unless it answers a question of its own."
    return Figure("modules with at most one importer", len(single), single, advice)


def size_figures(modules: list[Module], counted: list[Module]) -> dict[str, Figure]:
    functions = [(m, node) for m in modules for node in ast.walk(m.tree) if isinstance(node, FunctionNode)]
    lengths = sorted(((length(node), where(m, node)) for m, node in functions), reverse=True)
    arguments = [(argument_count(node), where(m, node)) for m, node in functions if not is_interface(node)]
    arguments.sort(reverse=True)
    longest = sorted(modules, key=lambda m: -m.lines)
    return {
        "longest_function": Figure(
            "longest function, lines", lengths[0][0], named(lengths), "Split it where its steps have names."
        ),
        "most_arguments": Figure(
            "most arguments",
            arguments[0][0],
            named(arguments),
            "Group options that belong together, as `RetryPolicy` does.",
        ),
        "longest_module": Figure(
            "longest module, lines",
            longest[0].lines,
            [f"{m.name} ({m.lines})" for m in longest[:20]],
            "Split it where it answers a second question.",
        ),
        "files": Figure("files", len(counted), [f"{len(counted)} files"], "Merge what is one idea."),
        "lines": Figure(
            "lines",
            sum(m.lines for m in counted),
            [f"{sum(m.lines for m in counted):,} lines"],
            "Look for a second implementation of what exists, then for what no user would miss.",
        ),
    }


def named(sizes: list[tuple[int, str]]) -> list[str]:
    return [f"{place} ({size})" for size, place in sizes[:20]]


def read_modules() -> list[Module]:
    """Every module that parses: templates with placeholders do not."""
    modules = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("latent", *path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError:
            continue
        modules.append(Module(name, path, line_count(path), tree))
    known = {module.name for module in modules}
    for module in modules:
        read_imports(module, known)
    return modules


def read_imports(module: Module, known: set[str]) -> None:
    # What an `__init__` that loads lazily names for type checkers is what it imports when asked.
    is_lazy = any(isinstance(node, FunctionNode) and node.name == "__getattr__" for node in module.tree.body)

    def visit(node: ast.AST, kind: str) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module.import_lines += length(node)
            module.imports[kind] |= set(imported(node, module)) & known - {module.name}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                visit(statement, DEFERRED if is_lazy else TYPING)
            for statement in node.orelse:
                visit(statement, kind)
        else:
            inner = DEFERRED if kind == TOP_LEVEL and isinstance(node, FunctionNode) else kind
            for child in ast.iter_child_nodes(node):
                visit(child, inner)

    def imported(node: ast.Import | ast.ImportFrom, module: Module) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        package = module.name.split(".")
        package = package[: len(package) - node.level + (module.path.stem == "__init__")]
        base = ".".join([*(package if node.level else []), *filter(None, [node.module])])
        for alias in node.names:
            submodule = f"{base}.{alias.name}"
            yield submodule if submodule in known else base

    visit(module.tree, TOP_LEVEL)


def largest_cycle(edges: dict[str, set[str]]) -> list[str]:
    """The largest set of modules of which each reaches every other, sorted; empty without a cycle."""
    reached = {name: reachable(name, edges) for name in edges}
    groups = [sorted(other for other in reached[name] if name in reached[other]) for name in edges]
    return max(groups, key=len)


def reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found


def line_count(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def where(module: Module, node: FunctionNode) -> str:
    return f"{node.name} in {module.path.relative_to(ROOT)}:{node.lineno}"


def argument_count(node: FunctionNode) -> int:
    positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    extra = [argument for argument in (node.args.vararg, node.args.kwarg) if argument]
    return len(positional) - (positional[:1] in (["self"], ["cls"])) + len(node.args.kwonlyargs) + len(extra)


def is_interface(node: FunctionNode) -> bool:
    calls = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return any(ast.unparse(call).rpartition(".")[2] in INTERFACES for call in calls)


if __name__ == "__main__":
    sys.exit(main(with_lists="--list" in sys.argv[1:]))

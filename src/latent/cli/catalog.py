"""`latent catalog`: the datasets of the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.exits import WRONG_USE
from latent.cli.options import FlowFilter, new_app, workspace_here
from latent.cli.terminal import complain, printable, say, show_table
from latent.cli.wording import size
from latent.errors import CatalogError, ConfigError, DatasetNotFoundError, FlowNotFoundError, UsageError

if TYPE_CHECKING:
    from latent.catalog import Catalog
    from latent.config import Workspace

Row = tuple[str | None, ...]

app = new_app(no_args_is_help=True)


@app.callback()
def catalog() -> None:
    """Look at the datasets."""


@app.command("list")
def list_command(flow: FlowFilter = None) -> None:
    """List the datasets that flows may name."""
    workspace = workspace_here()
    rows: list[Row] = []
    problems: list[CatalogError | ConfigError] = []
    for name in _flow_names(workspace, flow):
        try:
            rows += _rows(_load(workspace, name), name)
        except (CatalogError, ConfigError) as error:
            problems.append(error)
    if rows:
        show_table(["flow", "dataset", "type", "path", "exists"], rows)
    elif not problems:
        say("No datasets yet: a flow's catalog.yaml defines them.")
    for problem in problems:
        complain(str(problem))
    if problems:
        raise typer.Exit(WRONG_USE)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset; `flow.dataset` names a flow's.")],
    flow: FlowFilter = None,
) -> None:
    """Show what a dataset is, where it lies, and the fingerprint of its content."""
    from latent.cli.summary import show_facts

    workspace = workspace_here()
    info = _holder(workspace, name, flow).describe(name)
    facts = {
        "Dataset": info.name,
        "Flow": info.flow,
        "Type": info.type,
        "Defined in": info.file,
        "Path": info.path,
        "Versioned": "yes" if info.versioned else None,
        "Exists": "yes" if info.exists else "no",
        "Size": None if info.size_bytes is None else size(info.size_bytes),
        "Fingerprint": info.fingerprint,
    }
    show_facts((label, printable(value)) for label, value in facts.items() if value)


def _flow_names(workspace: Workspace, flow: str | None) -> list[str]:
    known = list(workspace.flow_folders())
    if flow is None:
        return known
    if workspace.flow_folder(flow) is None:
        raise FlowNotFoundError(flow, tuple(known), workspace.label(workspace.flows_dir))
    return [flow]


def _load(workspace: Workspace, flow: str) -> Catalog:
    from latent.catalog import Catalog

    return Catalog.load(workspace, flow_name=flow, folder=workspace.flow_folder(flow))


def _rows(catalog: Catalog, flow: str) -> list[Row]:
    rows: list[Row] = []
    for name in catalog.names():
        dataset = catalog.dataset(name)
        # A list must not wait for a server.
        remote = "://" in (dataset.path or "")
        exists = None if remote else "yes" if dataset.exists() else "no"
        rows.append((flow, name, dataset.kind, dataset.path, exists))
    return rows


def _holder(workspace: Workspace, name: str, flow: str | None) -> Catalog:
    """The one catalog in which `name` is defined."""
    catalogs = [_load(workspace, each) for each in _flow_names(workspace, flow)]
    if not catalogs:
        raise UsageError(f"There are no flows in {workspace.flows_dir} yet, and so no catalogs.")
    holders = [catalog for catalog in catalogs if name in catalog.names()]
    if not holders:
        holders = [catalog for catalog in catalogs if name in catalog][:1]  # another flow's, or a factory's
    if not holders and len(catalogs) > 1:
        known = {each for catalog in catalogs for each in catalog.names()}
        raise DatasetNotFoundError(name, tuple(sorted(known)), "the catalog of any flow")
    # What all flows share stands in one file, and is one dataset.
    if len({catalog.dataset(name).file for catalog in holders}) > 1:
        flows = " or ".join(f"{catalog.flow_name}.{name}" for catalog in holders)
        raise UsageError(f"Several flows have a dataset {name!r}: say {flows}.")
    return (holders or catalogs)[0]

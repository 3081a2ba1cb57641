"""A flow as a deployment starts it: its parameters come over those of the workspace, as in `latent run`."""

from __future__ import annotations

import inspect
import logging
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, Self

from latent.errors import UsageError
from latent.prefect.flows import Flow, Launch
from latent.prefect.run import configuration
from latent.prefect.running import flow_arguments, refused_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prefect.client.schemas.objects import FlowRun

    from latent.config import Workspace
    from latent.prefect.discovery import FoundFlow


class _Unset(Enum):
    """Stands for a parameter that the run does not give; Prefect copies values, but none of these."""

    FROM_CONFIGURATION = "from the configuration"


class BeginChecks(Protocol):
    """Whether a run may begin; each raises Prefect's `Abort` when it may not."""

    def before(self) -> None:
        """Before it begins."""

    def begun(self) -> None:
        """When the server knows that it has begun."""


class DeployedFlow(Flow[..., Any]):
    """
    A copy of a workspace's flow whose flow runs bring run-time parameters, and not only arguments.

    Prefect takes a run's parameters for arguments of the function. Here each parameter of the configuration
    is one, too, so that a deployment may set what only `params` reads.
    """

    workspace: Workspace
    found: FoundFlow
    launcher: Callable[[FlowRun], Launch]
    checks: BeginChecks | None
    """None where the flow is only looked at."""

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        found: FoundFlow,
        launcher: Callable[[FlowRun], Launch] = lambda flow_run: Launch(dict(flow_run.parameters)),
        checks: BeginChecks | None = None,
    ) -> Self:
        """
        Args:
            launcher: What a flow run asks for: its parameters, for this flow only, and perhaps a budget.
        """
        # Parameters pass by `validate_parameters` in any case.
        made = found.flow.copied_as(cls, validate_parameters=True)
        made.workspace, made.found, made.launcher, made.checks = workspace, found, launcher, checks
        names = parameter_names(workspace, found)
        made.fn.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # read by `inspect`
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_Unset.FROM_CONFIGURATION)
                for name in names
                if name.isidentifier()
            ]
        )
        return made

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        The function's arguments, from what the run gives and what the workspace says.

        Prefect asks for them right before the run begins.
        """
        if self.checks is not None:
            self.checks.before()
        given = {name: value for name, value in parameters.items() if not isinstance(value, _Unset)}
        arguments = flow_arguments(self.workspace, self.found, given)
        original = self.found.flow
        return original.validate_parameters(arguments) if original.should_validate_parameters else arguments

    def launched_by(self, flow_run: FlowRun) -> Launch:
        """What the flow run asks for; the server knows by now that it has begun."""
        if self.checks is not None:
            self.checks.begun()
        return self.launcher(flow_run)


def check_parameters(workspace: Workspace, found: FoundFlow, parameters: Mapping[str, Any]) -> None:
    """
    See that a run with these parameters over those of the workspace would begin.

    Raises:
        ConfigValidationError: The flow's schema refuses them.
        UsageError: The flow's function takes no such arguments, or needs others.
    """
    from prefect.exceptions import ParameterTypeError

    flow = found.flow
    configuration(workspace, flow_name=found.name, schema=flow.config_schema, overrides=parameters)
    arguments = flow_arguments(workspace, found, parameters)
    try:
        inspect.signature(flow.fn).bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"Flow {found.name!r} cannot run with these parameters: {error}. Set it here, or in the flow's "
            "parameters.yaml"
        ) from None
    try:
        with _without_its_log_line():
            flow.validate_parameters(arguments) if flow.should_validate_parameters else None
    except ParameterTypeError as error:
        raise refused_arguments(error, found.name) or error from None


@contextmanager
def _without_its_log_line() -> Iterator[None]:
    """Prefect logs what it refuses before it raises it."""
    logger = logging.getLogger("prefect.flows")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def parameter_names(workspace: Workspace, found: FoundFlow) -> list[str]:
    """
    What a deployment of the flow may set: the function's parameters, those of its configuration and schema,
    and what the workspace's deployments set.
    """
    from_function = inspect.signature(found.flow.fn).parameters
    schema = found.flow.config_schema
    configured, _ = configuration(workspace, flow_name=found.name)
    deployed = [each.parameters for each in workspace.settings.deployments if each.flow == found.name]
    names = [*from_function, *(schema.model_fields if schema else ()), *map(str, configured.values)]
    return list(dict.fromkeys([*names, *(name for parameters in deployed for name in parameters)]))

"""What `latent deploy` writes into a deployment beside what Prefect itself reads: its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from latent.config import DeploymentSettings
from latent.errors import DeploymentError

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

TAG = "latent"
"""The tag of every deployment that `latent deploy` makes, and so of its runs."""

KEY = "latent"
"""Where the record stands among the job variables of a deployment: workers pass over unknown ones."""


class DeploymentRecord(BaseModel):
    """The settings of a deployment as they were deployed, and of which workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    workspace: str
    """The name of the workspace's folder: deployments of others are left alone."""
    settings: DeploymentSettings
    """Without parameters: those are Prefect's."""

    def as_job_variables(self) -> dict[str, Any]:
        """The job variables of the deployment, in which `record_of` finds this again."""
        return {KEY: self.model_dump(mode="json", exclude={"settings": {"parameters"}})}


def record_of(deployment: DeploymentResponse) -> DeploymentRecord | None:
    """
    What `latent deploy` wrote into a deployment, parameters included; None when it was made in another way.

    Raises:
        DeploymentError: Another version of latent wrote it.
    """
    written = (deployment.job_variables or {}).get(KEY)
    if written is None:
        return None
    try:
        record = DeploymentRecord.model_validate(written)
    except ValidationError as error:
        reason = "another version of latent deployed it: `latent deploy` it again, and update the workers"
        raise DeploymentError(deployment.name, reason) from error
    return record.model_copy(
        update={"settings": record.settings.model_copy(update={"parameters": deployment.parameters})}
    )

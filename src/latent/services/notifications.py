"""`[services] notify_webhook`: an automation of Prefect's that says where a deployed flow has failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

    from latent.config import Workspace

EVENTS = ("prefect.flow-run.Failed", "prefect.flow-run.TimedOut", "prefect.flow-run.Crashed")

# What Slack, Mattermost, Rocket.Chat and Google Chat take; others may ignore the name of the field.
_PAYLOAD = """\
{% set said = flow_run.state.message or "no message" -%}
{% set page = flow_run|ui_url -%}
{"text": {{ (deployment.name ~ ": the flow " ~ flow.name ~ " ended " ~ flow_run.state.name ~ ": " ~ said \
~ ("\\n" ~ page if page else "")) | tojson }}}"""


def install_notification(client: SyncPrefectClient, workspace: Workspace) -> bool:
    """
    See that the server calls the webhook for deployments of the workspace, or no longer does.

    Nothing is sent where all is as the settings say. The client is one of `server_client`.

    Returns:
        Whether something was changed.
    """
    from prefect.events.schemas.automations import AutomationCore

    name = f"latent notifies: {workspace.root.name}"
    known = client.read_automations_by_name(name)
    webhook = workspace.settings.services.notify_webhook
    names = [each.name for each in workspace.settings.deployments]
    if webhook is None or not names:
        for automation in known:
            client.delete_automation(automation.id)
        return bool(known)
    block_id, is_new = _block(client, workspace, str(webhook.get_secret_value()))
    wanted = _automation(name, names, block_id)
    if not known:
        client.create_automation(wanted)
        return True
    wanted.enabled = known[0].enabled  # who switched it off, meant it
    there = AutomationCore(**known[0].model_dump())
    if there.model_dump() == wanted.model_dump():
        return is_new
    client.update_automation(known[0].id, wanted)
    return True


def _automation(name: str, deployments: list[str], block_id: UUID) -> AutomationCore:
    from prefect.events.actions import CallWebhook
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    of_ours: dict[str, str | list[str]] = {
        "prefect.resource.role": "deployment",
        "prefect.resource.name": deployments,
    }
    return AutomationCore(
        name=name,
        description="Made by `latent deploy`, as `notify_webhook` in latent.toml says.",
        trigger=EventTrigger(
            expect=set(EVENTS),
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(of_ours),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=block_id, payload=_PAYLOAD)],
    )


def _block(client: SyncPrefectClient, workspace: Workspace, url: str) -> tuple[UUID, bool]:
    """The server's block with the address, and whether it was made or changed now."""
    from prefect.blocks.webhook import Webhook
    from prefect.types import SecretDict
    from pydantic import SecretStr

    # Of small letters, digits and dashes: Prefect takes nothing else.
    label = re.sub(r"[^a-z0-9]+", "-", workspace.root.name.lower()).strip("-")
    name = f"latent-notifies-{label}"
    try:
        there = cast("Webhook", Webhook.load(name))
        if there.url.get_secret_value() == url and there._block_document_id is not None:
            return there._block_document_id, False
    except ValueError:  # there is none
        pass
    block = Webhook(url=SecretStr(url), headers=SecretDict({"content-type": "application/json"}))
    return cast("UUID", block.save(name, overwrite=True)), True

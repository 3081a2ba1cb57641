"""`latent deploy` and `notify_webhook`: set up once, and taken away with the setting."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.services

OFTEN = """
[[deployments]]
flow = "squares"
name = "often"
interval = "15m"
"""
WEBHOOK = """
[services]
notify_webhook = "http://127.0.0.1:9/hook"
"""


def test_deploying_sets_up_the_webhook_once_and_takes_it_away_with_the_setting(deploy, client):
    assert "are told to notify_webhook" in deploy(OFTEN + WEBHOOK)
    ours = [each for each in client.read_automations() if "notify_webhook" in each.description]
    assert len(ours) == 1
    assert "notify_webhook" not in deploy(OFTEN + WEBHOOK)
    assert "no longer told to notify_webhook" in deploy(OFTEN)
    assert ours[0].id not in {each.id for each in client.read_automations()}

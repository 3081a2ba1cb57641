"""`latent deploy` on a real server: what it makes, what it leaves alone, and what it removes when told to."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from latent.services import server_client
from latent.services.crashes import AUTOMATION
from latent.services.deployments.deploying import carry_out, deployments_there, plan_deployments

pytestmark = pytest.mark.services

NIGHTLY = """
[[deployments]]
flow = "squares"
name = "nightly"
cron = "0 2 * * *"
timezone = "Europe/Berlin"
parameters = { count = 4 }
"""
OFTEN = """
[[deployments]]
flow = "squares"
name = "often"
interval = "15m"
"""


def test_deploying_makes_what_the_settings_say_and_a_second_time_changes_nothing(deploy, client):
    toml = NIGHTLY + OFTEN + '[[deployments]]\nflow = "squares"\nname = "rule"\nrrule = "FREQ=MINUTELY"\n'
    planned = deploy(toml, "--plan")
    assert "+ squares/nightly  new" in planned and "02:00 does not exist on" in planned
    with pytest.raises(ObjectNotFound):
        client.read_deployment_by_name("squares/nightly")

    assert "3 new" in deploy(toml)
    made = client.read_deployment_by_name("squares/nightly")
    (schedule,) = made.schedules
    assert (schedule.slug, schedule.active) == ("nightly", True)
    assert schedule.schedule == CronSchedule(cron="0 2 * * *", timezone="Europe/Berlin")
    assert (made.parameters, made.work_pool_name, made.tags) == ({"count": 4}, "default", ["latent"])
    assert made.global_concurrency_limit is None
    assert client.read_work_pool("default").type == "process"

    again = deploy(toml)
    assert "3 unchanged" in again and "->" not in again
    assert client.read_deployment_by_name("squares/nightly").updated == made.updated


def test_of_two_that_deploy_at_once_both_succeed_and_there_is_one_of_everything(settle, client):
    workspace = settle(NIGHTLY + 'work_pool = "of two"\n')
    plans = [plan_deployments(client, workspace, None, {}, datetime.now(UTC)) for _ in range(2)]
    for plan in plans:
        carry_out(client, workspace, plan, prune=False)
    ((_, made),) = deployments_there(client, workspace)
    assert [each.slug for each in made.schedules] == ["nightly"]
    assert len(client.read_automations_by_name(AUTOMATION)) == 1


def test_scheduler_makes_runs_at_the_times_that_were_shown(deploy, client):
    shown = deploy(NIGHTLY)
    deployment = client.read_deployment_by_name("squares/nightly")
    deadline = time.monotonic() + 90
    runs = []
    while not runs:
        assert time.monotonic() < deadline, "Prefect's scheduler made no run"
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id={"any_": [deployment.id]}), sort="EXPECTED_START_TIME_ASC"
        )
        time.sleep(0.5)
    for run in runs[:3]:
        assert f"{run.expected_start_time.in_timezone('Europe/Berlin'):%a %Y-%m-%d %H:%M}" in shown
    assert "latent" in runs[0].tags


def test_change_is_shown_field_by_field_and_a_paused_deployment_stays_paused(deploy, latent, client):
    deploy(NIGHTLY + OFTEN)
    often = client.read_deployment_by_name("squares/often")
    client.update_deployment_schedule(often.id, often.schedules[0].id, active=False)  # as the page does it
    assert latent("deployments", "pause", "nightly").code == 0

    changed = deploy(NIGHTLY.replace("count = 4", "count = 5") + OFTEN.replace("15m", "20m"))
    assert "parameters.count  4 -> 5" in changed
    assert "every 15m (UTC) -> every 20m (UTC)" in changed
    assert changed.count("stays paused") == 2
    assert client.read_deployment_by_name("squares/nightly").paused
    (schedule,) = client.read_deployment_by_name("squares/often").schedules
    assert (schedule.active, schedule.schedule.interval.total_seconds()) == (False, 1_200)

    for name in ("nightly", "often"):
        assert latent("deployments", "resume", name).code == 0
    assert not client.read_deployment_by_name("squares/nightly").paused
    assert client.read_deployment_by_name("squares/often").schedules[0].active


def test_what_is_in_the_settings_no_more_goes_only_when_pruned(deploy, client):
    deploy(NIGHTLY + OFTEN)
    kept = deploy(NIGHTLY)
    assert "squares/often  is in the settings no more: `latent deploy --prune` removes it" in kept
    assert client.read_deployment_by_name("squares/often")
    assert "squares/often  removed" in deploy(NIGHTLY, "--prune")
    with pytest.raises(ObjectNotFound):
        client.read_deployment_by_name("squares/often")
    assert client.read_deployment_by_name("squares/nightly")
    assert "1 removed" in deploy("", "--prune"), "the last one can go, too"


def test_prune_leaves_other_workspaces_and_other_peoples_deployments_alone(deploy, client):
    flow_id = client.create_flow_from_name("squares")
    theirs = client.create_deployment(flow_id, "by-prefect")
    other = client.create_deployment(
        flow_id,
        "of-another-workspace",
        tags=["latent"],
        job_variables={
            "latent": {"format": 1, "workspace": "other", "settings": {"flow": "squares", "name": "x"}}
        },
    )
    try:
        deploy(NIGHTLY, "--prune")
        assert client.read_deployment(theirs) and client.read_deployment(other)
    finally:
        client.delete_deployment(theirs)
        client.delete_deployment(other)


def test_schedule_that_the_settings_give_up_is_taken_from_the_server(deploy, client):
    deploy(NIGHTLY)
    assert "(Europe/Berlin) -> on demand" in deploy(NIGHTLY.replace('cron = "0 2 * * *"', ""))
    assert client.read_deployment_by_name("squares/nightly").schedules == []


def test_edits_on_the_server_are_seen_and_set_right_and_additions_kept_until_pruned(deploy, client):
    deploy(NIGHTLY)
    there = client.read_deployment_by_name("squares/nightly")
    client.update_deployment_schedule(
        there.id, there.schedules[0].id, schedule=CronSchedule(cron="0 3 * * *", timezone="UTC")
    )
    client.create_deployment_schedules(there.id, [(CronSchedule(cron="0 4 * * *", timezone="UTC"), True)])
    told = deploy(NIGHTLY)
    assert "0 3 * * *" in told and "A schedule that was added on the server stays" in told
    crons = {each.schedule.cron for each in client.read_deployment(there.id).schedules}
    assert crons == {"0 2 * * *", "0 4 * * *"}
    deploy(NIGHTLY, "--prune")
    assert [each.schedule.cron for each in client.read_deployment(there.id).schedules] == ["0 2 * * *"]


def test_limits_of_the_settings_become_the_servers(deploy, client):
    limits = "[limits.{name}]\nconcurrency = {slots}\n"
    name = f"api-{time.time_ns()}"
    assert f"+ limit {name}  5 slots" in deploy(limits.format(name=name, slots=5) + NIGHTLY)
    assert client.read_global_concurrency_limit_by_name(name).limit == 5
    assert f"~ limit {name}  5 slots -> 7 slots" in deploy(limits.format(name=name, slots=7) + NIGHTLY)
    assert client.read_global_concurrency_limit_by_name(name).limit == 7
    client.delete_global_concurrency_limit_by_name(name)


def test_one_deployment_can_be_deployed_alone_and_the_others_are_told_to_be_behind(deploy, latent, client):
    deploy(NIGHTLY + OFTEN)
    told = deploy(NIGHTLY.replace("count = 4", "count = 5") + OFTEN, "nightly")
    assert "squares/nightly  changed" in told and "squares/often" not in told
    assert "often still has other code, which workers refuse" in told
    wrong = latent("deploy", "nihgtly")
    assert wrong.code == 2 and "did you mean 'nightly'?" in wrong.err


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", "There is nothing to deploy"),
        (NIGHTLY.replace("squares", "squres"), "did you mean 'squares'?"),
        (NIGHTLY.replace("0 2 * * *", "0 0 31 2 *"), "never comes due"),
        (NIGHTLY.replace("count = 4", 'count = "four"'), "count: Input should be a valid integer"),
        (NIGHTLY + NIGHTLY, "several deployments have the name 'nightly'"),
    ],
)
def test_what_cannot_be_deployed_ends_with_two_and_sends_nothing(settle, latent, toml, message):
    workspace = settle(toml)
    ended = latent("deploy")
    assert ended.code == 2 and message in ended.err
    with server_client(workspace, needed_for="a test") as client:
        assert deployments_there(client, workspace) == []


def test_without_a_server_the_command_names_latent_up(make_workspace, latent):
    make_workspace({"config/latent.toml": NIGHTLY})
    ended = latent("deploy")
    assert ended.code == 1 and "`latent up` starts it" in ended.err

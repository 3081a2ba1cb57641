"""`[[deployments]]` in the settings: what can be written there, and what is refused with its reason."""

from datetime import timedelta

import pytest

from latent.config import DeploymentSettings
from latent.config.durations import duration_text, parse_duration
from latent.errors import SettingsError

WHOLE = """
[[deployments]]
flow = "document_ingestion"
name = "nightly-ingestion"
cron = "0 2 * * *"
timezone = "Europe/Berlin"
parameters = { file_paths = ["data/docs/*.md"], index_name = "production-docs", chunk_size = 512 }
work_pool = "default"
overlap = "skip"
catch_up = "latest"
late_after = "15m"
on_crash = "resume"
budget = { max_cost_usd = 5, per = "day" }
"""


def one(make_workspace, lines: str):
    """The settings with one deployment, whose table also has `lines`."""
    toml = f'[[deployments]]\nflow = "ingest"\nname = "nightly"\n{lines}'
    return make_workspace({"config/latent.toml": toml}).settings


def test_every_key_of_a_deployment_is_read(make_workspace):
    (deployment,) = make_workspace({"config/latent.toml": WHOLE}).settings.deployments
    assert deployment.model_dump() == {
        "flow": "document_ingestion",
        "name": "nightly-ingestion",
        "cron": "0 2 * * *",
        "interval": None,
        "rrule": None,
        "timezone": "Europe/Berlin",
        "parameters": {
            "file_paths": ["data/docs/*.md"],
            "index_name": "production-docs",
            "chunk_size": 512,
        },
        "work_pool": "default",
        "work_queue": None,
        "overlap": "skip",
        "catch_up": "latest",
        "late_after": timedelta(minutes=15),
        "on_crash": "resume",
        "budget": {"max_cost_usd": 5, "max_calls": None, "max_minutes": None, "per": "day"},
    }


def test_what_a_deployment_leaves_out_is_skip_latest_and_resume_on_the_clock_of_utc(make_workspace):
    (deployment,) = one(make_workspace, "").deployments
    assert (deployment.cron, deployment.interval, deployment.rrule) == (None, None, None)
    assert (deployment.overlap, deployment.catch_up, deployment.on_crash) == ("skip", "latest", "resume")
    assert (deployment.timezone, deployment.work_pool) == ("UTC", "default")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('cron = "0 2 * * *"\ninterval = "15m"', "deployments.0: Value error, cron and interval exclude one"),
        (
            'timezone = "Europe/Berln"',
            "deployments.0.timezone: .*unknown time zone, did you mean 'Europe/Ber",
        ),
        ('timezone = ""', 'unknown time zone, such as "UTC"'),
        ("interval = 15", 'a duration is a number with its unit, such as "30s"'),
        ('interval = "15 minutes"', 'a duration is a number with its unit, such as "30s"'),
        ('interval = "0s"', "a duration is longer than nothing"),
        ('budget = { max_cost_usd = 5, per = "week" }', "deployments.0.budget.per: Input should be 'day'"),
        ("budget = { max_cost = 5 }", "budget.max_cost: unknown key, did you mean 'max_cost_usd'"),
        ('overlap = "cancel"', "deployments.0.overlap: Input should be 'skip', 'queue' or 'allow'"),
        ('crom = "0 2 * * *"', "deployments.0.crom: unknown key, did you mean 'cron'"),
        ('[[deployments]]\nflow = "a"\nname = "nightly"', "several deployments have the name 'nightly'"),
        ('[[deployments]]\nflow = "a"\nname = "a/b"', "deployments.1.name: Value error, a name has"),
        ('[code]\ncheck = "none"', "code.check: Input should be 'digest' or 'trust'"),
    ],
)
def test_deployments_that_make_no_sense_are_refused(make_workspace, lines, message):
    with pytest.raises(SettingsError, match=message):
        one(make_workspace, lines)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("2h", 7_200),
        ("1d", 86_400),
        ("1h30m", 5_400),
        (" 1 h 30 m ", 5_400),
        ("1.5h", 5_400),
        ("0.5s", 0.5),
    ],
)
def test_duration_is_a_number_with_its_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "15", "m", "15 minutes", "-5m", "30m1h", "1h1h", "inf s", "1e3s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="a number with its unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1h30m", "15m", "2d", "30s", "1d1s", "0.5s"])
def test_duration_is_written_as_it_is_read(text):
    assert duration_text(parse_duration(text)) == text


def test_deployment_is_written_as_json_and_read_back(make_workspace):
    (deployment,) = make_workspace({"config/latent.toml": WHOLE}).settings.deployments
    assert deployment.model_dump(mode="json")["late_after"] == "15m"
    assert DeploymentSettings.model_validate_json(deployment.model_dump_json()) == deployment

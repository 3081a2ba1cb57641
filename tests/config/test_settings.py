"""Settings: variables over the file over defaults, and errors that name the nearest valid name."""

import pickle
import tomllib
from typing import Literal

import pytest
from pydantic import Field

from latent.config import DeploymentSettings, LimitSettings, Section, Settings, settings_template
from latent.errors import ConfigError, SettingsError


def read(make_workspace, toml: str | bytes, **variables: str) -> Settings:
    """The settings that a `latent.toml` and variables make."""
    import os

    workspace = make_workspace({"config/latent.toml": toml})
    os.environ.update(variables)  # the fixture takes every LATENT_ variable away again
    from latent.config import find_workspace

    assert find_workspace() == workspace
    return find_workspace().settings


def test_defaults_are_production_three_retries_and_seven_days(make_workspace):
    settings = read(make_workspace, "")
    assert settings == Settings()
    assert not settings.is_dev
    assert (settings.tasks.retries, settings.cache.expiration_days) == (3, 7)
    assert settings.cache.allow_pickle is False


@pytest.mark.parametrize("environment", ["dev", "development"])
def test_dev_and_development_are_the_same(make_workspace, environment):
    assert read(make_workspace, f'environment = "{environment}"').is_dev
    assert read(make_workspace, "", LATENT_ENVIRONMENT=environment).is_dev


def test_file_wins_over_defaults_and_variables_over_the_file(make_workspace):
    toml = """
        environment = "production"
        [cache]
        on_code_change = "warn"
        expiration_days = 1
    """
    settings = read(make_workspace, toml, LATENT_ENVIRONMENT="dev", LATENT_CACHE__EXPIRATION_DAYS="0.5")
    assert settings.is_dev
    assert settings.cache.expiration_days == 0.5
    assert settings.cache.on_code_change == "warn", "a variable replaces one setting, not its section"


def test_variables_are_read_into_the_types_of_their_settings(make_workspace):
    settings = read(
        make_workspace,
        "",
        LATENT_CACHE__ALLOW_PICKLE="true",
        LATENT_TASKS__RETRIES="0",
        LATENT_LOGGING__LEVEL="debug",
        LATENT_TRACKING="{ enabled = false, idle_minutes = 1 }",
    )
    assert settings.cache.allow_pickle is True
    assert settings.tasks.retries == 0
    assert settings.logging.level == "DEBUG"
    assert (settings.tracking.enabled, settings.tracking.idle_minutes) == (False, 1)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[rows]\nrows_as_runs = -1", "rows.rows_as_runs: Input should be greater than or equal to 0"),
        ("[rows]\nmax_workers = 0", "rows.max_workers: Input should be greater than or equal to 1"),
        ("[rows]\nbatch_size = 0", "rows.batch_size: Input should be greater than or equal to 1"),
        ("[budget]\nmax_cost_usd = 0", "budget.max_cost_usd: Input should be greater than 0"),
        ("[budget]\nmax_calls = 0", "budget.max_calls: Input should be greater than or equal to 1"),
        ("[budget]\nmax_minutes = -1", "budget.max_minutes: Input should be greater than 0"),
        ("[budget]\nmax_minutes = nan", "budget.max_minutes: Input should be greater than 0"),
    ],
)
def test_rows_and_budgets_that_make_no_sense_are_refused(make_workspace, toml, message):
    with pytest.raises(SettingsError, match=message):
        read(make_workspace, toml)


def test_empty_variable_is_an_unset_one(make_workspace):
    assert read(make_workspace, "", LATENT_ENVIRONMENT="", LATENT_TASKS__RETRIES="") == Settings()


def test_variables_of_the_command_line_are_not_settings(make_workspace):
    assert read(make_workspace, "", LATENT_DEBUG="1") == Settings()


def test_unknown_and_wrong_settings_are_told_at_once_with_file_and_nearest_name(make_workspace):
    toml = """
        enviroment = "dev"
        [cache]
        on_code_change = "recompile"
        expiry_days = 3
        [tasks]
        retries = -1
    """
    with pytest.raises(SettingsError) as caught:
        read(make_workspace, toml)
    assert str(caught.value).splitlines() == [
        "The settings cannot be used:",
        "  cache.on_code_change: Input should be 'recompute', 'warn' or 'reuse' (type=literal_error, "
        "got 'recompile', from config/latent.toml)",
        "  cache.expiry_days: unknown key, did you mean 'expiration_days'? (type=unknown_key, "
        "from config/latent.toml)",
        "  tasks.retries: Input should be greater than or equal to 0 (type=greater_than_equal, got -1, "
        "from config/latent.toml)",
        "  enviroment: unknown key, did you mean 'environment'? (type=unknown_key, from config/latent.toml)",
    ]


def test_unknown_and_wrong_variables_are_named(make_workspace):
    with pytest.raises(SettingsError) as caught:
        read(make_workspace, "", LATENT_CACHE__ALOW_PICKLE="1", LATENT_CASH="1", LATENT_TASKS__RETRIES="many")
    message = str(caught.value)
    assert (
        "LATENT_CACHE__ALOW_PICKLE: no setting has this variable, did you mean LATENT_CACHE__ALLOW_PICKLE?"
        in message
    )
    assert "LATENT_CASH: no setting has this variable, did you mean LATENT_CACHE?" in message
    assert "tasks.retries: Input should be a valid integer" in message
    assert "got 'many', from the environment variable LATENT_TASKS__RETRIES" in message


def test_variable_below_a_single_value_is_a_clear_error(make_workspace):
    with pytest.raises(
        SettingsError, match="NOW: no setting has this variable, LATENT_CACHE__ALLOW_PICKLE is set as a whole"
    ):
        read(make_workspace, "", LATENT_CACHE__ALLOW_PICKLE__NOW="1")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("a = [1\nb = 2", r"config/latent\.toml:2:1: not valid TOML: Unclosed array"),
        ("environment = dev", r"config/latent\.toml:1:15: not valid TOML: Invalid value"),
        ("a = 1\na = 2\n", r"config/latent\.toml:2:6: not valid TOML: Cannot overwrite a value"),
        ("a = " + "[" * 30_000, r"config/latent\.toml.*not valid TOML"),
        (b"# caf\xe9", r"config/latent\.toml:1:6: the byte 0xe9 is not UTF-8: save the file as UTF-8"),
        ("a = 1".encode("utf-16-le"), r"config/latent\.toml:1:2: not text \(a NUL byte"),
    ],
    ids=["unclosed", "no quotes", "twice", "deep", "latin-1", "utf-16 without mark"],
)
def test_broken_toml_is_named_by_file_line_and_column(make_workspace, toml, message):
    with pytest.raises(ConfigError, match=message):
        read(make_workspace, toml)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark_says_how_to_read_the_file(make_workspace, encoding):
    assert read(make_workspace, 'environment = "dev" # é\r\n'.encode(encoding)).is_dev


def test_error_survives_the_way_to_another_process():
    error = SettingsError(("a: wrong", "b: wrong"))
    assert (
        str(pickle.loads(pickle.dumps(error)))
        == str(error)
        == "The settings cannot be used:\n  a: wrong\n  b: wrong"
    )


def test_template_shows_every_setting_with_its_meaning_and_default(make_workspace):
    template = settings_template()
    assert tomllib.loads(template) == {
        name: {}
        for name in (
            "cache", "tasks", "rows", "budget", "catalog", "tracking", "recordings", "logging", "services",
            "code",
        )
    }  # fmt: skip
    uncommented = "\n".join(
        line.removeprefix("# ")
        for line in template.splitlines()
        if " = " in line or line.startswith(("[", "# ["))
    )
    assert Settings.model_validate(tomllib.loads(uncommented)) == Settings(
        limits={"NAME": LimitSettings()},
        deployments=(DeploymentSettings(flow="document_ingestion", name="nightly-ingestion"),),
    )
    annotations = [field.annotation for field in Settings.model_fields.values()]
    for section in [Settings, LimitSettings, DeploymentSettings, *annotations]:
        for name, field in getattr(section, "model_fields", {}).items():
            assert any(
                shown in template for shown in (f"{name} =", f"[{name}]", f"[{name}.NAME]", f"[[{name}]]")
            )
            is_section = hasattr(field.annotation, "model_fields")  # explained by its class
            if f"{name} =" in template and not is_section:
                assert field.description, f"{name} needs a description: users read it in latent.toml"
                assert field.description.split()[0] in template


def test_template_reads_back_to_what_was_set(make_workspace):
    assert read(make_workspace, settings_template(environment="dev")) == Settings(environment="dev")


class AlertSettings(Section):
    """Who is told."""

    flow: str = Field(description="Name of the flow.")
    overlap: Literal["skip", "queue"] = Field(
        default="skip", description="What to do when the last run still runs."
    )


class WiderSettings(Settings):
    alerts: list[AlertSettings] = Field(default_factory=list)


def test_new_section_is_one_class_and_one_field(make_workspace):
    """Named tables and lists of tables, too, are read from file and variables, and documented."""
    import os

    from latent.config import read_settings

    toml = """
        [limits.openai-embeddings]
        concurrency = 4
        [[alerts]]
        flow = "ingest"
    """
    workspace = make_workspace({"config/latent.toml": toml})
    os.environ["LATENT_LIMITS__OPENAI_EMBEDDINGS__CONCURRENCY"] = "2"
    os.environ["LATENT_LIMITS__OTHER__CONCURRENCY"] = "5"
    settings = read_settings(workspace, model=WiderSettings)
    assert settings.limits == {
        "openai-embeddings": LimitSettings(concurrency=2),
        "other": LimitSettings(concurrency=5),
    }
    assert settings.alerts == [AlertSettings(flow="ingest")]
    os.environ["LATENT_ALERTS"] = '[{ flow = "a", overlap = "quue" }, { name = "b" }]'
    with pytest.raises(SettingsError) as caught:
        read_settings(workspace, model=WiderSettings)
    assert "alerts.0.overlap: Input should be 'skip' or 'queue' (type=literal_error, got 'quue'" in str(
        caught.value
    )
    assert "alerts.1.flow: Field required" in str(caught.value)
    assert "alerts.1.name: unknown key, known here: flow, overlap" in str(caught.value)
    template = settings_template(WiderSettings)
    assert "# [limits.NAME]\n\n# Calls under way at the same time. At least 1.\n# concurrency =\n" in template
    assert "# [[alerts]]\n\n# Name of the flow.\n# flow =\n" in template

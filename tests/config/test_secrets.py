"""Masking: by value, by key name, by shape; and nothing else."""

from collections import namedtuple

import pytest

from latent.config import Masker, masker_for
from latent.config.secrets import looks_secret

SECRET_NAMES = """
    api_key OPENAI_API_KEY apiKey apikey x-api-key openai_key password DB_PASSWORD token access_token
    accessToken client_secret Authorization aws_secret_access_key credentials cookie
"""
OTHER_NAMES = """
    max_tokens input_tokens tokens_per_minute token_count token_limit key keyboard primary_key cache_key
    key_parts author secretary compass public_key row_key model
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_that_hold_secrets(name):
    assert looks_secret(name)


@pytest.mark.parametrize("name", [*OTHER_NAMES.split(), ""])
def test_names_that_do_not(name):
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("the key sk-proj-abcdefghijklmnop1234 leaked", "the key *** leaked"),
        ("sk-ant-api03-AbCdEfGhIjKlMnOp_1234-5", "***"),
        ("Authorization: Bearer abc.def-ghi12345", "Authorization: Bearer ***"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic ***"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "***"),
        ("id AKIAIOSFODNN7EXAMPLE.", "id ***."),
        ("postgresql://me:hunter2@db.example/x?y=1", "postgresql://***@db.example/x?y=1"),
        ("get https://h/a.md?v=1&token=abcdef now", "get https://h/a.md?v=1&token=*** now"),
        ("https://h/a?X-Amz-Signature=abcdef&x=1", "https://h/a?X-Amz-Signature=***&x=1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nrest", "***\nrest"),
    ],
)
def test_keys_are_known_by_their_shape(text, masked):
    assert Masker().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "task-runner",
        "sk-learn",
        "https://example.com/a:b@c",
        "https://example.com/browse?key=PROJECT-123&max_token=5&token=on",
        "http://localhost:4200/api",
        "bearer of news",
        "a@b.de",
        "12:30",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert Masker().text(text) is text


def test_known_values_are_masked_wherever_they_stand():
    masker = Masker(["hunter2hunter2"])
    assert masker.text("pw=hunter2hunter2;") == "pw=***;"
    assert masker.data({"a": ["x hunter2hunter2", ("hunter2hunter2",)], "b": b"is hunter2hunter2"}) == {
        "a": ["x ***", ("***",)],
        "b": b"is ***",
    }


def test_secrets_are_found_as_urls_and_json_write_them():
    masker = Masker(['p@ss/wörd"1'])
    assert masker.text("db://p%40ss%2Fw%C3%B6rd%221@host") == "db://***@host"
    assert masker.text('{"x": "p@ss/w\\u00f6rd\\"1"}') == '{"x": "***"}'
    assert masker.text('p@ss/wörd"1') == "***"


def test_longer_secret_is_masked_before_one_inside_it():
    assert Masker(["secret", "secret-and-more"]).text("secret-and-more, secret") == "***, ***"


def test_short_values_would_be_found_inside_words():
    assert Masker(["abc", "", "  "]).text("abcdef") == "abcdef"


def test_values_under_secret_names_are_masked_whatever_they_are():
    data = {
        "api_key": "x",
        "nested": {"password": ["a", "b"], "auth": {"user": "me", "n": 1}},
        "max_tokens": 5,
    }
    assert Masker().data(data) == {
        "api_key": "***",
        "nested": {"password": ["***", "***"], "auth": {"user": "***", "n": 1}},
        "max_tokens": 5,
    }


def test_numbers_flags_and_nothing_are_not_secrets():
    data = {"token": None, "password": "", "secret": True, "api_key": 3}
    assert Masker().data(data) is data


def test_data_without_secrets_is_not_copied():
    data = {"a": [1, "text", {"b": (1, 2)}], "c": {3, 4}, "d": object()}
    assert Masker(["something"]).data(data) is data


def test_containers_keep_their_kind():
    Point = namedtuple("Point", "x y")
    masker = Masker(["something"])
    assert masker.data(Point("something", 1)) == Point("***", 1)
    assert masker.data(frozenset({"something"})) == frozenset({"***"})
    assert masker.data([("something",)]) == [("***",)]


def test_value_that_holds_itself_ends():
    loop: list = ["something"]
    loop.append(loop)
    assert Masker(["something"]).data(loop)[0] == "***"


def test_workspace_masks_its_credentials_and_secret_variables(make_workspace, monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "token-from-environment")
    monkeypatch.setenv("GOOGLE_CREDENTIALS_FILE", "/srv/keys/google.json")
    monkeypatch.setenv("DB_FROM_ENV", "password-by-variable")
    workspace = make_workspace(
        {
            "config/credentials.yaml": """
                s3:
                  key: access-1234
                  client_kwargs: {endpoint_url: http://minio.example}
                db:
                  user: analyst
                  password: ${DB_FROM_ENV}
                  hosts: [hidden-value]
                  port: 543210
            """
        }
    )
    masked = masker_for(workspace).text(
        "token-from-environment access-1234 password-by-variable hidden-value "
        "analyst http://minio.example /srv/keys/google.json 543210"
    )
    assert masked == "*** *** *** *** analyst http://minio.example /srv/keys/google.json 543210"


def test_masker_is_kept_until_credentials_or_variables_change(make_workspace, monkeypatch):
    workspace = make_workspace({})
    first = masker_for(workspace)
    assert masker_for(workspace) is first
    make_workspace({"config/credentials.yaml": "a: {secret: newly-written}"})
    assert masker_for(workspace).text("newly-written") == "***"
    monkeypatch.setenv("A_PASSWORD", "newly-set")
    assert masker_for(workspace).text("newly-written newly-set") == "*** ***"


def test_broken_credentials_do_not_break_what_logs(make_workspace):
    """Loading a dataset with them is the error; a log line is not the place."""
    workspace = make_workspace({"config/credentials.yaml": "a: [unclosed"})
    assert masker_for(workspace).text("Bearer abcdefgh1234") == "Bearer ***"


def test_paths_of_the_current_folder_are_no_secrets(make_workspace, monkeypatch):
    """Shells keep it in PWD, which elsewhere abbreviates a password."""
    workspace = make_workspace({})
    monkeypatch.setenv("PWD", "/srv/ada/project")
    monkeypatch.setenv("OLDPWD", "/srv/ada/elsewhere")
    text = "read /srv/ada/project/data.csv and /srv/ada/elsewhere"
    assert masker_for(workspace).text(text) == text

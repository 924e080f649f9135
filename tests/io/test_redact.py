"""Secrets are redacted wherever text leaves the project, and nothing else is."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amid.io.redact import MASK, escape_control, is_secret, redact, redact_values
from amid.studies import load_params

HIDDEN = "hUnTer2"
LEAKS = [
    f"https://me:{HIDDEN}@data.example/x.zip is refused",
    f"https://{HIDDEN}@data.example/x.zip",
    f"HTTPS://me:{HIDDEN}@[::1]:8000/x",
    f"the mirror folder me:{HIDDEN}@data.example/x",
    f"pipelines/data/dvc.yaml failed: ...me:{HIDDEN}@data.example/x",
    f"me.dvc:{HIDDEN}@data.example/x",
    f"https://h/x?X-Amz-Signature={HIDDEN}&X-Amz-Date=20260101",
    f"https://h/x?X-Amz-Security-Token={HIDDEN}",
    f"https://h/x?AWSAccessKeyId={HIDDEN}&Expires=1",
    f"https://h/x?sv=2020&sig={HIDDEN}#top",
    f"https://h/x?access_token={HIDDEN}",
    f"Authorization: Bearer {HIDDEN}",
    f"password={HIDDEN}",
    f"params.yaml: 'data.own.options.token' is '{HIDDEN}', but that is no key.",
    f"{{'api_key': '{HIDDEN}', 'seed': 1}}",
    f'{{"secret": "{HIDDEN} {HIDDEN}"}}',
]
PLAIN = [
    "GRID: s1.zip from https://zenodo.org/records/3625687/files/s1.zip?download=1 (404)",
    "params.yaml: unknown key 'sed' (in 'data.avlips.options'); did you mean 'seed'?",
    "params.yaml: 'data.avlips.options.seed' is -1, but input should be 0 or more.",
    "C:/data/x.zip has 12 clips; write to someone@example.org",
    "best: 72.0, tokens: 512, keys: 3, monkey=1",
    "https://example.org/@someone/x?page=2",
    "pipelines/compared/dvc.yaml:stage@ravdess",
    "failed to reproduce 'pipelines/train/dvc.yaml:amid@avlips': failed to run: ...",
    "dvc repro dvc.yaml:table1@all",
    "FROM docker.io/python:3.12@sha256:0123abcd",
    "KeyError: 'alpha'",
    "botocore.exceptions.TokenRetrievalError: no network",
]


@pytest.mark.parametrize("text", LEAKS)
def test_secrets_are_redacted(text: str) -> None:
    shown = redact(text)
    assert HIDDEN not in shown
    assert MASK in shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=abc", f"password={MASK}"),
        ("password='a b', seed=1", f"password='{MASK}', seed=1"),
        ('"token": "a b"}', f'"token": "{MASK}"}}'),
        ("password='token=abc' and token=def", f"password='{MASK}' and token={MASK}"),
        ("token=password='abc'", f"token={MASK}'{MASK}'"),  # the second begins where the first ends
    ],
)
def test_a_secret_is_replaced_as_a_whole_and_its_quotes_stay(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    user=st.text("abcXYZ019._~-!$&*+,;=:", max_size=8),
    before=st.text("ab c(", max_size=5),
)
def test_no_password_of_an_address_is_shown(user: str, before: str) -> None:
    assert HIDDEN not in redact(f"{before}https://{user}:{HIDDEN}@host.example/path?x=1 and more")


def test_names_of_parameters() -> None:
    for name in ("token", "data.own.token", "apiKey", "AWS_SECRET_ACCESS_KEY", "hub-password"):
        assert is_secret(name), name
    for name in ("tokens", "keys", "monkey", "design", "seed", "pixel", "temperature"):
        assert not is_secret(name), name
    for name in ("TokenError", "InvalidTokenException", "InsecureKeyWarning", "SecretWarning"):
        assert is_secret(name) is False, name
    given_values = {"api_key": 12, "token": None, "seed": 3, "mirror": f"https://a:{HIDDEN}@h/"}
    assert redact_values(given_values) == {
        "api_key": MASK,
        "token": "None",
        "seed": "3",
        "mirror": f"https://{MASK}@h/",
    }


def test_no_parameter_of_the_project_is_taken_for_a_secret(root) -> None:
    def names(values: object) -> list[str]:
        if not isinstance(values, dict):
            return []
        return [n for k, v in values.items() for n in [str(k), *names(v)]]

    params = load_params(root / "params.yaml")
    assert [name for name in names(params.model_dump()) if is_secret(name)] == []


def test_printable() -> None:
    assert escape_control("grün 水") == "grün 水"
    assert escape_control("a\x1b[2J\nb\u202ec\0") == "a\\x1b[2J\\nb\\u202ec\\x00"


@pytest.mark.parametrize("error", ["AmidError", "RuntimeError"])
def test_a_stage_that_fails_shows_no_secret(error: str) -> None:
    code = f"""
import sys
from amid.errors import AmidError
from stages.common import run_stage
def main() -> None:
    raise {error}("no answer of https://me:{HIDDEN}@host.example/x?token={HIDDEN}")
sys.argv = ["stages/x.py"]
run_stage(main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "host.example" in done.stderr
    assert HIDDEN not in done.stderr + done.stdout

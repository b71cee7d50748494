"""`chorale key`, and the commands that use a key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deployments.contract.errors import InvalidInput
from serve_app.cli.jobs import KEY_VARIABLE, Client
from serve_app.cli.main import app
from serve_app.config.access import hashed
from serve_app.config.settings import Settings
from serve_app.service import Service
from tests.serve_app.conftest import ToneBackend, alone

KEY = "sk-chorale-of-a-test"


@pytest.fixture
def service(backend: ToneBackend, shipped: Path, tmp_path: Path) -> Service:
    """One with a key."""
    access = {"keys": {"tester": {"hash": hashed(KEY)}}}
    settings = Settings.from_args({"data_dir": str(tmp_path / "data"), "access": access}, {})
    return Service(settings, alone(backend), shipped)


def test_a_new_key_is_printed_with_the_lines_for_the_config_file() -> None:
    done = CliRunner().invoke(app, ["key", "alice", "--admin"])
    assert done.exit_code == 0
    (key,) = done.stdout.split()
    assert re.fullmatch(r"sk-chorale-[\w-]{43}", key)
    section = yaml.safe_load(done.stderr)
    (alice,) = Settings.from_args(section, {}).access.keys.values()
    assert (alice.hash, alice.admin) == (hashed(key), True)
    assert CliRunner().invoke(app, ["key", "alice"]).stdout.strip() != key


def test_a_wrong_name_is_refused() -> None:
    done = CliRunner().invoke(app, ["key", "Alice Smith"])
    assert done.exit_code == 2
    assert "access.keys" in done.stderr


def test_the_commands_of_jobs_send_the_key(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(server) as client, pytest.raises(InvalidInput) as refused:
        client.list(1)
    assert refused.value.code == "missing_api_key"
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with Client(server) as client:
        assert client.list(1) == []

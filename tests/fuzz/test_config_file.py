"""Config files with any damage: read, or refused with the file and the line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contract.errors import ConfigError
from serve_app.config.file import default_config_path, load_config

GOOD = Path(default_config_path()).read_text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
SYNTAX = st.sampled_from(
    ["&a ", "*a", "!!python/name:os.system ", "<<: ", "- ", "? ", ": ", "{", "]", "|\n", "\t", "#", "%", "'"]
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "fuzz.yaml"


@given(
    st.binary(max_size=60)
    | st.lists(st.tuples(st.integers(0, len(GOOD)), SYNTAX | st.text(max_size=5)), max_size=4)
)
@settings(max_examples=30)
def test_a_damaged_file(path: Path, damage: bytes | list[tuple[int, str]]) -> None:
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        text = GOOD
        for at, piece in damage:
            text = text[:at] + piece + text[at:]
        path.write_text(text, "utf-8", "replace")
    _read(path)


@given(data=st.data())
@settings(max_examples=40)
def test_any_value_anywhere(path: Path, data: st.DataObject) -> None:
    config = yaml.safe_load(GOOD)
    inner = config
    while True:
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.integers(0, 3)) == 0:
            break
        inner = inner[key]
    inner[key] = data.draw(VALUES)
    path.write_text(yaml.safe_dump(config, allow_unicode=True), "utf-8", "replace")
    _read(path)


def _read(path: Path) -> None:
    with suppress(ConfigError):
        _, settings = load_config(path, {})
        assert settings.hash

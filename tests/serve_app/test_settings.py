from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import ConfigError
from serve_app.settings import Settings


def test_defaults_round_trip():
    settings = Settings.from_args({}, environ={})
    assert Settings.from_args(settings.to_args(), environ={}) == settings
    assert Settings.from_args(settings.model_dump(exclude_defaults=True), environ={}) == settings


def test_the_environment_wins():
    environ = {
        "CHORALE_GPT__SLOTS": "4",
        "CHORALE_OPTIMIZE": "false",
        "CHORALE_DATA_DIR": "123",
        "CHORALE_DEVICE__HALF": "auto",
        "CHORALE_VOCODER__AUTOSCALING__MAX_REPLICAS": "3",
        "CHORALE_UNRELATED": "x",
    }
    settings = Settings.from_args({"gpt": {"slots": 16, "emit_every": 7}}, environ)
    assert (settings.gpt.slots, settings.gpt.emit_every) == (4, 7)
    assert settings.optimize is False
    assert settings.data_dir == "123"
    assert settings.vocoder.bounds == (1, 3)


def test_the_arguments_are_left_as_they_were():
    args = {"gpt": {"slots": 16}}
    Settings.from_args(args, {"CHORALE_GPT__SLOTS": "4"})
    assert args == {"gpt": {"slots": 16}}


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"CHORALE_GPT__SLOTZ": "4"}, "gpt.slotz: unknown key"),
        ({"CHORALE_GPT__SLOTS": "four"}, "gpt.slots: .*integer.*'four'"),
        ({"CHORALE_GPT": "4"}, "gpt: "),
    ],
)
def test_a_wrong_variable_is_refused(environ, says):
    with pytest.raises(ConfigError, match=says):
        Settings.from_args({}, environ)


def test_replicas_or_autoscaling_but_not_both():
    with pytest.raises(ConfigError, match="not both"):
        Settings.from_args({"gpt": {"replicas": 2, "autoscaling": {"max_replicas": 3}}}, {})
    scaled = Settings.from_args({"gpt": {"autoscaling": {"min_replicas": 0, "max_replicas": 3}}}, {})
    assert scaled.gpt.bounds == (0, 3)
    assert Settings.from_args(scaled.to_args(), {}) == scaled


@given(st.integers(1, 256), st.booleans())
def test_the_hash_names_the_values(slots, optimize):
    settings = Settings.from_args({"gpt": {"slots": slots}, "optimize": optimize}, {})
    same = Settings.from_args({"optimize": optimize, "gpt": {"slots": slots, "emit_every": 16}}, {})
    assert settings.hash == same.hash
    assert (settings.hash == Settings.from_args({}, {}).hash) == (slots == 8 and optimize)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab_0", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_0", max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "other"]), json_values, max_size=4))
def test_nothing_but_config_error_comes_out(args):
    with suppress(ConfigError):
        assert Settings.from_args(args, {}).to_args().keys() == args.keys()

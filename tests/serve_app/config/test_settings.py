from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.assembly import threads
from deployments.contract.errors import ConfigError
from deployments.contract.options import GptOptions
from deployments.engine.device import cgroup
from serve_app.config.settings import Settings


def test_defaults_round_trip():
    settings = Settings.from_args({}, environ={})
    assert Settings.from_args(settings.to_args(), environ={}) == settings
    assert Settings.from_args(settings.model_dump(exclude_defaults=True), environ={}) == settings


def test_the_environment_takes_precedence():
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


def test_the_arguments_are_not_modified():
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


def test_a_section_becomes_options_of_its_deployment():
    placed = {"max_replicas_per_node": 2, "label_selector": {"ray.io/accelerator-type": "!T4"}}
    scale = {"min_replicas": 0, "max_replicas": 4, "target_utilization": 0.5}
    settings = Settings.from_args({"gpt": {"autoscaling": scale, "num_gpus": 0.5, **placed}}, {})
    gpt = settings.gpt.deployment()
    assert gpt["autoscaling_config"].items() >= {"min_replicas": 0, "target_ongoing_requests": 0.5}.items()
    assert gpt["max_replicas_per_node"] == 2 and "num_replicas" not in gpt
    selector = {"label_selector": placed["label_selector"]}
    assert gpt["ray_actor_options"] == {"num_cpus": 0.5, "num_gpus": 0.5, **selector}
    assert settings.vocoder.deployment()["num_replicas"] == 1


def test_the_ingress_scales_on_its_requests():
    scaled = Settings.from_args({"ingress": {"autoscaling": {"max_replicas": 3}, "num_cpus": 0.5}}, {})
    options = scaled.ingress.deployment(scaled.ingress.max_ongoing_requests)
    assert options["autoscaling_config"]["target_ongoing_requests"] == pytest.approx(0.8 * 256)
    assert options["ray_actor_options"] == {"num_cpus": 0.5}
    more = 4 * 0.5 - 2 * 0.2  # one of them in a roll-out
    assert scaled.reserved_cpus == pytest.approx(Settings.from_args({}, {}).reserved_cpus + more)


@given(st.integers(1, 256), st.booleans())
def test_the_hash_depends_on_the_values(slots, optimize):
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
def test_every_fault_is_a_config_error(args):
    with suppress(ConfigError):
        assert Settings.from_args(args, {}).to_args().keys() == args.keys()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"gpt": {"num_gpus": 1.5}}, r"gpt\.num_gpus: must be a share of one GPU, 0 to 1, or a whole number"),
        ({"gpt": {"autoscaling": {"target_utilization": 0.0}}}, r"target_utilization: .*greater than 0"),
        (
            {"gpt": {"autoscaling": {"target_utilization": 1.1}}},
            r"target_utilization: .*less than or equal to 1",
        ),
        ({"gpt": {"max_replicas_per_node": 0}}, r"gpt\.max_replicas_per_node: .*greater than 0"),
        (
            {"gpt": {"label_selector": {"zone": "a b"}}},
            r"gpt\.label_selector: must be labels .*'zone': 'a b'",
        ),
        ({"gpt": {"label_selector": {"/zone": "a"}}}, r"gpt\.label_selector: .*not '/zone'"),
        *(
            (
                {section: {"autoscaling": {"min_replicas": 0}}},
                rf"{section}: .*min_replicas must be at least 1",
            )
            for section in ("ingress", "text_frontend", "voice_encoder")
        ),
        ({"chunks": {"first": 0}}, r"chunks\.first: .*greater than 0.*'whole'"),
        ({"chunks": {"first": "half"}}, r"chunks\.first: .*'whole'.*'half'"),
        ({"chunks": {"growth": 0.5}}, r"chunks\.growth: .*greater than or equal to 1"),
        ({"chunks": {"growth": float("nan")}}, r"chunks\.growth: "),
        ({"chunks": {"last": 1}}, r"chunks\.last: unknown key; allowed: first, growth"),
        ({"vocoder_chunk_size": 10}, r"vocoder_chunk_size: .*greater than or equal to 20"),
        ({"gpt": {"slots": "all"}}, r"gpt\.slots: .*'auto'"),
        (
            {"gpt": {"slots": 8, "batch_buckets": [1, 4]}},
            r"gpt\.batch_buckets: must end at slots, 8 \(is \[1, 4\]",
        ),
        (
            {"gpt": {"slots": 8, "burst_slots": 4, "batch_buckets": [1, 8]}},
            r"gpt\.batch_buckets: must end at the sum of slots and burst_slots, 12 \(is \[1, 8\]",
        ),
        ({"gpt": {"burst_slots": -1}}, r"gpt\.burst_slots: .*greater than or equal to 0"),
        ({"gpt": {"slots": 4, "batch_buckets": [4, 1, 4]}}, r"gpt\.batch_buckets: must be ascending"),
        (
            {"gpt": {"slots": 4, "batch_buckets": []}},
            r"gpt\.batch_buckets: must be ascending numbers, at least one",
        ),
        ({"gpt": {"slots": 4, "batch_buckets": [0, 4]}}, r"gpt\.batch_buckets\[0\]: .*greater than 0"),
        (
            {"gpt": {"slots": "auto", "batch_buckets": [4]}},
            r"gpt\.batch_buckets: cannot be listed while slots is auto",
        ),
        ({"gpt": {"length_buckets": [512, 256]}}, r"gpt\.length_buckets: must be ascending"),
        ({"gpt": {"length_buckets": "256"}}, r"gpt\.length_buckets: .*list"),
        ({"gpt": {"threads": 0}}, r"gpt\.threads: .*greater than 0"),
        ({"gpt": {"threads": "auto"}}, r"gpt\.threads: .*integer"),
        ({"device": {"threads": "many"}}, r"device\.threads: .*'auto'"),
        ({"device": {"threads": 0}}, r"device\.threads: .*greater than 0"),
        ({"vocoder": {"batch_buckets": [1, 2]}}, r"vocoder\.batch_buckets: must end at max_batch, 8"),
        ({"vocoder": {"frame_buckets": [16, 16]}}, r"vocoder\.frame_buckets: must be ascending"),
        ({"vocoder": {"threads": 1.5}}, r"vocoder\.threads: .*integer"),
        ({"voice_encoder": {"disk_cache": -1}}, r"voice_encoder\.disk_cache: .*greater than or equal to 0"),
        ({"voice_encoder": {"disk_cache_bytes": "1G"}}, r"voice_encoder\.disk_cache_bytes: .*integer"),
        ({"voice_encoder": {"threads": -1}}, r"voice_encoder\.threads: .*greater than 0"),
    ],
)
def test_invalid_profiles_are_refused(args, says):
    with pytest.raises(ConfigError, match=says):
        Settings.from_args(args, {})


def test_valid_buckets_and_schedules_are_accepted():
    settings = Settings.from_args(
        {
            "chunks": {"first": "whole", "growth": 1},
            "gpt": {"slots": 6, "batch_buckets": [1, 3, 6], "length_buckets": [100, 300]},
            "vocoder": {"max_batch": 2, "batch_buckets": [2], "frame_buckets": [50]},
        },
        {"CHORALE_VOCODER__FRAME_BUCKETS": "[20, 40]"},
    )
    assert settings.vocoder.frame_buckets == [20, 40]
    assert Settings.from_args(settings.to_args(), {}) == settings
    auto = Settings.from_args({}, {"CHORALE_GPT__SLOTS": "auto", "CHORALE_DEVICE__THREADS": "auto"})
    assert (auto.gpt.slots, auto.device.threads) == ("auto", "auto")


def test_threads_of_a_stage_are_its_own_or_the_default_or_a_share(monkeypatch):
    def told(args):
        settings = Settings.from_args(args, {})
        return settings, [threads(settings.options(), stage) for stage in ("gpt", "vocoder", "voice_encoder")]

    settings, each = told({"device": {"threads": 3}, "vocoder": {"threads": 2, "replicas": 4}})
    assert each == [3, 2, 3]
    assert settings.busy_threads() == 3 + 4 * 2
    for cpus, shares in ((16, [7, 5, 5]), (2, [7, 1, 1])):
        monkeypatch.setattr(cgroup, "cpus", lambda cpus=cpus: cpus)
        assert told({"device": {"threads": "auto"}, "gpt": {"replicas": 2, "threads": 7}})[1] == shares


def test_all_stage_options_reach_their_stage():
    """Every field of the options is a configuration key, and the stages are built from the configured values."""
    args = {
        "family": {"name": "indextts", "options": {"model_dir": "x"}},
        "device": {"preference": "cpu", "half": False, "threads": 2},
        "optimize": False,
        "use_vocoder_optimization": False,
        "vocoder_chunk_size": 321,
        "chunks": {"first": 7, "growth": 1.5},
        "gpt": {
            "slots": 3,
            "batch_buckets": [1, 3],
            "length_buckets": [9],
            "emit_every": 5,
            "first_sound_first": 2,
        },
        "vocoder": {
            "max_batch": 5,
            "batch_buckets": [5],
            "frame_buckets": [4],
            "threads": 3,
            "stuck_after_s": 9.0,
        },
        "voice_encoder": {
            "cache_size": 1,
            "disk_cache": 2,
            "disk_cache_bytes": 3,
            "keep_request_references": True,
        },
        "sampling": {"seed": 1, "temperature": 0.5, "top_k": 2, "top_p": 0.5, "max_tokens": 9},
    }
    model = Settings.from_args(
        {**args, "data_dir": "/data", "gpt": {**args["gpt"], "num_cpus": 2.0}}, {}
    ).options()
    assert model.model_dump(exclude_unset=False)["prompts"] == "/data/prompts"
    for name, value in args.items():
        found = model.model_dump()[name]
        assert ({key: found[key] for key in value} if isinstance(value, dict) else found) == value
    assert type(model.gpt) is GptOptions, "deployment options do not reach the workers"

"""The files in configs/ are valid, and wrong ones are refused."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from deployments import families
from deployments.contract.errors import ConfigError
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.config.file import default_config_path, load_config
from serve_app.config.settings import Settings

CONFIGS = sorted(default_config_path().parent.glob("*.yaml"))
FULL = Path("tests/data/config.yaml").read_text()


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


def edited(before: str, after: str) -> tuple[str, int]:
    """A config with one change, and the number of the changed line."""
    assert FULL.count(before) >= 1
    return FULL.replace(before, after, 1), FULL[: FULL.index(before)].count("\n") + 1


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configs_are_valid_and_listen_on_this_machine_only(path):
    config, settings = load_config(path, environ={})
    schema = ServeDeploySchema.model_validate(config)
    on_a_cluster = schema.proxy_location == "EveryNode"  # a load balancer reaches the proxies of all nodes
    assert on_a_cluster == (path.name == "cluster.yaml")
    assert schema.http_options.host == ("0.0.0.0" if on_a_cluster else "127.0.0.1")
    assert Settings.from_args(config["applications"][0]["args"], environ={}) == settings


def repeated(model: BaseModel, default: BaseModel, path: str = "") -> Iterator[str]:
    """Keys that a file sets to their default."""
    for name in model.model_fields_set:
        value, usual = getattr(model, name), getattr(default, name)
        if isinstance(value, BaseModel) and isinstance(usual, BaseModel):
            yield from repeated(value, usual, f"{path}{name}.")
        elif value == usual:
            yield f"{path}{name}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_holds_only_what_differs_from_the_defaults(path):
    if path != default_config_path():  # says which family it serves
        assert not list(repeated(load_config(path, environ={})[1], Settings()))


PROFILES = [path for path in CONFIGS if path.stem in ("latency", "balanced", "throughput")]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_lists_its_shapes_and_they_fit_the_family(path):
    _, settings = load_config(path, environ={})
    spec = families.load(settings.family.name, settings.family.options).spec
    schedule = ChunkSchedule.of(spec, settings.vocoder_chunk_size, **settings.chunks.model_dump())
    gpt, vocoder = settings.gpt, settings.vocoder
    assert gpt.batch_buckets and gpt.length_buckets and vocoder.batch_buckets and vocoder.frame_buckets
    assert vocoder.frame_buckets[-1] >= schedule.maximum, "the longest chunk is captured"
    assert vocoder.frame_buckets[0] >= schedule.first or path.stem == "throughput"
    assert len(gpt.batch_buckets) * len(gpt.length_buckets) < 50, "each pair is a graph"


@pytest.mark.parametrize("path", [default_config_path(), *PROFILES], ids=lambda path: path.stem)
def test_the_default_and_the_profiles_fit_on_two_cores(path):
    _, settings = load_config(path, environ={})
    stages = (settings.gpt, settings.vocoder, settings.text_frontend, settings.voice_encoder)
    assert settings.reserved_cpus <= 1.8  # 0.2 are for an ingress that replaces another
    assert settings.busy_threads() <= 2
    assert all(stage.num_gpus == 0 for stage in stages)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("slots: 8", "slotz: 8", ["args.gpt.slotz", "unknown key", "slots", "emit_every"]),
        ("slots: 8", "slots: '8'", ["args.gpt.slots", "valid integer", "'8'"]),
        ("slots: 8", "slots: 0", ["args.gpt.slots", "greater than 0"]),
        ("slots: 8", "slots: true", ["args.gpt.slots", "integer"]),
        ("half: auto", "half: maybe", ["args.device.half", "'auto'", "boolean"]),
        ("preference: auto", "preference: rocm", ["args.device.preference", "musa", "cuda"]),
        ("optimize: true", "optimize: 1", ["args.optimize", "boolean"]),
        ("num_cpus: 0.5", "num_cpus: .nan", ["args.gpt.num_cpus"]),
        ("max_queue: 80", "autoscaling: {min_replicas: 3, max_replicas: 2}", ["args.gpt", "max_replicas"]),
        ("family:", "famly:", ["args.famly", "unknown key", "family"]),
        ("  port: 8000", "  prt: 8000", ["http_options.prt", "unknown key", "port"]),
        ("  port: 8000", "  port: x", ["http_options.port", "integer"]),
        ("proxy_location: HeadOnly", "proxy_locaton: HeadOnly", ["proxy_locaton", "proxy_location"]),
        ("    route_prefix: /", "    route_prefx: /", ["applications[0].route_prefx", "route_prefix"]),
        ("  log_level: INFO", "  level: INFO", ["logging_config.level", "log_level"]),
        ("serve_app.app:build", "other.app:build", ["serve_app.app:build"]),
    ],
)
def test_an_error_names_its_file_line_key_and_what_is_allowed(written, before, after, says):
    text, line = edited(before, after)
    with pytest.raises(ConfigError) as refused:
        load_config(written(text), environ={})
    message = refused.value.message
    assert message.startswith("mine.yaml:"), message
    lines = {int(part.split(":")[1]) for part in message.splitlines() if part.startswith("mine.yaml:")}
    if before not in ("max_queue: 80", "serve_app.app:build"):  # these faults are reported for the section
        assert line in lines, message
    for word in says:
        assert word in message


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all maps whose keys this project or Serve declares; a family checks its own options."""
    if isinstance(value, dict):
        if path[-1:] not in (("models",), ("options",)):
            yield path
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    for index, inner in enumerate(value if isinstance(value, list) else ()):
        yield from places(inner, (*path, index))


@pytest.mark.parametrize("path", [*CONFIGS, Path("tests/data/config.yaml")], ids=lambda path: path.name)
def test_a_wrong_key_is_refused_everywhere(path, written):
    document = yaml.safe_load(path.read_text())
    found = list(places(document))
    assert len(found) > 3
    for place in found:
        wrong = copy.deepcopy(document)
        functools.reduce(operator.getitem, place, wrong)["wrong_key"] = "x"
        text = yaml.safe_dump(wrong)
        line = text[: text.index("wrong_key")].count("\n") + 1
        with pytest.raises(ConfigError, match=rf"mine\.yaml:{line}: .*wrong_key: unknown key; allowed: "):
            load_config(written(text), environ={})


@pytest.mark.parametrize("name", families.FAMILIES)
def test_a_wrong_option_of_a_family_is_refused(name, tmp_path):
    needed = {} if name == "small" else {"model_dir": str(tmp_path)}
    with pytest.raises(ConfigError, match="wrong_key"):
        families.load(name, {**needed, "wrong_key": "x"})


def test_all_faults_are_reported_at_once(written):
    text, first = edited("slots: 8", "slots: many")
    text = text.replace("max_batch: 8", "max_batch: 0", 1)
    with pytest.raises(ConfigError) as refused:
        load_config(written(text), environ={})
    lines = refused.value.message.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"mine.yaml:{first}:")


def test_a_duplicate_key_is_refused(written):
    text, line = edited("slots: 8", "slots: 8\n        slots: 9")
    with pytest.raises(ConfigError, match=rf"mine.yaml:{line + 1}: .*slots: duplicate key"):
        load_config(written(text), environ={})


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\tx: 1", "hello"])
def test_a_file_that_is_not_a_config_is_refused(written, text):
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_config(written(text), environ={})


def test_a_missing_file_and_binary_content_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_config(tmp_path / "nowhere.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.yaml: cannot be read"):
        load_config(tmp_path / "bytes.yaml")


def test_deployment_overrides_cannot_set_what_the_graph_decides(written):
    override = "    deployments:\n      - name: Gpt\n        {}\n    args:"
    allowed = FULL.replace("    args:", override.format("health_check_period_s: 3"), 1)
    load_config(written(allowed), environ={})
    for key in ("num_replicas: 2", "max_ongoing_requests: 4", "autoscaling_config: {max_replicas: 2}"):
        with pytest.raises(ConfigError, match="not allowed here"):
            load_config(written(FULL.replace("    args:", override.format(key), 1)), environ={})
    with pytest.raises(ConfigError, match=r"ray_actor_options\.cpus: unknown key; allowed: .*num_cpus"):
        load_config(written(FULL.replace("    args:", override.format("ray_actor_options: {cpus: 1}"), 1)))

"""The application in the RayService: our strict reading accepts it, and it fits the pods around it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ray.serve._private.constants import PROXY_MIN_DRAINING_PERIOD_S
from ray.serve.schema import ServeDeploySchema

from deployments.contract.errors import ConfigError
from serve_app.config.file import load_config
from serve_app.config.jobs import JobsSettings
from serve_app.config.settings import Limits, Settings
from serve_app.runtime.ports import check_access
from tests.k8s.rendered import (
    K8S,
    OVERLAYS,
    ROOT,
    environment,
    overlay,
    ports,
    ray_templates,
    rayservice,
    worker_groups,
)

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
every_overlay = pytest.mark.parametrize("name", OVERLAYS)


def read(name: str, folder: Path, edit: tuple[str, str] = ("", "")):
    """The Serve config of an overlay and our settings, with the variables that the manifests set."""
    path = folder / "serve.yaml"
    text = rayservice(overlay(name))["serveConfigV2"]
    assert edit[0] in text
    path.write_text(text.replace(*edit, 1))
    return load_config(path, environ=environment(overlay(name)))


@every_overlay
def test_serve_and_our_settings_accept_it(name, tmp_path):
    config, settings = read(name, tmp_path)
    assert ServeDeploySchema.model_validate(config).proxy_location == "EveryNode"
    http = config["http_options"]
    assert http["host"] == "0.0.0.0"  # in a pod; the network policy says who reaches it
    for template in ray_templates(overlay(name)).values():
        assert ports(template)["serve"] == http["port"]
        (container,) = template["spec"]["containers"]
        assert any(settings.data.is_relative_to(m["mountPath"]) for m in container["volumeMounts"])


@every_overlay
def test_it_serves_without_keys_only_in_the_small_overlays(name, tmp_path):
    config, settings = read(name, tmp_path)
    if settings.access.anyone:
        assert name in ("cpu-demo", "one-gpu")
        return
    host = config["http_options"]["host"]
    with pytest.raises(ConfigError, match=r"access\.keys is empty"):
        check_access(host, settings)
    variables = dict(re.findall(r"--from-literal=(CHORALE_ACCESS\w+)=(\S+)", PAGE))
    secret = {key: value.replace("HASH", "0" * 64) for key, value in variables.items()}
    args = config["applications"][0]["args"]
    check_access(host, Settings.from_args(args, environment(overlay(name)) | secret))


@every_overlay
def test_wrong_keys_are_refused_with_their_line(name, tmp_path):
    with pytest.raises(ConfigError, match=r"serve\.yaml:\d+: http_options\.hots: unknown key"):
        read(name, tmp_path, ("host:", "hots:"))
    with pytest.raises(ConfigError, match=r"serve\.yaml:\d+: .*\.data_dirr: unknown key"):
        read(name, tmp_path, ("data_dir:", "data_dirr:"))


@every_overlay
def test_proxies_know_changed_limits(name, tmp_path):
    """The proxy does not see the config: its limits are variables."""
    _, settings = read(name, tmp_path)
    assert (settings.limits, settings.jobs.max_book_bytes) == (Limits(), JobsSettings().max_book_bytes)


def gpus(pod: dict) -> int:
    (container,) = pod["template"]["spec"]["containers"]
    return sum(int(n) for key, n in container["resources"]["limits"].items() if key.endswith("/gpu"))


def cpus(pod: dict) -> int:
    (container,) = pod["template"]["spec"]["containers"]
    return int(container["resources"]["limits"]["cpu"])


@every_overlay
def test_the_largest_replicas_fit_on_the_largest_cluster(name, tmp_path):
    _, settings = read(name, tmp_path)
    groups = worker_groups(overlay(name)).values()
    assert settings.reserved_cpus <= sum(group["maxReplicas"] * cpus(group) for group in groups)
    stages = [
        getattr(model, stage)
        for model in settings.served.values()
        for stage in ("gpt", "vocoder", "voice_encoder", "text_frontend")
    ]
    wanted = sum(stage.num_gpus * stage.bounds[1] for stage in stages)
    assert wanted <= sum(group["maxReplicas"] * gpus(group) for group in groups)
    assert (wanted > 0) == any(gpus(group) for group in groups)
    largest = max((gpus(group) for group in groups), default=0)
    assert all(stage.num_gpus <= largest for stage in stages)


@every_overlay
def test_devices_are_those_of_the_workers(name, tmp_path):
    """A replica that finds no card must fail instead of running on the CPU."""
    _, settings = read(name, tmp_path)
    wanted = {"gpu": "cuda", "musa": "musa"}
    cards = [wanted[group] for group in worker_groups(overlay(name)) if group in wanted]
    for model in settings.served.values():
        if model.gpt.num_gpus:
            assert [model.device.preference] == cards


def drain(group: dict) -> list[int]:
    (container,) = group["template"]["spec"]["containers"]
    program, *seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "drain-node"
    return [int(value) for value in seconds]


@every_overlay
def test_a_pod_has_the_time_that_its_replicas_need_to_finish(name, tmp_path):
    config, settings = read(name, tmp_path)
    assert "deployments" not in config["applications"][0]  # one could override the options
    leased = [model_stage for m in settings.served.values() for model_stage in (m.gpt, m.vocoder)]
    needed = max(section.graceful_shutdown_s for section in (settings.ingress, *leased))
    for group in worker_groups(overlay(name)).values():
        start, graceful, connections = drain(group)
        assert graceful == needed
        assert connections >= PROXY_MIN_DRAINING_PERIOD_S
        script = (K8S / "image" / "drain-node").read_text()
        (command,) = map(int, re.findall(r"^timeout (\d+) ray drain-node", script, re.MULTILINE))
        total = group["template"]["spec"]["terminationGracePeriodSeconds"]
        assert total == command + start + graceful + connections + 15  # Ray's own end
        rows = re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE)
        assert [int(row) for row in rows] == [command, start, graceful, connections, 15, total]


@every_overlay
def test_an_old_cluster_outlives_its_streams(name, tmp_path):
    config, _ = read(name, tmp_path)
    delay = rayservice(overlay(name))["rayClusterDeletionDelaySeconds"]
    assert delay >= config["http_options"]["request_timeout_s"]


def test_the_profile_of_a_cluster_is_the_one_in_the_manifests(tmp_path):
    assert rayservice(overlay("cluster"))["serveConfigV2"] == (ROOT / "configs" / "cluster.yaml").read_text()
    settings = {name: read(name, tmp_path)[1] for name in ("cluster", "cluster-rocksdb", "musa")}
    assert settings["cluster"] == settings["cluster-rocksdb"]
    assert settings["musa"].served["index-1.5"].device.preference == "musa"


@pytest.mark.parametrize(("name", "profile"), [("cpu-demo", "default.yaml"), ("one-gpu", "gpu.yaml")])
def test_small_overlays_are_profiles_of_one_machine(name, profile, tmp_path):
    _, settings = read(name, tmp_path)
    _, ours = load_config(ROOT / "configs" / profile, environ={})
    inside = {"data_dir": settings.data_dir, "access": {"anyone": True}}
    assert settings == Settings.from_args({**ours.to_args(), **inside}, environ={})


@pytest.mark.parametrize("name", ["cluster", "musa"])
def test_checkpoints_are_mounted_where_the_config_expects_them(name, tmp_path):
    _, settings = read(name, tmp_path)
    folders = [
        Path(model.family.options["model_dir"]) for model in settings.served.values() if model.family.options
    ]
    assert folders
    for group in worker_groups(overlay(name)).values():
        (container,) = group["template"]["spec"]["containers"]
        (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "models")
        assert mount["readOnly"] and all(folder.is_relative_to(mount["mountPath"]) for folder in folders)

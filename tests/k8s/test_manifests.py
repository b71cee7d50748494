"""What k8s/ renders: valid for the API server, and consistent with itself and with Ray."""

from __future__ import annotations

import copy
import functools
import importlib
import json
import operator
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT
from ray.dashboard.http_server_agent import PUBLIC_EXACT_PATHS
from ray.scripts.scripts import start

from serve_app.runtime.node import OBJECT_STORE_BYTES, RAY_ENVIRONMENT
from tests.k8s.rendered import (
    K8S,
    OVERLAYS,
    ROOT,
    environment,
    faults,
    of_kind,
    overlay,
    ports,
    ray_templates,
    rayservice,
    render,
    selected,
    templates,
    walk,
    worker_groups,
)

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()

every_overlay = pytest.mark.parametrize("name", OVERLAYS)


@every_overlay
def test_the_api_server_would_accept_everything(name):
    for manifest in overlay(name):
        assert not faults(manifest)


@pytest.mark.parametrize("component", ["tracing", "incremental-upgrade"])
def test_optional_components_fit_the_cluster(component, tmp_path):
    base, part = (
        os.path.relpath(K8S / path, tmp_path.resolve())
        for path in ("overlays/cluster", f"components/{component}")
    )
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{base}]\ncomponents: [{part}]\n")
    manifests = render(tmp_path)
    for manifest in manifests:
        assert not faults(manifest)
    assert_references_exist(manifests)
    assert_ports_exist(manifests)
    assert manifests != overlay("cluster")
    for variable, value in environment(manifests).items():
        if variable.endswith("_IMPORT_PATH"):
            module, _, name = value.partition(":")
            assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("rayClusterConfig.workerGroupz", [], "'workerGroupz' was unexpected"),
        ("rayClusterConfig.headGroupSpec.template.spec.containers.0.imag", "x", "'imag' was unexpected"),
        ("rayClusterConfig.workerGroupSpecs.0.minReplicas", "two", "'two' is not of type 'integer'"),
        ("rayClusterConfig.workerGroupSpecs.0.minReplicas", -1, "less than the minimum"),
        ("rayClusterConfig.autoscalerOptions.version", 2, "is not one of"),
        ("rayClusterConfig.gcsFaultToleranceOptions.backend", "rocksdb", "False schema"),
        ("rayClusterConfig.gcsFaultToleranceOptions.backend", "etcd", "'etcd' is not one of"),
        ("upgradeStrategy.type", "NewClusterWithIncrementalUpgrade", "'clusterUpgradeOptions' is a required"),
        ("rayClusterConfig.headGroupSpec.rayStartParams.num-cpus", 0, "0 is not of type 'string'"),
    ],
)
def test_wrong_manifests_are_refused(path, value, said):
    (service,) = copy.deepcopy(of_kind(overlay("cluster"), "RayService"))
    *parents, last = path.split(".")
    place = service["spec"]
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    assert any(said in fault for fault in faults(service)), faults(service)


# Kubernetes leaves these keys to the manifest.
NAMES = ("labels", "annotations", "matchLabels", "requests", "limits", "data", "rayStartParams")


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all maps whose keys are those of a schema."""
    if isinstance(value, dict):
        if path[-1:] != ("selector",) or "matchLabels" in value:  # a service's selector has labels
            yield path
        for key, inner in value.items():
            if key not in NAMES:
                yield from places(inner, (*path, key))
    for index, inner in enumerate(value if isinstance(value, list) else ()):
        yield from places(inner, (*path, index))


@every_overlay
def test_a_wrong_key_is_refused_everywhere(name):
    for manifest in overlay(name):
        for path in places(manifest):
            wrong = copy.deepcopy(manifest)
            functools.reduce(operator.getitem, path, wrong)["wrongKey"] = "x"
            assert any("wrongKey" in fault for fault in faults(wrong)), (manifest["kind"], path)


@every_overlay
def test_the_parameters_of_ray_start_exist(name):
    known = {option.lstrip("-") for parameter in start.params for option in parameter.opts}
    service = rayservice(overlay(name))
    groups = [service["rayClusterConfig"]["headGroupSpec"], *worker_groups(overlay(name)).values()]
    for group in groups:
        assert group["rayStartParams"].keys() <= known


@every_overlay
def test_names_are_unique_and_in_one_namespace(name):
    manifests = overlay(name)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"chorale"}


def assert_references_exist(manifests):
    """ConfigMaps and volume claims are in the manifests; secrets are on the page, with the same keys."""
    have = {kind: {m["metadata"]["name"] for m in of_kind(manifests, kind)} for kind in
            ("ConfigMap", "PersistentVolumeClaim")}  # fmt: skip
    commands = re.findall(r"create secret generic (\S+)((?: \\\n| +)(?:.*\\\n)*.*)", PAGE)
    secrets = {name: set(re.findall(r"--from-literal=(\w+)=", rest)) for name, rest in commands}
    for mapping in (inner for manifest in manifests for inner in walk(manifest)):
        for key in ("configMapRef", "configMapKeyRef", "configMap"):
            if isinstance(mapping.get(key), dict):
                assert mapping[key]["name"] in have["ConfigMap"]
        if isinstance(claim := mapping.get("persistentVolumeClaim"), dict):
            assert claim["claimName"] in have["PersistentVolumeClaim"]
        if isinstance(secret := mapping.get("secretRef"), dict):
            assert secrets[secret["name"]] >= {"CHORALE_JOBS__DATABASE"}
        if isinstance(secret := mapping.get("secretKeyRef"), dict):
            assert secret["key"] in secrets[secret["name"]]
    for template in templates(manifests).values():
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        claims = {
            claim["metadata"]["name"]
            for stateful in of_kind(manifests, "StatefulSet")
            for claim in stateful["spec"].get("volumeClaimTemplates", [])
        }
        for container in spec["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes | claims


@every_overlay
def test_what_the_pods_refer_to_exists(name):
    assert_references_exist(overlay(name))


def assert_ports_exist(manifests):
    for policy in of_kind(manifests, "NetworkPolicy"):
        chosen = selected(manifests, policy["spec"]["podSelector"]["matchLabels"])
        assert chosen, policy["metadata"]["name"]
        open_ports = {port for template in chosen.values() for port in ports(template)}
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule.get("ports", [])} <= open_ports
            for source in rule["from"]:
                labels = source.get("podSelector", {}).get("matchLabels", {})
                assert "namespaceSelector" in source or selected(manifests, labels)
    for service in of_kind(manifests, "Service"):
        chosen = selected(manifests, service["spec"]["selector"])
        assert chosen
        for port in service["spec"]["ports"]:
            assert all(ports(template)[port["targetPort"]] == port["port"] for template in chosen.values())
    for monitor in of_kind(manifests, "PodMonitor"):
        chosen = selected(manifests, monitor["spec"]["selector"]["matchLabels"])
        assert chosen.keys() == ray_templates(manifests).keys()
        scraped = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        assert scraped <= {port for template in chosen.values() for port in ports(template)}
        assert all("metrics" in ports(template) for template in chosen.values())


@every_overlay
def test_ports_are_those_of_the_pods(name):
    assert_ports_exist(overlay(name))


@every_overlay
def test_rays_own_ports_are_closed_to_others(name):
    """Only the operator reaches the dashboard, and only clients and the operator reach HTTP."""
    manifests = overlay(name)
    (policy,) = (
        p["spec"] for p in of_kind(manifests, "NetworkPolicy") if p["metadata"]["name"] == "chorale-ray"
    )
    assert selected(manifests, policy["podSelector"]["matchLabels"]).keys() == ray_templates(manifests).keys()
    assert policy["policyTypes"] == ["Ingress"]
    everything, *named = policy["ingress"]
    (own,) = everything["from"]
    assert own == {"podSelector": policy["podSelector"]} and "ports" not in everything
    reached: dict[str, set[str]] = {}
    for rule in named:
        (source,) = rule["from"]
        (namespace,) = source["namespaceSelector"]["matchLabels"].values()
        for port in rule["ports"]:
            reached.setdefault(port["port"], set()).add(namespace)
    assert reached == {
        "dashboard": {"kuberay-system"},
        "serve": {"kuberay-system", "true"},  # namespaces with the label chorale/client=true
        **{port: {"monitoring"} for port in ("metrics", "as-metrics", "dash-metrics")},
    }
    assert rayservice(manifests)["rayClusterConfig"]["authOptions"] == {"mode": "token"}


@every_overlay
def test_pods_are_confined(name):
    manifests = overlay(name)
    for pod, template in templates(manifests).items():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        if pod != "head":  # its autoscaler calls the Kubernetes API
            assert spec["automountServiceAccountToken"] is False
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            wants, most = container["resources"]["requests"], container["resources"]["limits"]
            assert wants.keys() == most.keys() and {"cpu", "memory"} <= wants.keys()
            assert {"readinessProbe", "livenessProbe"} <= container.keys()


@every_overlay
def test_images_have_tags_and_no_host(name):
    for template in templates(overlay(name)).values():
        for container in template["spec"]["containers"]:
            assert re.fullmatch(r"([a-z]+/)?[a-z-]+:\d[\w.]*", container["image"])


@every_overlay
def test_probes_ask_what_ray_answers_without_a_token(name):
    for pod, template in ray_templates(overlay(name)).items():
        (container,) = template["spec"]["containers"]
        for probe in ("startupProbe", "livenessProbe") + (("readinessProbe",) if pod == "head" else ()):
            asked = container[probe]["httpGet"]
            assert asked["path"] in PUBLIC_EXACT_PATHS
            assert asked["port"] == DEFAULT_DASHBOARD_AGENT_LISTEN_PORT
        if pod != "head":
            assert container["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": "serve"}


@every_overlay
def test_ray_is_set_up_as_chorale_serve_does(name):
    manifests = overlay(name)
    assert RAY_ENVIRONMENT.items() <= environment(manifests).items()
    cluster = rayservice(manifests)["rayClusterConfig"]
    assert cluster["rayVersion"] == ray.__version__
    assert re.search(
        rf"^ray=={cluster['rayVersion']} ", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["rayStartParams"]["object-store-memory"] == str(OBJECT_STORE_BYTES)
    for template in ray_templates(manifests).values():
        (container,) = template["spec"]["containers"]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/tmp", environment(manifests)["HOME"], "/var/lib/chorale"} <= mounts  # the rest is read-only


@every_overlay
def test_the_operators_own_rules_hold(name):
    """What KubeRay 1.7 refuses although its schema allows it."""
    manifests = overlay(name)
    cluster = rayservice(manifests)["rayClusterConfig"]
    assert cluster["autoscalerOptions"]["version"] == "v2" and cluster["enableInTreeAutoscaling"]
    for template in ray_templates(manifests).values():
        assert "restartPolicy" not in template["spec"]  # the autoscaler's: Never
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= template["metadata"][
            "labels"
        ].keys()
    managed = {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", "RAY_gcs_storage", "RAY_gcs_storage_path",
               "RAY_enable_autoscaler_v2", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}  # fmt: skip
    assert not managed & environment(manifests).keys()
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["maxReplicas"]
        assert "resources" not in group and "labels" not in group["rayStartParams"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert rayservice(manifests)["excludeHeadPodFromServeSvc"]


@every_overlay
def test_a_worker_with_a_gpu_tells_ray_so(name):
    """KubeRay counts NVIDIA's cards by itself, and no others."""
    for group, spec in worker_groups(overlay(name)).items():
        (container,) = spec["template"]["spec"]["containers"]
        cards = {key: int(n) for key, n in container["resources"]["limits"].items() if key.endswith("/gpu")}
        expected = {"cpu": {}, "gpu": {"nvidia.com/gpu": 1}, "musa": {"mthreads.com/gpu": 1}}[group]
        assert cards == expected
        assert spec["rayStartParams"].get("num-gpus") == ("1" if group == "musa" else None)


def test_budgets_leave_pods_that_may_move():
    for name in OVERLAYS:
        manifests = overlay(name)
        for budget in of_kind(manifests, "PodDisruptionBudget"):
            spec = budget["spec"]
            chosen = selected(manifests, spec["selector"]["matchLabels"])
            least = sum(worker_groups(manifests)[group]["minReplicas"] for group in chosen)
            assert spec.keys() == {"minAvailable", "selector"}  # others need a controller with a scale
            assert isinstance(spec["minAvailable"], int) and 0 < spec["minAvailable"] < least
    assert of_kind(overlay("cluster"), "PodDisruptionBudget")


def test_the_heads_state_survives_the_head():
    for name, backend in (("cluster", "redis"), ("musa", "redis"), ("cluster-rocksdb", "rocksdb")):
        options = rayservice(overlay(name))["rayClusterConfig"]["gcsFaultToleranceOptions"]
        assert options["backend"] == backend
        if backend == "redis":
            host, port = options["redisAddress"].split(":")
            (service,) = (s for s in of_kind(overlay(name), "Service") if s["metadata"]["name"] == host)
            assert [p["port"] for p in service["spec"]["ports"]] == [int(port)]
            (server,) = of_kind(overlay(name), "StatefulSet")
            (container,) = server["spec"]["template"]["spec"]["containers"]
            (password,) = (item["valueFrom"] for item in container["env"] if item["name"] == "PASSWORD")
            assert password == options["redisPassword"]["valueFrom"]


def test_every_file_of_the_base_is_used():
    """kustomize knows no patterns, so a new file must be named."""
    said = yaml.safe_load((K8S / "base" / "kustomization.yaml").read_text())
    configured = {"kustomization.yaml", *said["resources"], *said["configurations"]}
    assert configured == {path.name for path in K8S.glob("base/*.yaml")}
    loaded = {
        name: json.loads(text)
        for manifest in of_kind(overlay("cluster"), "ConfigMap")
        if manifest["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for name, text in manifest["data"].items()
    }
    assert loaded.keys() == {path.name for path in K8S.glob("base/dashboards/*.json")}
    assert all(dashboard["panels"] for dashboard in loaded.values())


def test_only_the_demo_lives_without_prometheus():
    for name in OVERLAYS:
        kinds = {manifest["kind"] for manifest in overlay(name)}
        assert ({"PodMonitor", "PrometheusRule"} <= kinds) == (name != "cpu-demo")
        assert name == "cpu-demo" or of_kind(overlay(name), "PrometheusRule")[0]["spec"]["groups"]


def test_the_page_names_every_overlay_and_component():
    for folder in ("overlays", "components"):
        for path in sorted((K8S / folder).iterdir()):
            assert f"`{path.name}`" in PAGE, path


def test_schemas_stay_small():
    assert sum(path.stat().st_size for path in (Path(__file__).parent / "schemas").iterdir()) < 2**20

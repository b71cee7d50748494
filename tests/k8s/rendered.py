"""Renders k8s/ with kustomize, and finds things in the manifests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml"))
SCHEMAS = Path(__file__).parent / "schemas"

Manifest = dict[str, Any]
POLICY = "io.k8s.api.networking.v1.NetworkPolicy"
KINDS = {
    ("v1", "ConfigMap"): "io.k8s.api.core.v1.ConfigMap",
    ("v1", "Service"): "io.k8s.api.core.v1.Service",
    ("v1", "PersistentVolumeClaim"): "io.k8s.api.core.v1.PersistentVolumeClaim",
    ("apps/v1", "Deployment"): "io.k8s.api.apps.v1.Deployment",
    ("apps/v1", "StatefulSet"): "io.k8s.api.apps.v1.StatefulSet",
    ("networking.k8s.io/v1", "NetworkPolicy"): POLICY,
    ("policy/v1", "PodDisruptionBudget"): "io.k8s.api.policy.v1.PodDisruptionBudget",
    ("monitoring.coreos.com/v1", "PodMonitor"): "PodMonitor",
    ("monitoring.coreos.com/v1", "PrometheusRule"): "PrometheusRule",
    ("ray.io/v1", "RayService"): "RayService",
}


@cache
def kustomize() -> tuple[str, ...]:
    """The command that renders a folder. Skips the test if there is none of version 5."""
    commands = {"kustomize": ("kustomize", "build"), "kubectl": ("kubectl", "kustomize")}
    for program, command in commands.items():
        if shutil.which(program):
            version = ["version"] if program == "kustomize" else ["version", "--client"]
            said = subprocess.run([program, *version], capture_output=True, text=True, timeout=60).stdout
            if re.search(r"(^|Kustomize Version: )v5\.", said):
                return command
    pytest.skip("needs kustomize 5, alone or in kubectl")


def render(folder: Path) -> list[Manifest]:
    command = [*kustomize(), str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


@cache
def overlay(name: str) -> list[Manifest]:
    return render(K8S / "overlays" / name)


@cache
def _schemas() -> dict[str, Any]:
    kubernetes = json.loads((SCHEMAS / "kubernetes.json").read_text())["$defs"]
    monitoring = json.loads((SCHEMAS / "monitoring.json").read_text())["$defs"]
    kuberay = yaml.safe_load((SCHEMAS / "kuberay.yaml").read_text())["$defs"]
    assert not (kubernetes.keys() & monitoring.keys()) | (kubernetes.keys() & kuberay.keys())
    return {**kubernetes, **monitoring, **kuberay}


@cache
def _validator(definition: str) -> Any:
    schema = {"$defs": _schemas(), "$ref": f"#/$defs/{definition}"}
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(manifest: Manifest) -> list[str]:
    """What the API server would refuse: unknown kinds and keys, wrong types and values."""
    kind = (manifest.get("apiVersion", ""), manifest.get("kind", ""))
    if kind not in KINDS:
        return [f"unknown kind: {kind}"]
    found = _validator(KINDS[kind]).iter_errors(manifest)
    return [f"{kind[1]} {error.json_path}: {error.message}" for error in found]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def rayservice(manifests: list[Manifest]) -> Manifest:
    (found,) = of_kind(manifests, "RayService")
    return found["spec"]


def ray_templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod templates of the head and of each group of workers."""
    cluster = rayservice(manifests)["rayClusterConfig"]
    groups = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"], **groups}


def templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """All pod templates, by what makes the pods."""
    others = {
        manifest["metadata"]["name"]: manifest["spec"]["template"]
        for kind in ("Deployment", "StatefulSet")
        for manifest in of_kind(manifests, kind)
    }
    return {**ray_templates(manifests), **others}


def worker_groups(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {
        group["groupName"]: group for group in rayservice(manifests)["rayClusterConfig"]["workerGroupSpecs"]
    }


def environment(manifests: list[Manifest]) -> dict[str, str]:
    """The variables of Ray's pods that the manifests hold; secrets are elsewhere."""
    (found,) = (m for m in of_kind(manifests, "ConfigMap") if m["metadata"]["name"].startswith("chorale-env"))
    return found["data"]


def selected(manifests: list[Manifest], labels: dict[str, str]) -> dict[str, Manifest]:
    """The pod templates that have these labels."""
    return {
        name: template
        for name, template in templates(manifests).items()
        if labels.items() <= template["metadata"]["labels"].items()
    }


def ports(template: Manifest) -> dict[str, int]:
    """Port numbers by name."""
    return {
        port["name"]: port["containerPort"]
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    }


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a manifest."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)

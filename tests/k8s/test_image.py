"""k8s/image: what the image holds and how it is built. No registry is needed, so nothing is built here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ray.scripts.scripts import drain_node

from tests.k8s.rendered import K8S, ROOT, environment, overlay, ray_templates

IMAGE = K8S / "image"
CONTAINERFILE = (IMAGE / "Containerfile").read_text()
LINES = re.sub(r"\\\n\s*", "", CONTAINERFILE).splitlines()


def lines(instruction: str) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in LINES if line.startswith(f"{instruction} ")]


def packages(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, re.MULTILINE))


def test_the_base_is_pinned_and_the_last_stage_holds_no_tools():
    base, _torch = lines("ARG")
    assert re.fullmatch(r"BASE=python:3\.1[12][\w.-]*@sha256:[0-9a-f]{64}", base)
    assert lines("FROM") == ["${BASE} AS build", "${BASE}"]
    last = CONTAINERFILE.rpartition("FROM ")[2]
    assert "pip install" not in last and "apt-get" not in last


def test_every_package_is_installed_with_hashes():
    installs = re.findall(r"pip install [^&|;\n]+", "\n".join(lines("RUN")))
    assert len(installs) == 4
    for install in installs:
        ours = "--no-deps --no-build-isolation ." in install  # our own package, with the pinned setuptools
        assert "--require-hashes" in install or ours


def test_the_user_is_that_of_the_pods():
    (user,) = lines("USER")
    uid, gid = map(int, user.split(":"))
    for template in ray_templates(overlay("cluster")).values():
        security = template["spec"]["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (uid, gid, gid)
    (home,) = lines("WORKDIR")[-1:]
    assert environment(overlay("cluster"))["HOME"] == home


def test_it_reports_its_health_and_stops_cleanly():
    (health,) = lines("HEALTHCHECK")
    assert "http://127.0.0.1:8000/health'" in health
    assert lines("STOPSIGNAL") == ["SIGINT"]  # as Ctrl-C does


def test_what_it_copies_is_in_the_context():
    allowed = (IMAGE / "Containerfile.dockerignore").read_text().splitlines()
    for line in lines("COPY"):
        if not line.startswith("--from"):
            for path in line.split()[:-1]:
                assert (ROOT / path).exists(), path
                assert any(Path(path).full_match(rule[1:]) if hasattr(Path, "full_match") else
                           Path(path).match(rule[1:]) or path.startswith(rule[1:] + "/")
                           for rule in allowed if rule.startswith("!")), path  # fmt: skip


def test_the_object_stores_packages_agree_with_the_lock():
    """All but one: the object store's client needs an older python-dateutil, which suits pg8000 too."""
    ours, theirs = (
        packages(path.read_text())
        for path in (ROOT / "requirements.lock", IMAGE / "requirements-cluster.lock")
    )
    assert {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]} == {"python-dateutil"}
    assert theirs["s3fs"] == ours["fsspec"]


def test_an_image_with_its_own_torch_leaves_out_ours():
    lock = ROOT / "requirements.lock"
    command = ["awk", "-f", str(IMAGE / "without-torch.awk"), str(lock)]
    left = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    before, after = packages(lock.read_text()), packages(left)
    assert after.items() <= before.items()
    dropped = before.keys() - after.keys()
    assert {"torch", "torchaudio"} <= dropped
    assert all(re.fullmatch(r"torch|torchaudio|triton|(nvidia|cuda)-.*", name) for name in dropped)
    assert {"numpy", "ray", "nvidia-ml-py"} <= after.keys()
    assert left.count("--hash") == sum(
        len(re.findall("--hash", block))
        for block in re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)
        if block.split("==")[0] in after
    )


def test_the_drain_hook_is_a_command_of_this_ray():
    script = (IMAGE / "drain-node").read_text()
    used = set(re.findall(r"(--[a-z-]+)", script))
    assert used and used <= {option for parameter in drain_node.params for option in parameter.opts}
    (reason,) = (parameter for parameter in drain_node.params if parameter.name == "reason")
    assert re.search(r"--reason (\w+)", script)[1] in reason.type.choices
    assert (IMAGE / "drain-node").stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(IMAGE / "drain-node")], check=True, timeout=10)


@pytest.mark.parametrize("seconds", [["60"], ["60", "60"]])
def test_the_drain_hook_needs_all_its_seconds(seconds):
    result = subprocess.run(["sh", str(IMAGE / "drain-node"), *seconds], capture_output=True, timeout=10)
    assert result.returncode != 0

"""The lock files pin every package with hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-uv.lock",
    "requirements-audit.lock",
    "k8s/image/requirements-cluster.lock",
)


def packages(name: str) -> dict[str, set[str]]:
    """The pinned packages with their hashes."""
    text = re.sub(r"^ *#.*\n?", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = {}
    for line in filter(str.strip, text.splitlines()):
        package, *hashes = line.split("--hash=")
        found[package.strip()] = {value.strip() for value in hashes}
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_hashes(name):
    found = packages(name)
    assert found
    for package, hashes in found.items():
        assert re.fullmatch(r"[a-z0-9-]+==[^ ;]+( ; .+)?", package), package
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), package


def test_the_development_lock_contains_the_runtime_lock_with_the_same_hashes():
    found = packages("requirements-dev.lock")
    assert packages("requirements.lock").items() <= found.items()


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_registry(name):
    assert "//" not in (ROOT / name).read_text()


def test_every_installation_checks_hashes():
    lines = (ROOT / "Makefile").read_text().replace("\\\n", " ").splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert len(installs) == 4
    for line in installs:  # our own package is installed without dependencies
        assert "--require-hashes" in line or "--no-deps --no-build-isolation --editable ." in line

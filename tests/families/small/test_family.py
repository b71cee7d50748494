from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deployments import families
from deployments.contract.device import Device
from deployments.contract.errors import ConfigError
from deployments.families.small.family import WEIGHTS

LIMIT = 24 * 2**20  # bytes of all weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the shipped weights, which tests damage."""
    return Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))


def test_spec_and_frontend_need_no_torch() -> None:
    code = (
        "import sys; from deployments import families; f = families.load('small'); f.spec; "
        "f.frontend().segments('Hello there.'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shipped_weights_are_small_and_half_precision() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < LIMIT
    tensors = load_file(WEIGHTS / "small.safetensors")
    assert tensors.pop("timbre.codes").dtype == torch.int32
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_the_folder_may_be_below_the_users_home(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(weights.parent))
    assert families.load("small", {"weights": f"~/{weights.name}"}).folder == weights


def test_a_missing_file_is_named(weights: Path, cpu: Device) -> None:
    (weights / "small.safetensors").unlink()
    family = families.load("small", {"weights": str(weights)})
    with pytest.raises(ConfigError, match=r"small\.safetensors"):
        family.gpt(cpu, 1)
    (weights / "small.json").unlink()
    with pytest.raises(ConfigError, match=r"small\.json"):
        families.load("small", {"weights": str(weights)})


def test_a_truncated_file_is_refused(weights: Path, cpu: Device) -> None:
    path = weights / "small.safetensors"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ConfigError, match="cannot be read"):
        families.load("small", {"weights": str(weights)}).vocoder(cpu)


def test_a_wrong_shape_names_file_tensor_and_both_shapes(weights: Path, cpu: Device) -> None:
    path = weights / "small.safetensors"
    tensors = load_file(path)
    tensors["vocoder.enter.weight"] = tensors["vocoder.enter.weight"][:, :2].contiguous()
    save_file(tensors, path)
    with pytest.raises(
        ConfigError, match=r"small\.safetensors: vocoder\.enter\.weight is \(256, 2\).*\(256, 5\)"
    ):
        families.load("small", {"weights": str(weights)}).vocoder(cpu)


def test_unknown_options_and_config_keys_are_refused(weights: Path) -> None:
    with pytest.raises(ConfigError, match="wieghts"):
        families.load("small", {"wieghts": "x"})
    config = json.loads((weights / "small.json").read_text())
    (weights / "small.json").write_text(json.dumps({**config, "hopp": 1}))
    with pytest.raises(ConfigError, match="hopp"):
        families.load("small", {"weights": str(weights)})
    with pytest.raises(ConfigError, match="allowed: gpt_sovits, indextts, small, voxcpm"):
        families.load("smal")

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.contract.errors import ConfigError
from deployments.families.indextts.config import read_config


@pytest.fixture
def edited(shipped, tmp_path) -> Callable[..., Path]:
    """edited({"gpt.layers": 3}) -> a folder whose config.yaml has this value; None removes the key."""

    def write(changes: dict[str, Any]) -> Path:
        config = yaml.safe_load((shipped / "checkpoint" / "config.yaml").read_text())
        for key, value in changes.items():
            section = config
            *path, last = key.split(".")
            for part in path:
                section = section[part]
            if value is None:
                section.pop(last)
            else:
                section[last] = value
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        return tmp_path

    return write


def complaint(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(folder)
    assert str(folder.parent) not in caught.value.message
    return caught.value.message


def test_the_golden_config(shipped):
    config = read_config(shipped / "checkpoint")
    assert config.samples_per_code == 1024
    assert config.max_codes == 74
    assert config.version == 1.5
    assert config.bigvgan.resblock_dilation_sizes == ((1, 3, 5),) * 3


def test_version_1_0_has_fewer_keys(edited):
    config = read_config(edited({"version": None, "gpt.activation_function": None, "dvae_checkpoint": None}))
    assert config.version is None


def test_training_keys_are_ignored(edited):
    read_config(edited({"bigvgan.adam_b1": 0.8, "dataset.mel.n_mels": 80, "vqvae.anything": [1]}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gpt": None}, "config.yaml: gpt: Field required"),
        ({"gpt.layers": None}, "config.yaml: gpt.layers: Field required"),
        ({"gpt.layers": "2"}, "config.yaml: gpt.layers: Input should be a valid integer"),
        ({"gpt.layers": 0}, "config.yaml: gpt.layers: Input should be greater than 0"),
        ({"gpt.heads": 5}, "model_dim 64 is not a multiple of heads 5"),
        ({"gpt.condition_type": "perceiver"}, "Input should be 'conformer_perceiver'"),
        ({"gpt.condition_module.input_layer": "linear"}, "Input should be 'conv2d2'"),
        ({"gpt.stop_mel_token": 194}, "must be below number_mel_codes"),
        ({"gpt.emo_condition_module": {}}, "gpt.emo_condition_module is not a key of IndexTTS 1.0 or 1.5"),
        ({"s2mel": {}}, "s2mel is not a key of IndexTTS 1.0 or 1.5"),
        ({"version": 2.0}, "version 2.0 is not supported"),
        ({"bigvgan.gpt_dim": 128}, "bigvgan.gpt_dim 128 must equal gpt.model_dim 64"),
        ({"bigvgan.upsample_rates": [4, 4, 4, 4, 2, 4]}, "produce 2048 samples per code"),
        ({"bigvgan.upsample_rates": [4, 4, 4, 16]}, "must have the same length"),
        ({"bigvgan.resblock": "2"}, "Input should be '1'"),
        ({"bigvgan.activation": "snake"}, "Input should be 'snakebeta'"),
        ({"bigvgan.feat_upsample": True}, "Input should be False"),
        ({"gpt_checkpoint": "../gpt.pth"}, "gpt_checkpoint: String should match pattern"),
        ({"dataset.bpe_model": "/etc/passwd"}, "dataset.bpe_model: String should match pattern"),
    ],
)
def test_faults_are_named(edited, changes, says):
    assert says in complaint(edited(changes))


@pytest.mark.parametrize(
    "content", [b"", b"- a\n- b\n", b"a: [", b"\xff\xfe\x00", b"!!python/object:os.system {}"]
)
def test_a_file_that_is_not_a_config(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    assert complaint(tmp_path).startswith("config.yaml")


def test_a_missing_config(tmp_path):
    assert "no config.yaml in the folder" in complaint(tmp_path)

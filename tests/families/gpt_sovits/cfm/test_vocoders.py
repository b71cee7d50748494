"""The vocoders of v3 and v4 against the golden set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deployments.contract.errors import CheckpointError
from deployments.families.bigvgan.receptive_field import Window, context
from deployments.families.gpt_sovits.bigvgan import read_bigvgan
from deployments.families.gpt_sovits.cfm.mel import restored
from deployments.families.gpt_sovits.hifigan import reach, read_hifigan
from tests.families.gpt_sovits.cfm.parts import BIGVGAN, GoldenSet

ATOL = 5e-5
HIFIGAN = "gsv-v4-pretrained/vocoder.pth"


def close(found: Tensor, stored: Tensor) -> None:
    torch.testing.assert_close(found, stored, rtol=0, atol=ATOL)


def test_bigvgan_is_the_published_one(whole_set: GoldenSet) -> None:
    net = read_bigvgan(whole_set.bundle / BIGVGAN).prepare()
    stored = whole_set.tensors("vocoder")
    found = net(restored(whole_set.noise(3, 0, 20))[None], None, Window.whole(20 * 256))
    close(found[0], stored["v3.audio"])


def test_its_activation_is_the_published_one(whole_set: GoldenSet) -> None:
    net, stored = read_bigvgan(whole_set.bundle / BIGVGAN).prepare(), whole_set.tensors("vocoder")
    activation = net.get_submodule("resblocks.0.activations.0")
    frames = stored["v3.act_in"].shape[1]
    x = torch.zeros(1, frames, activation.scale.shape[0])  # pyright: ignore
    x[0, :, :4] = stored["v3.act_in"].T
    found = activation(x, Window.whole(frames), Window.whole(frames))
    close(found[0, :, :4].T, stored["v3.act_out"])


def test_its_filter_is_the_published_one(whole_set: GoldenSet) -> None:
    from deployments.families.bigvgan.antialias import low_pass

    torch.testing.assert_close(
        low_pass().float(), whole_set.tensors("vocoder")["v3.aa_filter"], rtol=0, atol=1e-6
    )


def test_hifigan_is_the_published_one(whole_set: GoldenSet) -> None:
    net = read_hifigan(whole_set.bundle / HIFIGAN)
    found = net(restored(whole_set.noise(3, 0, 20)).T[None])
    close(found[0], whole_set.tensors("vocoder")["v4.audio"])


def test_the_reach_of_hifigan_is_far_enough(whole_set: GoldenSet) -> None:
    """No sample beyond `reach` frames of a changed frame changes, and the last of them do: it is not too far."""
    net = read_hifigan(whole_set.bundle / HIFIGAN).double()
    around, frames = reach(net), 4 * reach(net)
    mel = torch.randn(1, 100, frames, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    changed, middle = mel.clone(), frames // 2
    changed[:, :, middle] += 3
    touched = (net(changed) != net(mel))[0].nonzero()[:, 0]
    assert middle - around <= touched[0] // 480 <= middle - around + 2
    assert middle + around - 2 <= touched[-1] // 480 <= middle + around


@pytest.fixture
def folder(whole_set: GoldenSet, tmp_path: Path) -> Path:
    """A copy of BigVGAN's that a test may change."""
    return Path(shutil.copytree(whole_set.bundle / BIGVGAN, tmp_path / "bigvgan"))


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("num_mels", 80, "num_mels"),
        ("activation", "snake", "activation"),
        ("upsample_rates", [4, 4, 2, 2, 2], "makes 128 samples of a frame"),
        ("upsample_initial_channel", 128, "the config wants"),
    ],
)
def test_another_bigvgan_is_refused(folder: Path, key: str, value: object, complaint: str) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, key: value}), "utf-8")
    with pytest.raises(CheckpointError, match=complaint):
        read_bigvgan(folder)


@pytest.mark.parametrize("name", ["config.json", "bigvgan_generator.pt"])
def test_a_missing_file_of_bigvgan_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: not found"):
        read_bigvgan(folder)


def test_bigvgan_is_not_a_vocoder_of_v4(whole_set: GoldenSet) -> None:
    with pytest.raises(CheckpointError, match=r"bigvgan_generator\.pt"):
        read_hifigan(whole_set.bundle / BIGVGAN / "bigvgan_generator.pt")


def test_the_context_of_bigvgan_reaches_less_than_half_a_second(whole_set: GoldenSet) -> None:
    assert 0 < context(read_bigvgan(whole_set.bundle / BIGVGAN).shape) < 47


@pytest.mark.parametrize("shape", [(100,), (2, 3, 1), (16, 16, 20)])
def test_a_layer_of_another_shape_is_refused(
    whole_set: GoldenSet, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    tensors = torch.load(whole_set.bundle / HIFIGAN, weights_only=True)
    torch.save({**tensors, "ups.0.weight": torch.zeros(shape)}, tmp_path / "vocoder.pth")
    with pytest.raises(CheckpointError, match=r"^vocoder\.pth: "):
        read_hifigan(tmp_path / "vocoder.pth")

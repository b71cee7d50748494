"""Bandwidth extension against the golden set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deployments.contract.errors import CheckpointError
from deployments.families.gpt_sovits.ap_bwe import ApBwe
from tests.families.gpt_sovits.cfm.parts import GoldenSet

FOLDER = "AP_BWE_24kto48k"


@pytest.fixture(scope="module")
def net(whole_set: GoldenSet) -> ApBwe:
    return ApBwe.load(whole_set.bundle / FOLDER)


def close(found: Tensor, stored: Tensor, atol: float) -> None:
    torch.testing.assert_close(found, stored, rtol=0, atol=atol)


def test_the_spectrum_of_a_signal_is_the_published_one(whole_set: GoldenSet, net: ApBwe) -> None:
    """Phases are compared where there is sound: elsewhere they are those of rounding errors."""
    stored = whole_set.tensors("vocoder")
    real, imaginary = net.spectra.analyse(net.upsample(stored["apbwe.in"][None]))
    amplitude = ((real.square() + imaginary.square()).sqrt() + 1e-4).log()[0]
    close(amplitude, stored["apbwe.mag_in"], 1e-2)
    turned = torch.atan2(imaginary, real)[0] - stored["apbwe.pha_in"]
    heard = stored["apbwe.mag_in"] > -4
    heard[:, [0, -1]] = False  # these frames are real, so that their phase is 0 or pi by a rounding error
    assert heard.float().mean() > 0.08
    assert torch.remainder(turned + torch.pi, 2 * torch.pi).sub(torch.pi)[heard].abs().max() < 1e-3


def test_the_network_is_the_published_one(whole_set: GoldenSet, net: ApBwe) -> None:
    stored = whole_set.tensors("vocoder")
    amplitude, phase = net.spectrum(stored["apbwe.mag_in"][None], stored["apbwe.pha_in"][None])
    close(amplitude[0], stored["apbwe.mag_out"], 1e-4)
    close(phase[0], stored["apbwe.pha_out"], 1e-4)


def test_the_sound_of_a_spectrum_is_the_published_one(whole_set: GoldenSet, net: ApBwe) -> None:
    stored = whole_set.tensors("vocoder")
    found = net.synthesised(stored["apbwe.mag_out"][None], stored["apbwe.pha_out"][None])[0]
    close(found, stored["apbwe.out"], 1e-5)


@pytest.mark.parametrize("samples", [360, 24001])
def test_it_doubles_the_samples(net: ApBwe, samples: int) -> None:
    found = net(0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(1)))
    hop = net.spectra.hop
    assert found.shape == (2, 2 * samples // hop * hop) and found.isfinite().all()


def test_it_uses_no_fft(net: ApBwe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some accelerators have none."""

    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("aten::_fft_r2c is not there")

    for name in ("stft", "istft"):
        monkeypatch.setattr(torch, name, refused)
    for name in ("rfft", "irfft", "fft", "ifft"):
        monkeypatch.setattr(torch.fft, name, refused)
    assert net(torch.ones(1, 400)).shape == (1, 800)


@pytest.mark.parametrize("name", ["config.json", "g_24kto48k.zip"])
def test_a_missing_file_is_named(whole_set: GoldenSet, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(whole_set.bundle / FOLDER, tmp_path / "net"))
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: not found"):
        ApBwe.load(folder)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("n_fft", 100, "n_fft >= win_size"),
        ("hr_sampling_rate", 44100, "hr_sampling_rate"),
        ("n_fft", "big", "n_fft"),
    ],
)
def test_another_network_is_refused(
    whole_set: GoldenSet, tmp_path: Path, key: str, value: object, complaint: str
) -> None:
    folder = Path(shutil.copytree(whole_set.bundle / FOLDER, tmp_path / "net"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, key: value}), "utf-8")
    with pytest.raises(CheckpointError, match=complaint):
        ApBwe.load(folder)

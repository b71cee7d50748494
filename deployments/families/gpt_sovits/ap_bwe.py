"""Bandwidth extension of v3's sound, from 24 to 48 kHz ("AP-BWE"): a network over amplitudes and phases of a spectrum.

The spectra are matrix products, because some accelerators have no FFT and no complex numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torchaudio.transforms import Resample

from deployments.contract.errors import CheckpointError
from deployments.families.checkpoint import fill, read_tensors
from deployments.families.options import fault

CONFIG, WEIGHTS = "config.json", "g_24kto48k.zip"
LOW_RATE, HIGH_RATE = 24_000, 48_000
MOST_CONFIG = 1 << 20  # bytes
_EPS = 1e-6
_FLOOR = 1e-4  # added to magnitudes
_STREAMS = ("mag", "pha")

Size = Annotated[int, Field(gt=0, le=1 << 14)]


class ApBweConfig(BaseModel):
    """What is read of the folder's config. Other keys concern training. n_fft, hop_size, win_size: in samples."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    n_fft: Size
    hop_size: Size
    win_size: Size
    channels: Size = Field(alias="ConvNeXt_channels")
    layers: Annotated[int, Field(gt=0, le=64, alias="ConvNeXt_layers")]
    hr_sampling_rate: Annotated[int, Field(ge=HIGH_RATE, le=HIGH_RATE)] = HIGH_RATE
    lr_sampling_rate: Annotated[int, Field(ge=LOW_RATE, le=LOW_RATE)] = LOW_RATE


class Spectra(nn.Module):
    """Samples to a centred short-time spectrum and back. A window of `win` samples lies in the middle of `n_fft`."""

    forth: Tensor
    back: Tensor
    window: Tensor

    def __init__(self, config: ApBweConfig) -> None:
        super().__init__()
        self.hop, self.win, bins = config.hop_size, config.win_size, config.n_fft // 2 + 1
        window = torch.hann_window(self.win, dtype=torch.float64)
        places = torch.arange(self.win) + (config.n_fft - self.win) // 2
        angle = (
            places * torch.arange(bins)[:, None] % config.n_fft * (2 * math.pi / config.n_fft)
        )  # (bins, win)
        forth = torch.cat([angle.cos(), -angle.sin()]) * window
        # bins but the first and the last stand for a pair of conjugates
        weight = torch.full((bins, 1), 2.0, dtype=torch.float64)
        weight[0] = weight[-1] = 1.0
        back = torch.cat([weight * angle.cos(), -weight * angle.sin()]) / config.n_fft * window
        for name, value in (("forth", forth), ("back", back), ("window", window)):
            self.register_buffer(name, value.float(), persistent=False)

    def analyse(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N) -> real and imaginary parts, (B, bins, N // hop + 1) each."""
        padded = F.pad(samples, (self.win // 2, self.win // 2), mode="reflect")
        frames = padded.unfold(1, self.win, self.hop)  # (B, T, win)
        real, imaginary = (frames @ self.forth.t()).transpose(1, 2).chunk(2, dim=1)
        return real, imaginary

    def synthesise(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """(B, bins, T) each -> (B, hop (T - 1))"""
        frames = self.back.t() @ torch.cat([real, imaginary], dim=1)  # (B, win, T)
        count = frames.shape[2]
        squares = self.window.square()[None, :, None].expand(1, -1, count)
        length = self.hop * (count - 1) + self.win
        whole, weight = (
            F.fold(part, (1, length), (1, self.win), stride=(1, self.hop))[:, 0, 0]
            for part in (frames, squares)
        )
        inner = slice(self.win // 2, length - self.win // 2)
        return whole[:, inner] / weight[:, inner]


class Block(nn.Module):
    """A ConvNeXt block: (B, C, T) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPS)
        self.pwconv1, self.pwconv2 = nn.Linear(channels, 3 * channels), nn.Linear(3 * channels, channels)
        self.gamma = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).transpose(1, 2))
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))).transpose(1, 2)


class ApBwe(nn.Module):
    """Waveform (B, N) at 24 kHz -> (B, 2 N) at 48 kHz, without the rest of a last hop.

    Attribute names match the checkpoint.
    """

    def __init__(self, config: ApBweConfig) -> None:
        super().__init__()
        bins, channels = config.n_fft // 2 + 1, config.channels
        for stream in _STREAMS:
            self.add_module(f"conv_pre_{stream}", nn.Conv1d(bins, channels, 7, padding=3))
            self.add_module(f"norm_pre_{stream}", nn.LayerNorm(channels, eps=_EPS))
            blocks = nn.ModuleList(Block(channels) for _ in range(config.layers))
            self.add_module(f"convnext_{stream}", blocks)
            self.add_module(f"norm_post_{stream}", nn.LayerNorm(channels, eps=_EPS))
        for name in ("mag", "pha_r", "pha_i"):
            self.add_module(f"linear_post_{name}", nn.Linear(channels, bins))
        self.layers = config.layers
        self.spectra = Spectra(config)
        self.upsample = Resample(LOW_RATE, HIGH_RATE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises CheckpointError, which names the file, if the folder does not hold the network."""
        net, tensors = cls(_config(folder / CONFIG)), read_tensors(folder / WEIGHTS)
        own = {"upsample.kernel": net.upsample.get_buffer("kernel")}  # computed, but in the state dict
        return fill(net, tensors | own, WEIGHTS).eval().requires_grad_(False)

    def forward(self, samples: Tensor) -> Tensor:
        high = self.upsample(samples)
        real, imaginary = self.spectra.analyse(high)
        amplitude = (real.square() + imaginary.square()).sqrt()
        amplitude, phase = self.spectrum((amplitude + _FLOOR).log(), torch.atan2(imaginary, real))
        return self.synthesised(amplitude, phase)

    def spectrum(self, amplitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Log amplitude and phase (B, bins, T) of a narrow band -> those of the whole band."""
        mag, pha = self._opened("mag", amplitude), self._opened("pha", phase)
        for layer in range(self.layers):
            mag = mag + pha
            pha = pha + mag
            mag = self.get_submodule(f"convnext_mag.{layer}")(mag)
            pha = self.get_submodule(f"convnext_pha.{layer}")(pha)
        mag, pha = (
            self.get_submodule(f"norm_post_{stream}")(x.transpose(1, 2))
            for stream, x in zip(_STREAMS, (mag, pha), strict=True)
        )
        added, real, imaginary = (
            self.get_submodule(f"linear_post_{name}")(x).transpose(1, 2)
            for name, x in (("mag", mag), ("pha_r", pha), ("pha_i", pha))
        )
        return amplitude + added, torch.atan2(imaginary, real)

    def synthesised(self, amplitude: Tensor, phase: Tensor) -> Tensor:
        """Log amplitude and phase (B, bins, T) -> (B, hop (T - 1))"""
        size = amplitude.exp()
        return self.spectra.synthesise(size * phase.cos(), size * phase.sin())

    def _opened(self, stream: str, x: Tensor) -> Tensor:
        y = self.get_submodule(f"conv_pre_{stream}")(x).transpose(1, 2)
        return self.get_submodule(f"norm_pre_{stream}")(y).transpose(1, 2)


def _config(path: Path) -> ApBweConfig:
    try:
        with path.open("rb") as file:
            content: Mapping[str, object] = json.loads(file.read(MOST_CONFIG))
        config = ApBweConfig.model_validate(content)
    except FileNotFoundError:
        raise CheckpointError(f"{path.name}: not found in the folder of the bandwidth extension") from None
    except ValidationError as error:
        raise CheckpointError(f"{path.name}: {fault(error)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name}: cannot be read as JSON ({type(error).__name__})") from None
    if config.n_fft % 2 or config.win_size > config.n_fft or config.hop_size * 2 > config.win_size:
        raise CheckpointError(f"{path.name}: needs an even n_fft >= win_size >= 2 hop_size")
    return config

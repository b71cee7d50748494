"""Log-mel spectrogram of the small family."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig

LOG_FLOOR = 1e-4  # smaller magnitudes are clamped, so the least log-mel is about -9.2


def _slaney_mel(hz: Tensor) -> Tensor:
    """The mel scale that is linear below 1 kHz and logarithmic above."""
    return torch.where(
        hz < 1000.0, hz * 3 / 200, 15 + torch.log(hz.clamp(min=1.0) / 1000) * 27 / math.log(6.4)
    )


def _slaney_hz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15.0, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, low: float = 20.0) -> Tensor:
    """Triangular filters of equal area, (n_fft / 2 + 1, n_mels)."""
    high = sample_rate / 2
    ends = _slaney_mel(torch.tensor([low, high], dtype=torch.float64))
    points = _slaney_hz(torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2, dtype=torch.float64))
    bins = torch.linspace(0, high, n_fft // 2 + 1, dtype=torch.float64).unsqueeze(1)
    rising = (bins - points[:-2]) / (points[1:-1] - points[:-2])
    falling = (points[2:] - bins) / (points[2:] - points[1:-1])
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (points[2:] - points[:-2])).float()


class LogMel(nn.Module):
    """Waveform (B, N) -> log-mel (B, N // hop, n_mels). Frame t is centred at sample t * hop + hop / 2."""

    filters: Tensor
    window: Tensor

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.n_fft, self.hop = config.n_fft, config.hop
        filters = mel_filters(config.sample_rate, config.n_fft, config.n_mels)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        side = (self.n_fft - self.hop) // 2
        padded = F.pad(waveform.unsqueeze(1), (side, side), mode="reflect").squeeze(1)
        spectrum = torch.stft(
            padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True
        )  # (B, bins, T)
        mel = spectrum.abs().transpose(1, 2) @ self.filters  # (B, T, n_mels)
        return torch.log(mel.clamp(min=LOG_FLOOR))

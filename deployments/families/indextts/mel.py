"""Log-mel spectrogram of a reference recording. It runs on the CPU, because some accelerators have no FFT."""

import torch
import torchaudio.functional as AF
from torch import Tensor, nn

from deployments.families.indextts.config import N_MELS, SAMPLE_RATE

N_FFT, HOP = 1024, 256  # samples; the window is as long as the transform
FLOOR = 1e-7  # smaller magnitudes are clamped


class LogMel(nn.Module):
    """Waveform (B, N) at 24 kHz, N > 512 -> log-mel (B, 100, N // 256 + 1), frame t centred at sample 256 t.

    Natural log of magnitudes (not powers) in 100 triangular filters of height 1, equally wide on the HTK mel scale.
    """

    filters: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = AF.melscale_fbanks(
            N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, N_MELS, SAMPLE_RATE, mel_scale="htk"
        )
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)  # (100, bins)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        spectrum = torch.stft(waveform, N_FFT, HOP, window=self.window, return_complex=True)  # (B, bins, T)
        return torch.log((self.filters @ spectrum.abs()).clamp(min=FLOOR))

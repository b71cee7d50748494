"""What the models see of a reference's samples. It runs on the CPU, because some accelerators have no FFT."""

import math

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.compliance.kaldi import fbank

from deployments.families.resampling import resample

CONTENT_RATE = 16_000  # Hz, of HuBERT and of the speaker encoder
RATE = 32_000  # Hz, of the spectrogram
N_FFT, HOP = 2048, 640
FLOOR = 1e-8  # added to powers
FBANKS = 80
TAIL = 9_600  # zeros after the recording that the codes are taken from: 0.6 s


def content_samples(waveform: np.ndarray, rate: int) -> Tensor:
    """float32 (N,) at `rate` Hz -> (M,) at 16 kHz, by the filter that librosa uses."""
    length = math.ceil(len(waveform) * CONTENT_RATE / rate)
    resampled = soxr.resample(np.asarray(waveform, np.float32), rate, CONTENT_RATE, quality="HQ")
    samples = torch.from_numpy(np.array(resampled, np.float32))
    return F.pad(samples, (0, length - len(samples)))[:length]


def timbre_samples(waveform: np.ndarray, rate: int) -> Tensor:
    """float32 (N,) at `rate` Hz -> (M,) at 32 kHz, made quieter where it exceeds full scale."""
    samples = resample(waveform, rate, RATE)
    peak = samples.abs().max()
    return samples / peak.clamp(max=2) if peak > 1 else samples


def spectrogram(samples: Tensor) -> Tensor:
    """(N,) at 32 kHz -> magnitudes (1025, N // 640)"""
    padded = F.pad(samples[None], (((N_FFT - HOP) // 2,) * 2), mode="reflect")[0]
    window = torch.hann_window(N_FFT)
    transform = torch.stft(padded, N_FFT, HOP, window=window, center=False, return_complex=True)
    return torch.sqrt(transform.real.square() + transform.imag.square() + FLOOR)


def filter_banks(samples: Tensor) -> Tensor:
    """(N,) at 32 kHz -> Kaldi's log mel energies (T, 80) of 25 ms frames, 10 ms apart."""
    halved = resample(samples.numpy(), RATE, CONTENT_RATE)
    return fbank(halved[None], num_mel_bins=FBANKS, sample_frequency=CONTENT_RATE, dither=0)

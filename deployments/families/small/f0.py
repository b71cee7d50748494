"""The pitch of a voice: the median F0 of a reference, and its spread."""

import torch
from torch import Tensor

WINDOW_S = 0.04
LOWEST, HIGHEST = 60.0, 420.0  # Hz
VOICED = 0.6  # least normalised autocorrelation of a voiced frame
QUIET_DB = -30.0  # quieter frames, relative to the loudest one, are ignored
OCTAVE = 0.04  # penalty per octave of lag, because the double of a period correlates as well


def pitch_of(waveform: Tensor, rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """waveform (B, N) -> median log F0 (log 150 Hz if unvoiced), half its 10th to 90th percentile: (B,) in log Hz."""
    log_f0 = track(waveform, rate, hop)
    levels = torch.tensor([0.1, 0.5, 0.9], device=waveform.device)
    low, median, high = torch.nanquantile(log_f0, levels, dim=-1)
    usual = torch.full_like(median, 150.0).log()
    return torch.where(median.isnan(), usual, median), torch.nan_to_num((high - low) / 2)


def track(waveform: Tensor, rate: int, hop: int) -> Tensor:
    """waveform (B, N) -> log F0 of each whole frame of WINDOW_S, one per `hop` samples, NaN if unvoiced: (B, T).

    Normalised autocorrelation, as in Boersma (1993), "Accurate short-term analysis of the fundamental frequency and
    the harmonics-to-noise ratio of a sampled sound".
    """
    size = int(WINDOW_S * rate)
    window = torch.hann_window(size, device=waveform.device)
    frames = waveform.unfold(-1, size, hop)  # (B, T, size)
    frames = (frames - frames.mean(-1, keepdim=True)) * window
    power = torch.fft.rfft(frames, 2 * size).abs() ** 2
    correlation = torch.fft.irfft(power)[..., :size]
    own = torch.fft.irfft(torch.fft.rfft(window, 2 * size).abs() ** 2)[:size]  # autocorrelation of the window
    energy = correlation[..., :1]
    short, long = int(rate / HIGHEST), int(rate / LOWEST)
    normal = correlation / (energy + 1e-9) * (own[0] / own)
    lags = torch.arange(size, device=waveform.device)
    candidates = normal - OCTAVE * torch.log2(lags.clamp(min=1) / short)
    best = candidates[..., short:long].argmax(-1) + short  # (B, T)
    value = normal.gather(-1, best.unsqueeze(-1)).squeeze(-1)
    before, after = (normal.gather(-1, (best + d).unsqueeze(-1)).squeeze(-1) for d in (-1, 1))
    bend = (before - 2 * value + after).clamp(max=-1e-6)
    lag = best + (0.5 * (before - after) / bend).clamp(-0.5, 0.5)  # the vertex of the parabola
    loud = energy[..., 0] > energy[..., 0].amax(-1, keepdim=True) * 10 ** (QUIET_DB / 10)
    voiced = (value > VOICED) & loud & (best > short) & (best < long - 1)
    return torch.log(rate / lag).masked_fill(~voiced, float("nan"))

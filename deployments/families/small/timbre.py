"""Corrects the timbre of a cloned voice: the measured error of the vocoder's spectrum is added to its filters.

The networks were trained on a few hundred speakers, and for an unseen speaker they produce a similar voice. Therefore
the vocoder speaks a few calibration sentences, whose units ship with the weights, with the new speaker vector. The
difference between the long-term spectra of the recording and of this speech corrects the filters, minus the part that
chance explains: the words differ, and a few seconds are not a stable average.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from deployments.contract.errors import CheckpointError
from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LOG_FLOOR, LogMel
from deployments.families.small.vocoder_net import VocoderNet

DB = math.log(10) / 20  # one decibel as log magnitude
CHANCE = 2.5 * DB  # most RMS difference for voices seen in training, where only the words differ
WIDTH = 2.0  # bands: standard deviation of the Gaussian that smooths the difference
MOST = 9.0 * DB
SILENT = math.log(LOG_FLOOR) + 0.7  # a quieter band is empty: the recording's band limit, not the voice


def calibration_codes(tensors: Mapping[str, Tensor], config: SmallConfig, file: str) -> Tensor:
    """int64 (T,). Raises CheckpointError if they are missing or malformed."""
    codes = tensors.get("timbre.codes")
    if codes is None or codes.dim() != 1 or not 0 < len(codes) <= config.max_codes:
        raise CheckpointError(f"{file}: timbre.codes is missing or not a row of codes")
    codes = codes.long()
    if not 0 <= int(codes.min()) <= int(codes.max()) < config.n_units:
        raise CheckpointError(f"{file}: timbre.codes contains a unit outside 0..{config.n_units - 1}")
    return codes


class Timbre:
    """codes: (T,) int64, of the calibration sentences."""

    def __init__(self, vocoder: VocoderNet, codes: Tensor, log_mel: LogMel) -> None:
        self.vocoder, self.codes, self.log_mel = vocoder, codes, log_mel
        config, device = vocoder.config, codes.device
        hz = torch.linspace(0, config.sample_rate / 2, config.n_bins, device=device)
        filters = log_mel.filters.to(device)  # (bins, M)
        centres = (filters * hz.unsqueeze(1)).sum(0) / filters.sum(0)
        at = torch.searchsorted(centres, hz).clamp(1, len(centres) - 1)
        share = ((hz - centres[at - 1]) / (centres[at] - centres[at - 1])).clamp(0, 1).unsqueeze(1)
        eye = torch.eye(len(centres), device=device)
        # (bins, M): linear between the band centres
        self.to_bins = (1 - share) * eye[at - 1] + share * eye[at]
        apart = torch.arange(config.n_mels, device=device, dtype=torch.float32)
        weight = torch.exp(-0.5 * ((apart.unsqueeze(1) - apart) / WIDTH) ** 2)
        self.smooth = weight / weight.sum(1, keepdim=True)  # (M, M)

    @torch.inference_mode()
    def __call__(self, vector: Tensor, mel: Tensor) -> Tensor:
        """Speaker vector (S,), log-mels (T, M) of the recording -> log magnitudes to add to both filters, (bins,)."""
        made = self.log_mel(self.speech(vector))[0]
        wanted, own = louder(mel), louder(made)
        apart = torch.where(wanted > SILENT, wanted - own, torch.nan)
        apart = self.smooth @ torch.nan_to_num(apart - apart.nanmean())
        share = (1 - CHANCE**2 / (apart**2).mean()).clamp(min=0)  # of the power, beyond chance (Wiener)
        added = self.to_bins @ (share * apart).clamp(-MOST, MOST)
        power = self.to_bins @ (2 * made).exp().mean(0)
        return added - 0.5 * torch.log((power * (2 * added).exp()).sum() / power.sum())  # keeps the loudness

    def speech(self, vector: Tensor) -> Tensor:
        """The calibration sentences in the vector's voice, (1, N)."""
        zero = torch.zeros(1, dtype=torch.int64, device=vector.device)
        mask = torch.ones(1, len(self.codes), device=vector.device)
        phase = torch.zeros(1, dtype=torch.float64, device=vector.device)
        rows = self.codes.unsqueeze(0), vector.unsqueeze(0), mask
        return self.vocoder(*rows, zero, zero, zero, zero + len(self.codes), phase)[0]


def louder(mel: Tensor) -> Tensor:
    """Log-mels (T, M) -> the mean of the frames that are louder than average, which excludes pauses: (M,)."""
    level = mel.mean(1)
    return mel[level >= level.mean()].mean(0)

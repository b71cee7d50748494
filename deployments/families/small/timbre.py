"""What of a voice's timbre its vector does not tell: measured, and added to the vocoder's filters.

The nets learned from some hundred speakers, and of a stranger they make somebody who is like him. So the vocoder says a
few sentences, whose codes come with the weights, with his vector, and what its long-term spectrum has less or more than
his recording's is made up for, but for what chance makes of it: what is said differs, too, and a few seconds are no
average.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deployments.families.small.features import LOG_FLOOR, LogMel
from deployments.families.small.vocoder_net import VocoderNet

DB = math.log(10) / 20  # as log magnitude
CHANCE = 2.5 * DB  # most RMS of the difference for voices that the nets know: other words, not another timbre
WIDTH = 2.0  # bands: standard deviation of the Gaussian that smooths it
MOST = 9.0 * DB
SILENT = math.log(LOG_FLOOR) + 0.7  # a band below holds nothing: that is a telephone's, not the voice's


class Timbre:
    """codes: (T,) int64, of speech."""

    def __init__(self, vocoder: VocoderNet, codes: Tensor, log_mel: LogMel) -> None:
        self.vocoder, self.codes, self.log_mel = vocoder, codes, log_mel
        config, device = vocoder.config, codes.device
        hz = torch.linspace(0, config.sample_rate / 2, config.n_bins, device=device)
        filters = log_mel.filters.to(device)  # (bins, M)
        centres = (filters * hz.unsqueeze(1)).sum(0) / filters.sum(0)
        at = torch.searchsorted(centres, hz).clamp(1, len(centres) - 1)
        share = ((hz - centres[at - 1]) / (centres[at] - centres[at - 1])).clamp(0, 1).unsqueeze(1)
        eye = torch.eye(len(centres), device=device)
        # (bins, M): linear between the bands' middles
        self.to_bins = (1 - share) * eye[at - 1] + share * eye[at]
        apart = torch.arange(config.n_mels, device=device, dtype=torch.float32)
        weight = torch.exp(-0.5 * ((apart.unsqueeze(1) - apart) / WIDTH) ** 2)
        self.smooth = weight / weight.sum(1, keepdim=True)  # (M, M)

    @torch.inference_mode()
    def __call__(self, vector: Tensor, mel: Tensor) -> Tensor:
        """Speaker vector (S,), log-mels (T, M) of his recording -> log magnitudes to add to both filters, (bins,)."""
        made = self.log_mel(self.speech(vector))[0]
        wanted, own = louder(mel), louder(made)
        apart = torch.where(wanted > SILENT, wanted - own, torch.nan)
        apart = self.smooth @ torch.nan_to_num(apart - apart.nanmean())
        share = (1 - CHANCE**2 / (apart**2).mean()).clamp(min=0)  # of its power, what is not chance (Wiener)
        added = self.to_bins @ (share * apart).clamp(-MOST, MOST)
        power = self.to_bins @ (2 * made).exp().mean(0)
        return added - 0.5 * torch.log((power * (2 * added).exp()).sum() / power.sum())  # as loud as before

    def speech(self, vector: Tensor) -> Tensor:
        """The codes in the voice of the vector, (1, N)."""
        zero = torch.zeros(1, dtype=torch.int64, device=vector.device)
        mask = torch.ones(1, len(self.codes), device=vector.device)
        phase = torch.zeros(1, dtype=torch.float64, device=vector.device)
        rows = self.codes.unsqueeze(0), vector.unsqueeze(0), mask
        return self.vocoder(*rows, zero, zero, zero, zero + len(self.codes), phase)[0]


def louder(mel: Tensor) -> Tensor:
    """Log-mels (T, M) -> mean of the frames that are louder than the average frame, (M,): pauses do not count."""
    level = mel.mean(1)
    return mel[level >= level.mean()].mean(0)

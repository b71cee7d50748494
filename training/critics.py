"""Discriminators for the vocoder: of the waveform at five periods, and of complex spectra at three resolutions.

A vocoder without a phase filter cannot imitate phases: its critics see magnitudes alone, and no waveform.

The first kind is that of HiFi-GAN (Kong et al. 2020), the second that of UnivNet (Jang et al. 2021) on real and
imaginary parts, so that the phase counts. The losses are least squares (Mao et al. 2017) and feature matching
(Larsen et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from training.next_voice import NEXT, RATE

PERIODS = (2, 3, 5, 7, 11)
WINDOWS = (0.016, 0.032, 0.064)  # seconds
Features = list[Tensor]


class Critic(nn.Module):
    """Convolutions of the waveforms' pictures -> the output of each layer; the last one tends to 1 for real sound."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def picture(self, waveform: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, waveform: Tensor) -> Features:
        x, made = self.picture(waveform), []
        for layer in self.layers:
            x = layer(x)
            made.append(x)
            x = F.leaky_relu(x, 0.1)
        return made


class PeriodCritic(Critic):
    def __init__(self, period: int, width: int) -> None:
        sizes = [1, width, 2 * width, 4 * width, 8 * width]
        layers = [nn.Conv1d(enter, leave, 5, 3, 2) for enter, leave in pairwise(sizes)]
        super().__init__([*layers, nn.Conv1d(sizes[-1], 1, 3, padding=1)])
        self.period = period

    def picture(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B * period, 1, N / period): every `period`-th sample."""
        padded = F.pad(waveform, (0, -waveform.shape[1] % self.period))
        return padded.unflatten(1, (-1, self.period)).transpose(1, 2).flatten(0, 1).unsqueeze(1)


class SpectrumCritic(Critic):
    window: Tensor

    def __init__(self, size: int, width: int, phases: bool) -> None:
        layers = [nn.Conv2d(2, width, (3, 9), (1, 2), (1, 4))]
        layers += [nn.Conv2d(width, width, (3, 9), (1, 2), (1, 4)) for _ in range(3)]
        super().__init__([*layers, nn.Conv2d(width, 1, (3, 3), padding=(1, 1))])
        self.size, self.phases = size, phases
        self.register_buffer("window", torch.hann_window(size), persistent=False)

    def picture(self, waveform: Tensor) -> Tensor:
        """(B, N) -> (B, 2, T, bins), of about unit size: real and imaginary parts, or magnitude and its logarithm."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(), self.size, self.size // 4, window=self.window, return_complex=True
            )
        spectrum = spectrum.transpose(1, 2) * (8 / self.size**0.5)
        if self.phases:
            return torch.view_as_real(spectrum).movedim(3, 1)
        return torch.stack([spectrum.abs(), torch.log(spectrum.abs() + 0.01) / 3], dim=1)


class Critics(nn.Module):
    """width: channels of the first layers; 16 or more on a GPU, fewer on a CPU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        phases = NEXT.phase_filter
        nets: list[Critic] = [PeriodCritic(period, width) for period in PERIODS] if phases else []
        nets += [SpectrumCritic(round(seconds * RATE), width, phases) for seconds in WINDOWS]
        self.nets = nn.ModuleList(nets)

    def forward(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms (B, N) -> the critics' loss, the adversarial loss of `made`, and the feature matching loss, each
        the mean over the critics.

        The first trains only the critics and the others only the generator, so that one backward pass suffices.
        """
        own, passing, apart = [], [], []
        for net in self.nets:
            of_both = net(torch.cat([real, made.detach()]))
            of_real = [features.chunk(2)[0] for features in of_both]
            of_fake = of_both[-1].chunk(2)[1]
            own.append(((of_real[-1] - 1) ** 2).mean() + (of_fake**2).mean())
            held = {name: value.detach() for name, value in net.named_parameters()}
            seen = functional_call(net, held, (made,))
            passing.append(((seen[-1] - 1) ** 2).mean())
            distances = [
                (a - b.detach()).abs().mean() / (b.detach().abs().mean() + 1e-6)
                for a, b in zip(seen[:-1], of_real[:-1], strict=True)
            ]
            apart.append(torch.stack(distances).mean())
        return torch.stack(own).mean(), torch.stack(passing).mean(), torch.stack(apart).mean()

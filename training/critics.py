"""Discriminators for the vocoder, which give its spectra the contrast that an average lacks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel

SHORT = 256  # samples of the window that shows pulses and bursts
FLOOR = 1e-3  # of magnitudes
Features = list[Tensor]


class Critic(nn.Module):
    """Convolutions over a spectrogram. Each of the first three layers halves the bands."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [(1, width, (3, 9), 2), (width, 2 * width, (3, 9), 2), (2 * width, 2 * width, (3, 9), 2)]
        sizes += [(2 * width, 2 * width, (3, 3), 1), (2 * width, 1, (3, 3), 1)]
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(enter, leave, kernel, (1, stride), (kernel[0] // 2, kernel[1] // 2))
                for enter, leave, kernel, stride in sizes
            ]
        )

    def forward(self, picture: Tensor) -> Features:
        """(B, T, bands) -> the output of each layer; the last is the verdict, which tends to 1 for real sound."""
        x, made = picture.unsqueeze(1), []
        for layer in self.layers:
            x = layer(x)
            made.append(x)
            x = F.leaky_relu(x, 0.1)
        return made


class Critics(nn.Module):
    """One critic sees log-mels, the other short spectra. The losses are least squares (Mao et al. 2017) and feature
    matching (Larsen et al. 2016)."""

    window: Tensor

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.log_mel = LogMel(config)
        self.register_buffer("window", torch.hann_window(SHORT), persistent=False)
        self.nets = nn.ModuleList([Critic(16), Critic(8)])

    def pictures(self, waveform: Tensor) -> list[Tensor]:
        """(B, N) -> (B, T, bands) for each critic, normalised to about unit size."""
        short = torch.stft(waveform, SHORT, SHORT // 2, window=self.window, return_complex=True)
        power = short.real**2 + short.imag**2 + FLOOR**2
        return [(self.log_mel(waveform) + 5) / 3, (0.5 * torch.log(power).transpose(1, 2) + 3) / 3]

    def forward(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms (B, N) -> the critics' loss, the adversarial loss of `made`, and the feature matching loss.

        The first trains only the critics and the others only the generator, so that one backward pass suffices.
        """
        own = passing = apart = torch.zeros(())
        for net, fake, true in zip(self.nets, self.pictures(made), self.pictures(real), strict=True):
            of_real, of_fake = net(true), net(fake.detach())
            own = own + ((of_real[-1] - 1) ** 2).mean() + (of_fake[-1] ** 2).mean()
            held = {name: value.detach() for name, value in net.named_parameters()}
            seen = functional_call(net, held, (fake,))
            passing = passing + ((seen[-1] - 1) ** 2).mean()
            distances = [
                (a - b.detach()).abs().mean() / b.detach().abs().mean()
                for a, b in zip(seen[:-1], of_real[:-1], strict=True)
            ]
            apart = apart + torch.stack(distances).mean()
        return own, passing, apart

"""The critics: which loss trains which network."""

from __future__ import annotations

import pytest
import torch

from training.critics import Critics


@pytest.fixture
def critics() -> Critics:
    torch.manual_seed(0)
    return Critics(4)


def test_critic_losses_train_critics_and_generator_losses_the_generator(critics):
    made = (0.1 * torch.randn(2, 16000)).requires_grad_()
    own, passing, apart = critics(made, 0.1 * torch.randn(2, 16000))
    own.backward(retain_graph=True)
    assert made.grad is None
    of_critics = [parameter.grad.clone() for parameter in critics.parameters()]
    assert all(grad.abs().sum() > 0 for grad in of_critics)
    (passing + apart).backward()
    assert made.grad is not None and made.grad.abs().sum() > 0
    for parameter, before in zip(critics.parameters(), of_critics, strict=True):
        torch.testing.assert_close(parameter.grad, before, atol=0, rtol=0)


def test_the_feature_distance_of_a_signal_to_itself_is_zero(critics):
    real = 0.1 * torch.randn(2, 16000)
    assert critics(real, real)[2] == 0
    assert critics(real, 0.2 * torch.randn(2, 16000))[2] > 0.01


def test_critics_learn_to_distinguish_noise_from_a_tone(critics):
    optimiser, losses = torch.optim.AdamW(critics.parameters(), 1e-2), []
    tone = 0.1 * torch.sin(torch.arange(4000) * 0.3).expand(2, -1)
    for _ in range(10):
        own, _, _ = critics(0.1 * torch.randn(2, 4000), tone)
        optimiser.zero_grad()
        own.backward()
        optimiser.step()
        losses.append(float(own.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_the_critics_see_the_phase() -> None:
    """Two waveforms with the same magnitudes have other features."""
    torch.manual_seed(0)
    critics, pulses = Critics(4), torch.zeros(1, 4800)
    pulses[:, ::240] = 0.5
    spectrum = torch.fft.rfft(pulses)
    turned = torch.fft.irfft(spectrum * torch.exp(1j * torch.linspace(0, 40, spectrum.shape[1]) ** 1.5))
    assert critics(pulses, turned)[2] > 0.05

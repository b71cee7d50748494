"""The pace as an input of the network."""

from __future__ import annotations

import torch

from deployments.families.small.config import SmallConfig
from deployments.families.small.gpt_net import GptNet

PHONES = torch.tensor([[1, 5, 6, 7, 1], [1, 8, 1, 0, 0]])


def made(net: GptNet, pace: float) -> tuple[torch.Tensor, torch.Tensor]:
    speaker = torch.ones(2, net.config.speaker_dim)
    with torch.inference_mode():
        return net.prefix(speaker, PHONES, torch.full((2,), pace))


def test_only_another_pace_changes_the_phones() -> None:
    net = GptNet(SmallConfig())
    usual, fast = made(net, 1.0), made(net, 2.0)
    with torch.no_grad():
        net.pace_in.weight.zero_()
    for one, other in zip(usual, made(net, 2.0), strict=True):
        torch.testing.assert_close(one, other)
    apart = (usual[1] - fast[1]).abs().sum(-1)
    assert (apart[0] > 0).all() and (apart[1, :3] > 0).all()


def test_padding_has_no_effect() -> None:
    net = GptNet(SmallConfig())
    x, _ = made(net, 1.7)
    assert not x[1, 4:].any()
    alone, pointers = net.prefix(torch.ones(1, net.config.speaker_dim), PHONES[1:, :3], torch.full((1,), 1.7))
    torch.testing.assert_close(x[1:, :4], alone)
    torch.testing.assert_close(made(net, 1.7)[1][1:, :3], pointers)

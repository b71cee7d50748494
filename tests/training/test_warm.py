"""Weights for judging, encoding or shipping must be complete; training can start from parts of others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.warm import warm, whole


def test_a_warm_start_copies_every_matching_weight():
    theirs, own = nn.Linear(3, 2), nn.Linear(3, 2)
    whole(own, theirs.state_dict())
    assert torch.equal(own.weight, theirs.weight)
    with pytest.raises(ValueError, match="bias is missing"):
        whole(own, {"weight": theirs.weight})
    whole(own, {"weight": theirs.weight}, but="bias")
    with pytest.raises(ValueError, match=r"weight is missing, or not \(2, 3\)"):
        whole(own, nn.Linear(4, 2).state_dict(), but="weight")


def test_a_warm_start_copies_the_matching_part_of_a_larger_tensor():
    theirs, own = nn.Linear(2, 4), nn.Linear(3, 2)
    before = own.weight.detach().clone()
    warm(own, theirs.state_dict())
    assert torch.equal(own.weight[:, :2], theirs.weight[:2])
    assert torch.equal(own.weight[:, 2], before[:, 2])

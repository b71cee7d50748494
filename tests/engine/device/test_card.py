from __future__ import annotations

import pytest
import torch

from deployments.engine.device import card


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_cpu_is_no_card(device):
    assert card.load(device) == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_card_says_how_full_and_how_busy_it_is():
    block = torch.zeros(2**28, dtype=torch.uint8, device="cuda:0")
    full = card.load(torch.device("cuda:0"))
    assert full["memory_total_bytes"] >= full["memory_used_bytes"] >= block.nbytes
    assert full["id"] == card.load("cuda:0")["id"]
    assert full["utilization"] is None or 0 <= full["utilization"] <= 100

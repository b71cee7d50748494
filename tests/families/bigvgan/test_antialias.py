"""The anti-aliased activation of BigVGAN. The families compare its samples with the published ones."""

from __future__ import annotations

import pytest
import torch

from deployments.families.bigvgan.antialias import AntiAliasedSnake, low_pass, resamplers
from deployments.families.bigvgan.receptive_field import Window


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("run", [False, True])
def test_it_may_be_built_and_run_in_inference_mode_or_not(built, run):
    """Its filters are kept for the next one, in whichever mode the first was built."""
    low_pass.cache_clear()
    resamplers.cache_clear()
    x, whole = torch.randn(1, 20, 6, generator=torch.Generator().manual_seed(0)), Window.whole(20)
    with torch.inference_mode(built):
        first = AntiAliasedSnake(6)
        first.prepare()
    with torch.inference_mode(run):
        found = first(x, whole, whole)
        second = AntiAliasedSnake(6)
        second.load_state_dict({"act.alpha": torch.zeros(6), "act.beta": torch.zeros(6)})
        second.prepare()
        assert torch.equal(second(x, whole, whole), found)
    assert not any(parameter.requires_grad for parameter in first.parameters())

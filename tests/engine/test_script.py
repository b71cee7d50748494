from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from deployments.engine.decode import Decoder
from deployments.engine.invariant import Linear, Norm
from deployments.engine.script import scripted


class Feed(nn.Module):
    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.norm, self.linear = Norm(torch.rand(64), torch.rand(64)), linear

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(self.norm(x))


class Printing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        import json

        return x * len(json.dumps(x.tolist()))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("pack", [True, False])
def test_a_program_has_the_bits_of_the_module_at_any_shape(pack):
    weight = torch.randn(64, 64)
    linear = Linear(weight.bfloat16().float() if pack else weight, torch.randn(64))
    assert linear.packed == pack
    module = Feed(linear)
    program, what = scripted(module)
    assert what == "one TorchScript call"
    assert program is not module
    for rows in (1, 3, 4, 8, 30, 40):
        x = torch.randn(rows, 64)
        assert torch.equal(program(x), module(x)), rows
    x = torch.randn(2, 3, 64)
    assert torch.equal(program(x), module(x))


def test_a_module_that_torchscript_rejects_runs_eagerly_and_is_reported(caplog):
    module = Printing()
    with caplog.at_level(logging.WARNING):
        program, what = scripted(module)
    assert program is module
    assert what.startswith("eager: TorchScript cannot compile it")
    assert "Printing" in caplog.text


@pytest.mark.parametrize("optimize", [True, False])
def test_a_model_is_compiled_once_and_only_if_optimisation_is_on(on, cpu, engine, optimize):
    def run():
        model = engine.gpt(2, 64, cpu.torch_device)
        decoder = Decoder(model, cpu, optimize=optimize)
        return model.compiled, decoder.status()["step"]

    assert on(run) == ((1, "as it is") if optimize else (0, "eager"))

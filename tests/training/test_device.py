"""What a GPU would show: every tensor is on its device, and bfloat16 gives the same losses.

Tensors that have a device but no values stand for those on a GPU. They have no backward pass.
"""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from training import codec, gpt
from training.codec_net import Codec
from training.critics import Critics
from training.gpt_net import StructuredGpt
from training.next_voice import CODE_SAMPLES, NEXT

Net = TypeVar("Net", bound=nn.Module)
SIZE, CODES, FRAMES = 2, codec.CROP, codec.CROP * NEXT.frames_per_code


pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available")


@pytest.fixture
def fake():
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield FakeTensorMode()
    torch.__future__.set_overwrite_module_params_on_conversion(before)


def moved(net: Net, fake: FakeTensorMode) -> Net:
    with fake:
        return net._apply(lambda value: torch.empty_like(fake.from_tensor(value), device="cuda"))


def codec_batch(device: str) -> dict[str, torch.Tensor]:
    batch = {name: torch.ones(SIZE, FRAMES, device=device) for name in ("log_f0", "voiced")}
    batch["log_f0"] = 5 * batch["log_f0"]
    samples = CODES * CODE_SAMPLES, codec.REFERENCE * CODE_SAMPLES
    for name, count in zip(("waveform", "reference"), samples, strict=True):
        batch[name] = 0.1 * torch.randn(SIZE, count, device=device)
    return batch | {
        "phone": torch.ones(SIZE, CODES, dtype=torch.int64, device=device),
        "mean_mel": -4 * torch.ones(SIZE, NEXT.n_mels, device=device),
        "mean_log_f0": 5 * torch.ones(SIZE, device=device),
    }


def gpt_batch(device: str) -> dict[str, torch.Tensor]:
    row = torch.ones(SIZE, 30, dtype=torch.int64, device=device)
    names = ("phones", "codes", "pointer", "stay", "next", "advance")
    own = {
        "speaker": torch.ones(SIZE, NEXT.speaker_dim, device=device),
        "pace": torch.ones(SIZE, device=device),
    }
    return own | dict.fromkeys(names, row)


def test_nothing_of_the_codecs_step_stays_on_the_cpu(fake: FakeTensorMode) -> None:
    net, critics = moved(Codec(NEXT), fake), moved(Critics(4), fake)
    with fake:
        batch = codec_batch("cuda")
        total, parts = codec.losses(net, critics, batch)
    assert {value.device.type for value in (total, *parts.values())} == {"cuda"}


def test_nothing_of_the_gpts_step_stays_on_the_cpu(fake: FakeTensorMode) -> None:
    net = moved(StructuredGpt(NEXT), fake)
    with fake:
        batch = gpt_batch("cuda")
        total, parts, _ = gpt.losses(net, batch, hidden=0.1)
    assert {value.device.type for value in (total, *parts.values())} == {"cuda"}


def test_bfloat16_gives_about_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    def totals() -> list[torch.Tensor]:
        torch.manual_seed(0)
        nets = Codec(NEXT), Critics(4), StructuredGpt(NEXT)
        made = [
            codec.losses(nets[0], nets[1], codec_batch("cpu"))[0],
            gpt.losses(nets[2], gpt_batch("cpu"), 0.0)[0],
        ]
        for total in made:
            total.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for net in nets for p in net.parameters())
        return made

    exact = totals()
    for module in (codec, gpt):
        monkeypatch.setattr(module, "reduced", lambda _: torch.autocast("cpu", torch.bfloat16))
    for one, other in zip(totals(), exact, strict=True):
        torch.testing.assert_close(one.float(), other.float(), rtol=0.03, atol=0.03)

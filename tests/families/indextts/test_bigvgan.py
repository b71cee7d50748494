from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.published_indextts import PublishedVocoder
from deployments.contract.errors import ConfigError
from deployments.families.bigvgan.conv import Conv
from deployments.families.bigvgan.net import BigVgan, Upsample
from deployments.families.bigvgan.receptive_field import Window, context, needs
from deployments.families.checkpoint import fold_weight_norm, read_tensors
from deployments.families.indextts.config import IndexConfig, read_config
from deployments.families.indextts.vocoder import read_bigvgan
from tests.golden.indextts_set import found

Golden = dict[str, Tensor]
RATE = 1024


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def config(golden: Path) -> IndexConfig:
    return read_config(golden / "checkpoint")


@pytest.fixture(scope="module")
def tensors(golden: Path, config: IndexConfig) -> dict[str, Tensor]:
    return read_tensors(golden / "checkpoint" / config.bigvgan_checkpoint)


@pytest.fixture(scope="module")
def net(tensors: dict[str, Tensor], config: IndexConfig) -> BigVgan:
    return read_bigvgan(tensors, config).prepare()


@pytest.fixture(scope="module")
def stored(expected: Callable[[str], Golden]) -> Golden:
    return expected("vocoder")


@pytest.fixture(scope="module")
def speaker(expected: Callable[[str], Golden]) -> Tensor:
    return expected("reference")["speaker_embedding"].reshape(1, -1)


def whole(net: BigVgan, latents: Tensor, speaker: Tensor) -> Tensor:
    return net(latents, speaker, Window.whole(latents.shape[1] * RATE))


def with_convolutions(net: BigVgan, fast: bool) -> BigVgan:
    for layer in net.modules():
        if isinstance(layer, Conv):
            layer.fast = fast and layer.kernel > 2
    return net.prepare()


def random_latents(frames: int, width: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, frames, width, generator=torch.Generator().manual_seed(frames))


def test_weights_are_folded(tensors: dict[str, Tensor], stored: Golden) -> None:
    folded = fold_weight_norm(tensors)
    assert not [name for name in folded if name.endswith(("weight_g", "weight_v"))]
    for name in ("conv_pre.weight", "ups.0.0.weight"):
        torch.testing.assert_close(folded[name], stored[f"folded.{name}"], rtol=0, atol=1e-4)


def test_every_layer_is_the_published_one(net: BigVgan, stored: Golden, speaker: Tensor) -> None:
    layers: dict[str, nn.Module] = {
        "conv_pre_out": net.conv_pre,
        "resblock0_act0_out": net.get_submodule("resblocks.0.activations.0"),
        "resblock0_out": net.get_submodule("resblocks.0"),
        "activation_post_out": net.activation_post,
        "conv_post_out": net.conv_post,
        **{f"up{stage}_out": net.get_submodule(f"ups.{stage}.0") for stage in range(len(net.ups))},
    }
    seen: Golden = {}

    def note(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        return lambda module, inputs, output: seen.update({name: output.transpose(1, 2).clone()})

    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    wav = whole(net, stored["latent_in"], speaker)
    for hook in hooks:
        hook.remove()
    # the speaker's term is added with the bias here
    seen["conv_pre_out"] -= net.cond_layer(speaker[:, :, None])
    for stage, cond in enumerate(net.conds):
        seen[f"up{stage}_out"] -= cond(speaker[:, :, None])
    for name in (
        "resblock0_act0_out",
        "activation_post_out",
    ):  # zeros for the next convolution surround them
        extra = (seen[name].shape[2] - stored[name].shape[2]) // 2
        seen[name] = seen[name][:, :, extra : seen[name].shape[2] - extra]
    assert seen.keys() == {name for name in stored if name.endswith("_out")}
    for name, value in seen.items():
        torch.testing.assert_close(
            value, stored[name], rtol=0, atol=1e-4, msg=lambda text, name=name: name + text
        )
    torch.testing.assert_close(wav, stored["wav"][0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", found("gpt", r"(s\d+)\.pcm16"))
def test_the_sound_is_the_published_one(
    net: BigVgan, expected: Callable[[str], Golden], speaker: Tensor, case: str
) -> None:
    golden = expected("gpt")
    wav = whole(net, golden[f"{case}.fwd.latent"], speaker)
    if f"{case}.wav" in golden:
        torch.testing.assert_close(wav, golden[f"{case}.wav"][0], rtol=0, atol=1e-4)
    pcm = torch.clamp(32767 * wav, -32767, 32767).to(torch.int16)
    assert (pcm.int() - golden[f"{case}.pcm16"].int()).abs().max() <= 1


@pytest.mark.parametrize("fast", [False, True])
def test_both_convolution_algorithms_give_the_same_samples(
    tensors: dict[str, Tensor], config: IndexConfig, stored: Golden, speaker: Tensor, fast: bool
) -> None:
    """By default, a narrow layer uses one algorithm and a wide layer the other."""
    net = with_convolutions(read_bigvgan(tensors, config), fast)
    wav = whole(net, stored["latent_in"], speaker)
    torch.testing.assert_close(wav, stored["wav"][0], rtol=0, atol=1e-4)


def test_any_window_equals_that_part_of_the_whole(net: BigVgan, speaker: Tensor) -> None:
    latents = random_latents(90, net.shape.inputs)
    sound = whole(net, latents, speaker)
    length = 90 * RATE
    for start, stop in ((0, 1), (0, 5000), (40000, 40001), (33 * RATE, 57 * RATE), (length - 3, length)):
        torch.testing.assert_close(
            net(latents, speaker, Window(start, stop, length)), sound[:, start:stop], rtol=0, atol=1e-5
        )


def test_the_receptive_field_is_exact(
    tensors: dict[str, Tensor], config: IndexConfig, speaker: Tensor
) -> None:
    """No sample depends on a frame outside. Plain convolutions, because fast ones spread rounding errors."""
    net = with_convolutions(read_bigvgan(tensors, config), fast=False)
    around = context(net.shape)
    middle = around + 3
    latents = random_latents(2 * middle + 1, net.shape.inputs)
    sound = whole(net, latents, speaker)
    samples = Window(middle * RATE, (middle + 1) * RATE, latents.shape[1] * RATE)

    need = needs(net.shape, samples).frames
    assert around == max(middle - need.start, need.stop - 1 - middle)
    other = latents.clone()
    other[:, [need.start - 1, need.stop]] += 1000
    changed = whole(net, other, speaker)
    assert torch.equal(changed[:, samples.start : samples.stop], sound[:, samples.start : samples.stop])
    assert not torch.equal(changed, sound)


def test_the_receptive_field_is_minimal(
    tensors: dict[str, Tensor], config: IndexConfig, speaker: Tensor
) -> None:
    """NaN spreads as far as the published operations reach."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith("speaker_encoder.")}
    frames, middle = 90, 45
    latents = random_latents(frames, config.bigvgan.gpt_dim)
    latents[:, middle] = torch.nan
    sound = PublishedVocoder(own, config).forward(latents, speaker[:, :, None])
    lost = sound.isnan().nonzero().flatten()
    first, last = int(lost[0]), int(lost[-1])

    def seen(sample: int) -> Window:
        return needs(config.bigvgan.shape, Window(sample, sample + 1, frames * RATE)).frames

    assert seen(first - 1).stop <= middle < seen(first).stop
    assert seen(last).start <= middle < seen(last + 1).start


def test_rows_of_a_batch_are_cropped_at_their_own_positions(net: BigVgan, speaker: Tensor) -> None:
    around, count = context(net.shape), 9
    frames = 2 * around + count + 20
    latents = random_latents(frames, net.shape.inputs, batch=4)
    speakers = torch.cat([speaker, 2 * speaker, -speaker, speaker.flip(1)])
    first = torch.tensor([0, around + 7, frames - count, 5])
    made = net.rows(latents, speakers, first, count)
    for row, start in enumerate(first.tolist()):
        alone = whole(net, latents[row : row + 1], speakers[row : row + 1])
        own = alone[0, start * RATE : (start + count) * RATE]
        torch.testing.assert_close(made[row], own, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kernel", [5, 7])
def test_up_sampling_is_a_transposed_convolution(kernel: int) -> None:
    """Also with a kernel that is not a multiple of the rate."""
    up = Upsample(3, 2, kernel, 3)
    generator = torch.Generator().manual_seed(kernel)
    up.weight.data = torch.randn(3, 2, kernel, generator=generator)
    weight, bias = up.weight.data.clone(), torch.randn(1, 2, generator=generator)
    up.prepare()
    x = torch.randn(1, 10, 3, generator=generator)
    plain = nn.functional.conv_transpose1d(x.transpose(1, 2), weight, bias[0], 3, (kernel - 3) // 2)
    for start, stop in ((0, 30), (4, 17), (29, 30)):
        made = up(x, Window.whole(10), Window(start, stop, 30), bias)
        torch.testing.assert_close(made, plain.transpose(1, 2)[:, start:stop], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("conv_pre.weight_v", None, "conv_pre.weight"),
        ("conv_pre.weight_g", torch.ones(3, 1, 1), "conv_pre.weight"),
        ("resblocks.3.activations.2.act.alpha", torch.ones(5), "resblocks.3.activations.2.act.alpha"),
        ("resblocks.3.activations.2.upsample.filter", torch.ones(1, 1, 12), "activations.2.upsample.filter"),
        ("resblocks.3.activations.2.upsample.filter", torch.ones(1, 1, 4), "activations.2.upsample.filter"),
        ("something.else", torch.ones(1), "something.else"),
    ],
)
def test_a_wrong_tensor_is_named(
    tensors: dict[str, Tensor], config: IndexConfig, name: str, change: Tensor | None, complaint: str
) -> None:
    changed = (
        tensors | {name: change} if change is not None else {k: v for k, v in tensors.items() if k != name}
    )
    with pytest.raises(ConfigError, match=complaint) as raised:
        read_bigvgan(changed, config)
    assert str(raised.value).startswith(config.bigvgan_checkpoint)

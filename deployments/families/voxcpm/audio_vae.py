"""AudioVAE: waveforms to latents and back, causal on both sides. Always float32."""

from bisect import bisect_left
from collections.abc import Callable

import torch
from torch import Tensor

from deployments.contract.errors import CheckpointError
from deployments.families.checkpoint import Tensors, check_shapes, fold_weight_norm, part_of
from deployments.families.voxcpm.causal import Affine, Conv, Memory, Residual, Snake, Upsample
from deployments.families.voxcpm.config import VaeConfig

DILATIONS = (1, 3, 9)
TAPS = 7
PIECE = 24  # frames at once: the signals of more leave a CPU's caches
Shapes = dict[str, tuple[int, ...]]


def expected_shapes(config: VaeConfig, version: int) -> Shapes:
    """The name and shape of every tensor of the file, weight norm folded."""
    latents, width = config.latent_dim, config.encoder_dim
    shapes = _conv("encoder.block.0", width, 1, TAPS)
    for stage, rate in enumerate(config.encoder_rates, 1):
        name = f"encoder.block.{stage}.block"
        for index in range(len(DILATIONS)):
            shapes |= _residual(f"{name}.{index}", width)
        shapes |= {f"{name}.3.alpha": (1, width, 1)} | _conv(f"{name}.4", 2 * width, width, 2 * rate)
        width *= 2
    for name in ("fc_mu", "fc_logvar"):
        shapes |= _conv(f"encoder.{name}", latents, width, 3)
    width, last = config.decoder_dim, len(config.decoder_rates) + 2
    shapes |= _conv("decoder.model.0", latents, 1, TAPS) | _conv("decoder.model.1", width, latents, 1)
    bins = len(config.sr_bin_boundaries or ()) + 1
    if version == 2:
        shapes["decoder.sr_bin_boundaries"] = (bins - 1,)
    for stage, rate in enumerate(config.decoder_rates, 2):
        name = f"decoder.model.{stage}.block"
        if version == 2:
            condition = f"decoder.sr_cond_model.{stage}"
            shapes |= {f"{condition}.{part}_embed.weight": (bins, width) for part in ("scale", "bias")}
        shapes[f"{name}.0.alpha"] = (1, width, 1)
        shapes |= {f"{name}.1.weight": (width, width // 2, 2 * rate), f"{name}.1.bias": (width // 2,)}
        width //= 2
        for index in range(len(DILATIONS)):
            shapes |= _residual(f"{name}.{index + 2}", width)
    return (
        shapes
        | {f"decoder.model.{last}.alpha": (1, width, 1)}
        | _conv(f"decoder.model.{last + 1}", 1, width, TAPS)
    )


def _conv(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, kernel), f"{name}.bias": (outputs,)}


def _residual(name: str, width: int) -> Shapes:
    alphas: Shapes = {f"{name}.block.{index}.alpha": (1, width, 1) for index in (0, 2)}
    return alphas | _conv(f"{name}.block.1", width, 1, TAPS) | _conv(f"{name}.block.3", width, width, 1)


class _Chain:
    """Layers in order, with a state of `state` numbers for each row."""

    def __init__(self, layers: list[Callable[[Tensor, Memory], Tensor]], device: torch.device) -> None:
        self.layers, self.device = layers, device
        self.state: int = sum(layer.state for layer in layers)  # type: ignore[attr-defined]

    def silence(self, rows: int = 1) -> Tensor:
        """The state before the beginning: (rows, state)."""
        return torch.zeros(rows, self.state, device=self.device)

    def run(self, x: Tensor, memory: Memory) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory)
        return x

    def in_pieces(self, x: Tensor, state: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """x (B, C, T), `size` positions of it at a time -> the output, and the state after it."""
        found = []
        for piece in x.split(size, 2):
            memory = Memory(state, piece.shape[2])
            found.append(self.run(piece, memory))
            state = memory.after
        return found[0] if len(found) == 1 else torch.cat(found, 2), state


class Encoder(_Chain):
    """Waveform (1, 1, N) to the means of its latents (1, D, N / hop). N: a multiple of the hop."""

    def __init__(self, weights: Tensors, config: VaeConfig, version: int) -> None:
        layers: list = [Conv(weights, "encoder.block.0")]
        for stage, rate in enumerate(config.encoder_rates, 1):
            name = f"encoder.block.{stage}.block"
            layers += [Residual(weights, f"{name}.{i}", dilation) for i, dilation in enumerate(DILATIONS)]
            odd = rate % 2
            left = rate + odd if version == 1 else rate
            layers += [
                Snake(weights, f"{name}.3"),
                Conv(weights, f"{name}.4", stride=rate, left=left),
            ]
        layers.append(Conv(weights, "encoder.fc_mu"))
        super().__init__(layers, layers[0].weight.device)
        self.hop = config.hop

    def __call__(self, waveform: Tensor) -> Tensor:
        """In pieces, so that memory does not grow with the recording."""
        return self.in_pieces(waveform, self.silence(), PIECE * self.hop)[0]


class Decoder(_Chain):
    """Latents (B, D, T) to the waveform (B, T * hop), which continues from a state.

    rate: the bandwidth that the second release is asked for, in Hz; it does not change the number of samples.
    """

    def __init__(self, weights: Tensors, config: VaeConfig, version: int, rate: int | None = None) -> None:
        layers: list = [
            Conv(weights, "decoder.model.0", groups=config.latent_dim),
            Conv(weights, "decoder.model.1"),
        ]
        for stage, factor in enumerate(config.decoder_rates, 2):
            if version == 2:
                row = bisect_left(config.sr_bin_boundaries or (), rate or config.out_rate)
                scale, bias = (
                    weights[f"decoder.sr_cond_model.{stage}.{part}_embed.weight"][row]
                    for part in ("scale", "bias")
                )
                layers.append(Affine(scale, bias))
            name = f"decoder.model.{stage}.block"
            layers += [Snake(weights, f"{name}.0"), Upsample(weights, f"{name}.1", factor)]
            layers += [Residual(weights, f"{name}.{i}", dilation) for i, dilation in enumerate(DILATIONS, 2)]
        last = len(config.decoder_rates) + 2
        layers += [Snake(weights, f"decoder.model.{last}"), Conv(weights, f"decoder.model.{last + 1}")]
        super().__init__(layers, layers[0].weight.device)
        self.hop = config.out_hop

    def __call__(self, latents: Tensor, state: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """state: (B, S); valid: int64 (B,), the frames of each row before its padding. -> waveform, state after them"""
        if valid is None and self.device.type == "cpu":
            waveform, after = self.in_pieces(latents, state, PIECE)
        else:
            memory = Memory(state, latents.shape[2], valid)
            waveform, after = self.run(latents, memory), memory.after
        return waveform.tanh_()[:, 0], after


class VaeWeights:
    """The checked tensors of the file, with weight norm folded, float32."""

    def __init__(self, tensors: Tensors, config: VaeConfig, version: int, file: str) -> None:
        self.config, self.version = config, version
        self.tensors = fold_weight_norm(tensors)
        check_shapes(expected_shapes(config, version), self.tensors, file)
        if version == 2:
            known = tuple(map(int, self.tensors["decoder.sr_bin_boundaries"].tolist()))
            if known != config.sr_bin_boundaries:
                raise CheckpointError(
                    f"{file}: decoder.sr_bin_boundaries are {known}, the config wants others"
                )

    def encoder(self, device: torch.device) -> Encoder:
        return Encoder(self._on(device, "encoder."), self.config, self.version)

    def decoder(self, device: torch.device, rate: int | None = None) -> Decoder:
        return Decoder(self._on(device, "decoder."), self.config, self.version, rate)

    def _on(self, device: torch.device, prefix: str) -> Tensors:
        own = part_of(self.tensors, prefix)
        return {f"{prefix}{name}": tensor.to(device) for name, tensor in own.items()}

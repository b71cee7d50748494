"""HuBERT base (Hsu et al., 2021) as the transformers library stores it: samples at 16 kHz to features of 50 Hz."""

from pathlib import Path
from typing import Annotated, Literal, Self

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from deployments.families.checkpoint import fill, read_tensors
from deployments.families.gpt_sovits.pretrained import read_config, weights_file
from deployments.families.gpt_sovits.weights import without_weight_norm

Count = Annotated[int, Field(gt=0)]
_UNUSED = "masked_spec_embed"
_NEW_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


class HubertConfig(BaseModel):
    """The keys of config.json that inference uses."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    hidden_size: Count
    intermediate_size: Count
    num_attention_heads: Count
    num_hidden_layers: Count
    conv_dim: tuple[Count, ...]
    conv_kernel: tuple[Count, ...]
    conv_stride: tuple[Count, ...]
    num_conv_pos_embeddings: Count = 128
    num_conv_pos_embedding_groups: Count = 16
    layer_norm_eps: float = 1e-5
    conv_bias: Literal[False] = False
    do_stable_layer_norm: Literal[False] = False
    feat_extract_norm: Literal["group"] = "group"
    feat_proj_layer_norm: Literal[True] = True
    hidden_act: Literal["gelu"] = "gelu"


class ConvLayer(nn.Module):
    """(B, C, N) -> (B, C', N / stride). Only the first layer is normalised, each channel over time."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, normed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, bias=False)
        self.layer_norm = nn.GroupNorm(outputs, outputs) if normed else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.gelu(x if self.layer_norm is None else self.layer_norm(x))


class FeatureExtractor(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        sizes = zip(
            (1, *config.conv_dim), config.conv_dim, config.conv_kernel, config.conv_stride, strict=False
        )
        self.conv_layers = nn.ModuleList(
            [ConvLayer(*size, normed=not layer) for layer, size in enumerate(sizes)]
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.conv_layers:
            x = layer(x)
        return x


class FeatureProjection(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class Position(nn.Module):
    """A wide grouped convolution in place of position embeddings."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        kernel, groups = config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
        self.conv = nn.Conv1d(
            config.hidden_size, config.hidden_size, kernel, padding=kernel // 2, groups=groups
        )
        self.surplus = 1 - kernel % 2  # frames, of an even kernel

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)"""
        y = self.conv(x.transpose(1, 2))
        return F.gelu(y[..., : y.shape[-1] - self.surplus]).transpose(1, 2)


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.intermediate_dense, self.output_dense = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(F.gelu(self.intermediate_dense(x)))


class Layer(nn.Module):
    """Post-norm."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention = SelfAttention(width, config.num_attention_heads)
        self.layer_norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.feed_forward = FeedForward(width, config.intermediate_size)
        self.final_layer_norm = nn.LayerNorm(width, config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.attention(x))
        return self.final_layer_norm(x + self.feed_forward(x))


class Encoder(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.pos_conv_embed = Position(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.pos_conv_embed(x))
        for layer in self.layers:
            x = layer(x)
        return x


class Hubert(nn.Module):
    """Samples (B, N) at 16 kHz, not normalised -> (B, C, T), the last layer's output."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = Encoder(config)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises CheckpointError for a folder that does not hold a HuBERT."""
        config = read_config(folder, HubertConfig)
        path = weights_file(folder)
        tensors = {}
        for name, tensor in read_tensors(path).items():
            for new, old in _NEW_NAMES.items():
                name = name.replace(new, old)
            if not name.endswith(_UNUSED):
                tensors[name.removeprefix("hubert.")] = tensor.float()
        return fill(cls(config), without_weight_norm(tensors, path.name), path.name)

    def forward(self, samples: Tensor) -> Tensor:
        features = self.feature_extractor(samples.unsqueeze(1)).transpose(1, 2)
        return self.encoder(self.feature_projection(features)).transpose(1, 2)

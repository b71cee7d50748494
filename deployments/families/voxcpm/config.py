"""Strict models of config.json in a published VoxCPM 0.5B, 1.5 or 2 folder: the keys that inference uses."""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deployments.contract.errors import CheckpointError

Count = Annotated[int, Field(gt=0, le=1 << 20)]
FILE = "config.json"
MIN_SECONDS, MAX_SECONDS = 0.5, 60.0  # of a reference
LATENT_RATE = 25  # Hz, of every release
RATIO = 6  # patches per token of the text, at most, and SLACK more
SLACK = 10
CONTEXT_PATCHES = {1: 2, 2: 3}  # of a continued recording, which the decoder sees before its first patch


class Strict(BaseModel):
    """Keys that only training or the published package uses are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Rope(Strict):
    type: Literal["longrope"]
    long_factor: tuple[float, ...]
    short_factor: tuple[float, ...]
    original_max_position_embeddings: Count


class LmConfig(Strict):
    hidden_size: Count
    intermediate_size: Count
    max_position_embeddings: Count
    num_attention_heads: Count
    num_hidden_layers: Count
    num_key_value_heads: Count
    rms_norm_eps: Annotated[float, Field(gt=0, lt=1)]
    rope_theta: Annotated[float, Field(gt=1)] = 10000.0
    rope_scaling: Rope
    vocab_size: Count
    use_mup: Literal[False]
    kv_channels: Count | None = None


class LocalConfig(Strict):
    """Of the encoder or the diffusion transformer of a patch."""

    hidden_dim: Count = 1024
    ffn_dim: Count = 4096
    num_heads: Count = 16
    num_layers: Count = 4
    kv_channels: Count | None = None
    dit_mean_mode: Literal[False] = False


class VaeConfig(Strict):
    """The defaults are those of 0.5B, whose file has no such section."""

    encoder_dim: Count = 128
    encoder_rates: Annotated[tuple[Count, ...], Field(min_length=1, max_length=16)] = (2, 5, 8, 8)
    latent_dim: Count = 64
    decoder_dim: Count = 1536
    decoder_rates: Annotated[tuple[Count, ...], Field(min_length=1, max_length=16)] = (8, 8, 5, 2)
    depthwise: Literal[True] = True
    sample_rate: Count = 16000
    out_sample_rate: Count | None = None
    use_noise_block: Literal[False] = False
    sr_bin_boundaries: tuple[Count, ...] | None = None
    cond_type: Literal["scale_bias"] = "scale_bias"

    @property
    def hop(self) -> int:
        """Samples of the input per latent frame."""
        return math.prod(self.encoder_rates)

    @property
    def out_hop(self) -> int:
        return math.prod(self.decoder_rates)

    @property
    def out_rate(self) -> int:
        return self.out_sample_rate or self.sample_rate

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.decoder_dim % (1 << len(self.decoder_rates)):
            raise ValueError(f"decoder_dim {self.decoder_dim} cannot be halved for each of decoder_rates")
        for rate, hop, side in (
            (self.sample_rate, self.hop, "encoder_rates"),
            (self.out_rate, self.out_hop, "decoder_rates"),
        ):
            if rate != LATENT_RATE * hop:
                raise ValueError(
                    f"{side} make {hop} samples per frame: not {LATENT_RATE} frames a second at {rate} Hz"
                )
        return self


class VoxConfig(Strict):
    """`version`: 1 for 0.5B and 1.5, which differ in numbers only; 2 for 2."""

    architecture: str = "voxcpm"
    lm_config: LmConfig
    patch_size: Count
    feat_dim: Count = 64
    residual_lm_num_layers: Count
    residual_lm_no_rope: bool = False
    scalar_quantization_latent_dim: Count
    scalar_quantization_scale: Count = 9
    encoder_config: LocalConfig
    dit_config: LocalConfig
    audio_vae_config: VaeConfig = VaeConfig()
    max_length: Count
    dit_mean_mode: Literal[False] = False

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.architecture.lower() not in ("voxcpm", "voxcpm2"):
            raise ValueError(
                f"architecture {self.architecture!r} is not supported; supported: voxcpm, voxcpm2"
            )
        if self.audio_vae_config.latent_dim != self.feat_dim:
            raise ValueError(f"feat_dim {self.feat_dim} must equal audio_vae_config.latent_dim")
        if self.version == 2 and not self.audio_vae_config.sr_bin_boundaries:
            raise ValueError("audio_vae_config.sr_bin_boundaries is missing, which voxcpm2 needs")
        if len({shape.head_dim for shape in self.stacks}) != 1:
            raise ValueError(
                "the heads of lm_config, encoder_config and dit_config must have one size (kv_channels)"
            )
        for shape in self.stacks:
            if shape.heads % shape.kv_heads or shape.head_dim % 2:
                raise ValueError(
                    f"{shape.heads} heads of {shape.head_dim} cannot share {shape.kv_heads} of keys and values"
                )
        rope = self.lm_config.rope_scaling
        if {len(rope.long_factor), len(rope.short_factor)} != {self.head_dim // 2}:
            raise ValueError(
                f"rope_scaling.long_factor and short_factor must have {self.head_dim // 2} numbers"
            )
        if self.lm_config.max_position_embeddings < rope.original_max_position_embeddings:
            raise ValueError("max_position_embeddings must be at least original_max_position_embeddings")
        return self

    @property
    def version(self) -> Literal[1, 2]:
        return 2 if self.architecture.lower() == "voxcpm2" else 1

    @property
    def base(self) -> "Shape":
        lm = self.lm_config
        return Shape.of(
            lm,
            lm.hidden_size,
            lm.intermediate_size,
            lm.num_attention_heads,
            lm.num_hidden_layers,
            lm.kv_channels,
        )

    @property
    def residual(self) -> "Shape":
        return self.base.model_copy(update={"layers": self.residual_lm_num_layers})

    @property
    def encoder(self) -> "Shape":
        return self._local(self.encoder_config)

    @property
    def dit(self) -> "Shape":
        return self._local(self.dit_config)

    @property
    def stacks(self) -> tuple["Shape", ...]:
        return self.base, self.residual, self.encoder, self.dit

    @property
    def head_dim(self) -> int:
        return self.base.head_dim

    @property
    def samples_per_patch(self) -> int:
        return self.patch_size * self.audio_vae_config.out_hop

    @property
    def context_patches(self) -> int:
        return CONTEXT_PATCHES[self.version]

    def _local(self, part: LocalConfig) -> "Shape":
        return Shape.of(
            self.lm_config, part.hidden_dim, part.ffn_dim, part.num_heads, part.num_layers, part.kv_channels
        )


class Shape(Strict):
    """The sizes of a transformer. kv_heads: the heads of keys and values, which the language model's config gives."""

    width: Count
    ffn: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    layers: Count

    @classmethod
    def of(cls, lm: LmConfig, width: int, ffn: int, heads: int, layers: int, channels: int | None) -> "Shape":
        return cls(
            width=width,
            ffn=ffn,
            heads=heads,
            kv_heads=lm.num_key_value_heads,
            head_dim=channels or max(1, width // heads),
            layers=layers,
        )


def _defaults(content: dict[str, Any]) -> dict[str, int]:
    """Of keys that may be missing; they depend on the architecture."""
    second = str(content.get("architecture", "")).lower() == "voxcpm2"
    return {
        "patch_size": 4 if second else 2,
        "residual_lm_num_layers": 8 if second else 6,
        "scalar_quantization_latent_dim": 512 if second else 256,
        "max_length": 8192 if second else 4096,
    }


def read_config(folder: Path) -> VoxConfig:
    """Reads and validates config.json. Raises CheckpointError, which names the key and what is allowed."""
    path = folder / FILE
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"family.options.model_dir: no {FILE} in the folder {folder.name!r}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{FILE}: cannot be read as JSON ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{FILE}: must be an object")
    try:
        # as JSON, because in strict mode a list is not a tuple
        return VoxConfig.model_validate_json(json.dumps(_defaults(content) | content))
    except ValidationError as error:
        lines = []
        for detail in error.errors():
            key = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
            lines.append(f"{FILE}: {key}: {detail['msg'].removeprefix('Value error, ')}")
        raise CheckpointError("\n".join(lines)) from None

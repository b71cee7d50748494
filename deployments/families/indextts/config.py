"""Strict models of config.yaml in a published IndexTTS 1.0 or 1.5 folder: the keys that inference uses."""

import json
import math
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deployments import plain_yaml
from deployments.contract.errors import CheckpointError
from deployments.families.bigvgan.shape import BigVganShape

Count = Annotated[int, Field(gt=0)]
FileName = Annotated[str, Field(pattern=r"^[^/\\]+$")]  # a file in the folder, never outside it
N_LATENTS = 32
N_MELS = 100
SAMPLE_RATE = 24000
MIN_SECONDS, MAX_SECONDS = 0.5, 60.0  # of a reference; the conformer's position table ends at 106 s
MARGIN = 3  # rows of the mel position table beyond max_mel_tokens
SILENT_CODE = 52


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Loose(BaseModel):
    """For sections that also hold training's keys, which are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Conditioning(Strict):
    output_size: Count
    linear_units: Count
    attention_heads: Count
    num_blocks: Count
    input_layer: Literal["conv2d2"]
    perceiver_mult: Count


class GptConfig(Strict):
    model_dim: Count
    layers: Count
    heads: Count
    max_mel_tokens: Count
    max_text_tokens: Count
    number_text_tokens: Count
    number_mel_codes: Count
    start_mel_token: Count
    stop_mel_token: Count
    start_text_token: Literal[0] = 0
    stop_text_token: Literal[1] = 1
    mel_length_compression: Count
    activation_function: Literal["gelu_pytorch_tanh", "gelu_new"] = "gelu_new"  # two names for one formula
    use_mel_codes_as_input: Literal[True] = True
    train_solo_embeddings: Literal[False] = False
    condition_type: Literal["conformer_perceiver"]
    condition_module: Conditioning

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.model_dim % self.heads:
            raise ValueError(f"model_dim {self.model_dim} is not a multiple of heads {self.heads}")
        if not self.start_mel_token < self.number_mel_codes > self.stop_mel_token:
            raise ValueError("start_mel_token and stop_mel_token must be below number_mel_codes")
        return self


class BigVganConfig(Loose):
    resblock: Literal["1"]
    upsample_rates: tuple[Count, ...]
    upsample_kernel_sizes: tuple[Count, ...]
    upsample_initial_channel: Count
    resblock_kernel_sizes: tuple[Count, ...]
    resblock_dilation_sizes: tuple[tuple[Count, Count, Count], ...]
    speaker_embedding_dim: Count
    gpt_dim: Count
    feat_upsample: Literal[False]
    cond_d_vector_in_each_upsampling_layer: Literal[True]
    activation: Literal["snakebeta"]
    snake_logscale: Literal[True]
    num_mels: Literal[100] = N_MELS

    @property
    def shape(self) -> BigVganShape:
        return BigVganShape(
            self.gpt_dim,
            self.upsample_rates,
            self.upsample_kernel_sizes,
            self.upsample_initial_channel,
            self.resblock_kernel_sizes,
            self.resblock_dilation_sizes,
            speaker=self.speaker_embedding_dim,
        )

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes must have the same length")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes must have the same length")
        return self


class Dataset(Loose):
    bpe_model: FileName = "bpe.model"


class IndexConfig(Strict):
    """`version` is absent in 1.0. Sections that only training uses are ignored."""

    gpt: GptConfig
    bigvgan: BigVganConfig
    dataset: Dataset = Dataset()
    vqvae: dict | None = None
    gpt_checkpoint: FileName = "gpt.pth"
    bigvgan_checkpoint: FileName = "bigvgan_generator.pth"
    dvae_checkpoint: str | None = None
    version: float | None = None

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.bigvgan.gpt_dim != self.gpt.model_dim:
            raise ValueError(
                f"bigvgan.gpt_dim {self.bigvgan.gpt_dim} must equal gpt.model_dim {self.gpt.model_dim}"
            )
        if self.samples_per_code != self.gpt.mel_length_compression:
            raise ValueError(
                f"bigvgan.upsample_rates produce {self.samples_per_code} samples per code,"
                f" gpt.mel_length_compression says {self.gpt.mel_length_compression}"
            )
        if self.version is not None and not 1 <= self.version < 2:
            raise ValueError(f"version {self.version} is not supported; supported: 1.0, 1.5")
        return self

    @property
    def samples_per_code(self) -> int:
        return math.prod(self.bigvgan.upsample_rates)

    @property
    def max_codes(self) -> int:
        """Most codes of a segment under either position rule. Feeding code k back needs row k + 2 of the table."""
        return self.gpt.max_mel_tokens + 2


def read_config(folder: Path) -> IndexConfig:
    """Reads and validates config.yaml. Raises CheckpointError, which names the key and what is allowed."""
    path = folder / "config.yaml"
    try:
        content = plain_yaml.load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"family.options.model_dir: no {path.name} in the folder {folder.name!r}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path.name}: cannot be read as YAML ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name}: must be a mapping")
    try:
        return IndexConfig.model_validate_json(
            json.dumps(content)
        )  # strict mode, in which a YAML list is not a tuple
    except ValidationError as error:
        lines = []
        for detail in error.errors():
            key = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
            unknown = detail["type"] == "extra_forbidden"
            fault = f": {detail['msg'].removeprefix('Value error, ')}"
            lines.append(f"{path.name}: {key}{' is not a key of IndexTTS 1.0 or 1.5' if unknown else fault}")
        raise CheckpointError("\n".join(lines)) from None

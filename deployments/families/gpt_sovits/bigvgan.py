"""The vocoder of v3: mels of 93.75 Hz to samples at 24 kHz, from NVIDIA's folder of BigVGAN v2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.contract.errors import CheckpointError
from deployments.families.bigvgan.net import BigVgan
from deployments.families.bigvgan.shape import BigVganShape
from deployments.families.checkpoint import read_tensors
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.options import fault

CONFIG, WEIGHTS = "config.json", "bigvgan_generator.pt"
MOST_CONFIG = 1 << 20  # bytes

Count = Annotated[int, Field(gt=0, le=1 << 16)]


class BigVganConfig(BaseModel):
    """What is read of the folder's config. Other keys concern training."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    num_mels: Literal[100]
    upsample_rates: tuple[Count, ...]
    upsample_kernel_sizes: tuple[Count, ...]
    upsample_initial_channel: Count
    resblock: Literal["1"]
    resblock_kernel_sizes: tuple[Count, ...]
    resblock_dilation_sizes: tuple[tuple[Count, Count, Count], ...]
    activation: Literal["snakebeta"]
    snake_logscale: Literal[True]
    use_tanh_at_final: bool = True
    use_bias_at_final: bool = True

    @property
    def shape(self) -> BigVganShape:
        return BigVganShape(
            self.num_mels,
            self.upsample_rates,
            self.upsample_kernel_sizes,
            self.upsample_initial_channel,
            self.resblock_kernel_sizes,
            self.resblock_dilation_sizes,
            tanh=self.use_tanh_at_final,
            final_bias=self.use_bias_at_final,
        )


def read_bigvgan(folder: Path) -> BigVgan:
    """On the CPU; call `prepare` next. Raises CheckpointError if the folder does not hold the vocoder of v3."""
    shape = _config(folder / CONFIG).shape
    samples, wanted = shape.samples_per_frame, LAYOUTS["v3"].frame_samples
    pairs = (
        (len(shape.upsample_kernel_sizes), len(shape.upsample_rates)),
        (
            len(shape.resblock_kernel_sizes),
            len(shape.resblock_dilation_sizes),
        ),
    )
    if samples != wanted or any(one != other for one, other in pairs):
        raise CheckpointError(
            f"{CONFIG}: makes {samples} samples of a frame, the vocoder of v3 makes {wanted}"
        )
    return BigVgan.load(read_tensors(folder / WEIGHTS), shape, WEIGHTS).requires_grad_(False)


def _config(path: Path) -> BigVganConfig:
    try:
        with path.open("rb") as file:
            return BigVganConfig.model_validate(json.loads(file.read(MOST_CONFIG)))
    except FileNotFoundError:
        raise CheckpointError(f"{path.name}: not found in the folder of the vocoder of v3") from None
    except ValidationError as error:
        raise CheckpointError(f"{path.name}: {fault(error)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name}: cannot be read as JSON ({type(error).__name__})") from None

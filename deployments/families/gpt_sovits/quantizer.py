"""HuBERT features to the codes that the GPT continues, 25 a second."""

from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

from deployments.contract.errors import CheckpointError
from deployments.families.checkpoint import fill, part_of
from deployments.families.gpt_sovits.vits.encoder import code_embeddings

_STARTED = "quantizer.vq.layers.0._codebook.inited"


class Quantizer(nn.Module):
    """Features (B, D, T) -> codes int64 (B, T // 2): the nearest entry of the codebook."""

    codebook: Tensor

    def __init__(self, width: int, codebook: Tensor) -> None:
        super().__init__()
        self.ssl_proj = nn.Conv1d(width, width, 2, stride=2)
        self.register_buffer("codebook", codebook, persistent=False)

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], file: str) -> Self:
        """From the tensors of the whole s2 file. Raises CheckpointError."""
        codebook = code_embeddings(tensors, file)
        if _STARTED in tensors and not tensors[_STARTED].all():
            raise CheckpointError(f"{file}: the codebook was never trained ({_STARTED} is 0)")
        module = cls(codebook.shape[1], codebook)
        fill(module.ssl_proj, part_of(tensors, "ssl_proj."), file, "ssl_proj.")
        return module

    def forward(self, features: Tensor) -> Tensor:
        x = self.ssl_proj(features).transpose(1, 2)  # (B, N, D)
        book = self.codebook
        distance = x.square().sum(-1, keepdim=True) - 2 * (x @ book.t()) + book.square().sum(-1)
        return distance.argmin(-1)

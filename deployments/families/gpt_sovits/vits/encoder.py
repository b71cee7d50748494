"""The content encoder ("enc_p"): codes and phones to latents of 50 Hz, and to the prior of the flow.

v3 and v4 use it too, without the prior.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from deployments.contract.errors import CheckpointError
from deployments.families.gpt_sovits.vits.attention import Attention, Encoder, masked
from deployments.families.gpt_sovits.weights import Shapes

FRAMES_PER_CODE = 2
CROSS_HEADS = 4  # of the attention over the text; no file says it


class CrossEncoder(nn.Module):
    """Mixes the text and the speaker into the content ("mrte")."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.cross_attention = Attention(width, CROSS_HEADS)
        self.c_pre, self.text_pre = nn.Conv1d(channels, width, 1), nn.Conv1d(channels, width, 1)
        self.c_post = nn.Conv1d(width, channels, 1)

    def forward(
        self, y: Tensor, mask: Tensor | None, text: Tensor, text_mask: Tensor | None, speaker: Tensor
    ) -> tuple[Tensor, Tensor]:
        """y: (B, C, T); text: (B, C, P); speaker: (B, width, 1) -> (B, C, T), and the heads' attention (B, T, P)."""
        content, text = self.c_pre(masked(y, mask)), self.text_pre(masked(text, text_mask))
        mixed, shares = self.cross_attention.seen(masked(content, mask), masked(text, text_mask), text_mask)
        return self.c_post(masked(mixed + content + speaker, mask)), shares.mean(1)


class ContentEncoder(nn.Module):
    """codes as their embeddings (B, D, N); phones int64 (B, P); speaker (B, width, 1).

    Masks are (B, 1, T) or (B, 1, P), 0 where padded, or None without padding.
    """

    def __init__(self, shapes: Shapes, heads: int) -> None:
        """shapes: of the tensors, without a prefix."""
        super().__init__()
        self.heads = heads
        channels, codes, _ = shapes["ssl_proj.weight"]
        hidden, _, kernel = shapes["encoder_text.ffn_layers.0.conv_1.weight"]
        rows, _ = shapes["text_embedding.weight"]

        def encoder(name: str) -> Encoder:
            layers = sum(
                key.startswith(f"{name}.attn_layers.") and key.endswith("conv_q.weight") for key in shapes
            )
            return Encoder(channels, hidden, heads, layers, kernel)

        self.ssl_proj = nn.Conv1d(codes, channels, 1)
        self.encoder_ssl = encoder("encoder_ssl")
        self.encoder_text = encoder("encoder_text")
        self.text_embedding = nn.Embedding(rows, channels)
        self.mrte = CrossEncoder(channels, shapes["mrte.c_pre.weight"][0])
        self.encoder2 = encoder("encoder2")
        self.proj = nn.Conv1d(channels, shapes["proj.weight"][0], 1)

    def content(self, codes: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embeddings of codes (B, D, N) -> (B, C, 2 N)"""
        y = self.ssl_proj(F.interpolate(codes, scale_factor=FRAMES_PER_CODE, mode="nearest"))
        return self.encoder_ssl(masked(y, mask), mask)

    def text(self, phones: Tensor, mask: Tensor | None = None) -> Tensor:
        """int64 (B, P) -> (B, C, P)"""
        return self.encoder_text(self.text_embedding(phones).transpose(1, 2), mask)

    def latents(
        self,
        codes: Tensor,
        phones: Tensor,
        speaker: Tensor,
        mask: Tensor | None = None,
        phone_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """-> (B, C, 2 N), and the attention of each frame to the phones (B, 2 N, P)"""
        y, text = self.content(codes, mask), self.text(phones, phone_mask)
        mixed, attention = self.mrte(y, mask, text, phone_mask, speaker)
        return self.encoder2(mixed, mask), attention

    def prior(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T) -> mean and log of the standard deviation, (B, I, T) each."""
        mean, log_std = self.proj(latents).chunk(2, dim=1)
        return mean, log_std


def faster(latents: Tensor, speed: float) -> Tensor:
    """Latents (B, C, T) at another pace: (B, C, T / speed + 1), interpolated; unchanged at a speed of 1."""
    if speed == 1:
        return latents
    return F.interpolate(latents, size=int(latents.shape[2] / speed) + 1, mode="linear")


def code_embeddings(tensors: Mapping[str, Tensor], file: str) -> Tensor:
    """The quantizer's codebook (codes, D). Raises CheckpointError if it is missing."""
    name = "quantizer.vq.layers.0._codebook.embed"
    if name not in tensors:
        raise CheckpointError(f"{file}: {name} is missing")
    return tensors[name]


def embedded(codebook: Tensor, codes: Tensor) -> Tensor:
    """int64 (B, N) -> (B, D, N)"""
    return F.embedding(codes, codebook).transpose(1, 2)

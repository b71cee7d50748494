"""The VITS decoder of v1, v2, v2Pro and v2ProPlus: codes, phones and a voice to samples at 32 kHz."""

import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from deployments.families.gpt_sovits.checkpoints import SovitsFile
from deployments.families.gpt_sovits.vits.attention import masked
from deployments.families.gpt_sovits.vits.encoder import ContentEncoder, code_embeddings, embedded
from deployments.families.gpt_sovits.vits.flow import Flow
from deployments.families.gpt_sovits.vits.generator import Generator
from deployments.families.gpt_sovits.weights import linear_of, loaded, without_weight_norm


class Synthesizer(nn.Module):
    """speaker: (B, G), as the voice encoder makes it. Masks as in `ContentEncoder`."""

    codebook: Tensor

    def __init__(
        self,
        encoder: ContentEncoder,
        flow: Flow,
        generator: Generator,
        codebook: Tensor,
        narrow: nn.Linear | None,
    ) -> None:
        super().__init__()
        self.enc_p, self.flow, self.dec, self.ge_to512 = encoder, flow, generator, narrow
        self.register_buffer("codebook", codebook, persistent=False)

    @classmethod
    def load(cls, sovits: SovitsFile, tensors: Mapping[str, Tensor]) -> Self:
        """Raises CheckpointError, which names the tensor, if the tensors do not fit together."""
        file = sovits.name
        plain = without_weight_norm(tensors, file)
        return cls(
            loaded(ContentEncoder, plain, file, "enc_p.", sovits.config.n_heads),
            loaded(Flow, plain, file, "flow."),
            loaded(Generator, plain, file, "dec.", sovits.config),
            code_embeddings(plain, file),
            loaded(linear_of, plain, file, "ge_to512.") if sovits.pro else None,
        )

    @property
    def samples_per_frame(self) -> int:
        return math.prod(self.dec.rates)

    @property
    def speaker_width(self) -> int:
        assert self.dec.cond is not None
        return self.dec.cond.in_channels

    @property
    def channels(self) -> int:
        """Of z and of its noise."""
        return self.enc_p.proj.out_channels // 2

    def latents(
        self,
        codes: Tensor,
        phones: Tensor,
        speaker: Tensor,
        mask: Tensor | None = None,
        phone_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """codes int64 (B, N), phones int64 (B, P) -> (B, C, 2 N), and the attention to the phones (B, 2 N, P)"""
        style = speaker if self.ge_to512 is None else self.ge_to512(speaker)
        y = embedded(self.codebook, codes)
        return self.enc_p.latents(y, phones, style.unsqueeze(-1), mask, phone_mask)

    def z(self, latents: Tensor, speaker: Tensor, noise: Tensor, mask: Tensor | None = None) -> Tensor:
        """latents (B, C, T), noise (B, I, T) with the scale that is wanted -> (B, I, T)"""
        mean, log_std = self.enc_p.prior(latents)
        z = mean + noise * torch.exp(log_std)
        return masked(self.flow(masked(z, mask), speaker.unsqueeze(-1), mask), mask)

    def sound(self, latents: Tensor, speaker: Tensor, noise: Tensor, mask: Tensor | None = None) -> Tensor:
        """As `z` -> samples (B, T * samples_per_frame)"""
        return self.dec(self.z(latents, speaker, noise, mask), speaker.unsqueeze(-1), mask)

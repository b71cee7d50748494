"""The vocoder of the small family: units (codes, with their phones) and a speaker vector to a waveform.

A trunk of convolutions predicts F0, voicing and two spectral filters for each 10 ms frame; `SourceFilter` synthesises
the sound. Run it in float32, because F0 is exponentiated and its phase accumulates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.engine.noise import normal
from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig
from deployments.families.small.fsq import FSQ
from deployments.families.small.phase import QUIET, carried_phases, restarts
from deployments.families.small.source_filter import SourceFilter
from deployments.families.small.speaker import PITCH_DIMS, PITCH_MIDDLE, PITCH_SCALE


class VocoderNet(nn.Module):
    """See `forward`. A sample depends on up to `left_context` codes before and `right_context` codes after its own."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        dim, hidden, speaker = config.vocoder_dim, config.vocoder_hidden, config.speaker_dim
        self.fsq = FSQ(config.fsq_levels)
        self.enter = nn.Linear(len(config.fsq_levels), dim)
        self.phones = nn.Embedding(config.n_phones, dim) if config.vocoder_phones else None
        self.code_blocks = nn.ModuleList(
            [ConvBlock(dim, hidden, reach, speaker) for reach in config.code_reach]
        )
        self.upsample = nn.Linear(dim, config.frames_per_code * dim)
        self.frame_blocks = nn.ModuleList(
            [ConvBlock(dim, hidden, reach, speaker) for reach in config.frame_reach]
        )
        self.norm = nn.LayerNorm(dim)
        self.pitch_head = nn.Linear(dim, 2)  # log F0, voicing logit
        # log magnitudes of the harmonic and the noise filter, and with `phase_filter` the phase of the first
        self.filter_head = nn.Linear(dim, config.filters * config.n_bins)
        nn.init.normal_(self.filter_head.weight, std=0.01)
        nn.init.constant_(self.filter_head.bias[: 2 * config.n_bins], -3.0)
        self.source_filter = SourceFilter(config)
        self.left_context, self.right_context = config.left_context, config.right_context

    def embed(self, units: Tensor) -> Tensor:
        """Units (...) int64 -> (..., D)."""
        phones = units.div(self.config.n_codes, rounding_mode="floor")
        return self.entered(self.fsq.decode(units % self.config.n_codes), phones)

    def entered(self, latents: Tensor, phones: Tensor) -> Tensor:
        """latents (..., Q), phones (...) int64, which count only with `vocoder_phones` -> (..., D)."""
        x = self.enter(latents)
        return x if self.phones is None else x + self.phones(phones)

    def convolved(self, x: Tensor, speaker: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, D), speaker (B, S), mask (B, T) -> hidden before the norm (B, F, D), frame mask (B, F)."""
        config, code_mask = self.config, mask.unsqueeze(-1)  # (B, T, 1)
        for block in self.code_blocks:
            x = block(x, code_mask, speaker)
        x = self.upsample(x).unflatten(-1, (config.frames_per_code, config.vocoder_dim)).flatten(1, 2)
        frame_mask = mask.repeat_interleave(config.frames_per_code, dim=1)  # (B, F)
        for block in self.frame_blocks:
            x = block(x, frame_mask.unsqueeze(-1), speaker)
        return x, frame_mask

    def normed(self, x: Tensor) -> Tensor:
        """x (..., D) -> float64. In float32, the norm and the pitch head would cause most of F0's rounding error."""
        norm = self.norm
        return F.layer_norm(x.double(), norm.normalized_shape, norm.weight.double(), norm.bias.double())

    def pitch(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden (..., D) -> log F0 relative to the speaker's `base`, float64, and voicing logit; (...) each.

        Rounding errors of float32 would accumulate in the phase and be audible in the high harmonics.
        """
        head = self.pitch_head
        out = F.linear(hidden.double(), head.weight.double(), head.bias.double())
        return out[..., 0] * 0.5, out[..., 1].to(head.weight.dtype)

    def base(self, speaker: Tensor) -> Tensor:
        """Speaker (..., S) -> the median log F0 of the voice in log Hz, float64, (...)."""
        return speaker[..., -PITCH_DIMS].double() / PITCH_SCALE + PITCH_MIDDLE

    def filters(self, hidden: Tensor, timbre: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden (B, F, D), timbre (B, bins) -> the harmonic and the noise filter, (B, F, bins) each.

        The harmonic one is complex with `phase_filter`. Otherwise both are magnitudes.
        """
        out, size = self.filter_head(hidden), 2 * self.config.n_bins
        levels = out[..., :size]
        if timbre is not None:
            levels = levels + torch.cat([timbre, timbre], dim=-1).unsqueeze(1)
        harmonic, noisy = torch.exp(levels.clamp(-12, 4)).chunk(2, dim=-1)
        return torch.polar(harmonic, out[..., size:]) if self.config.phase_filter else harmonic, noisy

    def forward(
        self,
        units: Tensor,
        speaker: Tensor,
        mask: Tensor,
        seed: Tensor,
        first_code: Tensor,
        left: Tensor,
        n: Tensor,
        phase: Tensor,
        chain: Tensor | None = None,
        timbre: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One chunk per row: units (B, T) int64 -> waveform (B, T * samples_per_code), next phase (B,) float64.

        A row is [left context | emitted codes | right context | padding]. Samples are aligned with the codes: the
        caller keeps [left * samples_per_code, (left + n) * samples_per_code). Give `left_context` codes on the left and
        `right_context` on the right, and fewer only at the start or end of the utterance.

        speaker (B, S) float32; timbre (B, bins) float32, see timbre.py; mask (B, T) float32, 1 for codes, 0 for padding
        (on either side); seed (B,) int64 of the noise; first_code (B,) int64: index in the utterance of the row's code
        0 (negative if the row starts with padding); left, n (B,) int64: context codes (left padding included) and
        emitted codes; phase (B,) float64: cycles in [0, 1) at the first emitted sample, 0 for the first chunk of an
        utterance. It applies until the phase restarts (phase.py). The second result is the phase of the next chunk.

        chain (B, B) float64, if some rows continue others of this batch: 1 at [i, j] if row j is one of the rows before
        row i, back to the row whose phase is known. Then phase[i] is the phase of that row.
        """
        config = self.config
        x, frame_mask = self.convolved(self.embed(units), speaker, mask)
        hidden = self.normed(x)
        log_f0, voicing = self.pitch(hidden)
        exact = torch.exp(log_f0 + self.base(speaker).unsqueeze(-1)).clamp(config.f0_floor, config.f0_ceil)
        voiced = (voicing > 0).to(voicing.dtype)
        turn, next_phase = self._phases(exact, voiced * frame_mask, frame_mask, left, n, phase, chain)
        pulses = self.source_filter.pulses(exact.float(), voiced, turn, frame_mask)
        samples = units.shape[1] * config.samples_per_code
        start = first_code.unsqueeze(1) * config.samples_per_code
        noise = normal(seed.unsqueeze(1), torch.arange(samples, device=units.device) + start)  # (B, N)
        harmonic, noisy = self.filters(hidden.to(x.dtype), timbre)
        return self.source_filter(pulses, noise, harmonic, noisy, frame_mask), next_phase

    def _phases(
        self,
        f0: Tensor,
        voiced: Tensor,
        frame_mask: Tensor,
        left: Tensor,
        n: Tensor,
        phase: Tensor,
        chain: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """f0 (B, F) float64, voiced (B, F), 0 where masked -> cycles (B, F) at frame starts, next phase (B,)."""
        passed = self.source_filter.frame_phase(f0, frame_mask)  # (B, F + 1)
        start = left.unsqueeze(1) * self.config.frames_per_code  # (B, 1) first emitted frame
        stop = start + n.unsqueeze(1) * self.config.frames_per_code
        before = passed.gather(1, start)  # (B, 1)
        frames = torch.arange(passed.shape[1], device=passed.device)
        # frames up to the first emitted one use the carried phase
        marks = restarts(F.pad(voiced, (QUIET, 1))) & (frames > start)
        origin = torch.where(marks, passed, -1.0).cummax(1).values  # cycles at the last restart
        restarted = origin >= 0
        since = passed - torch.where(restarted, origin, before)  # (B, F + 1)
        restarted_at_stop, since_stop = restarted.gather(1, stop)[:, 0], since.gather(1, stop)[:, 0]
        begun = phase if chain is None else carried_phases(phase, chain, restarted_at_stop, since_stop)
        turn = since + torch.where(restarted, 0.0, begun.unsqueeze(1))
        return turn[:, :-1], torch.remainder(turn.gather(1, stop)[:, 0], 1.0)

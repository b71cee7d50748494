"""The voice encoder of VoxCPM: a recording and its transcript to patches of latents."""

from functools import lru_cache

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.contract.speech import Reference, VoicePrompt
from deployments.families.voxcpm.audio_vae import VaeWeights
from deployments.families.voxcpm.config import VoxConfig
from deployments.families.voxcpm.modes import PROMPT, REFERENCE, TRANSCRIPT


class VoxVoiceEncoder:
    """Encodes one reference at a time in float32 on `device`."""

    def __init__(self, weights: VaeWeights, config: VoxConfig, device: torch.device) -> None:
        self.encoder = weights.encoder(device)
        self.config, self.rate, self.device = config, config.audio_vae_config.sample_rate, device

    @torch.inference_mode()
    def encode(self, reference: Reference) -> VoicePrompt:
        """Neither trimmed nor normalised.

        Returns the first waveform as "prompt" with its "transcript" (UTF-8), if that is known, padded before its
        beginning; in the second release, the second waveform, or the first if there is one only, as "reference", padded
        behind its end. Patches are float32 (T, P, D).
        """
        arrays: dict[str, np.ndarray] = {}
        transcript = (reference.transcript or "").strip()
        if transcript:
            arrays[PROMPT] = self.patches(*reference.waveforms[0], before=True)
            arrays[TRANSCRIPT] = np.frombuffer(transcript.encode("utf-8", "replace"), np.uint8)
        if self.config.version == 2:
            arrays[REFERENCE] = self.patches(*reference.waveforms[:2][-1], before=False)
        return VoicePrompt.of("voxcpm", arrays)

    def patches(self, waveform: np.ndarray, rate: int, *, before: bool) -> np.ndarray:
        """float32 (N,) at `rate` -> (T, P, D). before: whole patches come from zeros before the beginning."""
        samples = self._resampled(np.asarray(waveform, np.float32), rate).to(self.device)
        missing = -len(samples) % (self.config.patch_size * self.encoder.hop)
        samples = F.pad(samples, (missing, 0) if before else (0, missing))
        latents = self.encoder(samples[None, None])[0].T  # (frames, D)
        return latents.unflatten(0, (-1, self.config.patch_size)).cpu().numpy()

    def _resampled(self, waveform: np.ndarray, rate: int) -> Tensor:
        """By the filter that each release was published with."""
        if rate == self.rate:
            return torch.from_numpy(waveform)
        if self.config.version == 2:
            return torch.from_numpy(soxr.resample(waveform, rate, self.rate, quality="HQ"))
        return _resampler(rate, self.rate)(torch.from_numpy(waveform))


@lru_cache(8)
def _resampler(rate: int, to: int) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    return Resample(rate, to)

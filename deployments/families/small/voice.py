"""Voice part of the small family: a reference recording to a speaker vector."""

from __future__ import annotations

import numpy as np
import soxr
import torch

from deployments.errors import InvalidInput
from deployments.families.base import VoicePrompt
from deployments.families.small.config import MAX_SECONDS, MIN_SECONDS, SmallConfig
from deployments.families.small.speaker import SpeakerEncoder

LOUDNESS = 0.08  # RMS of the utterances that the nets were trained on
EDGE_DB = -40.0  # a 10 ms frame this far below the loudest ones is silence
THUMP = 15  # frames: what is loud for a shorter time is a thump, and not of these


def trim_silence(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The waveform (N,) without the silence at its edges; empty where there is nothing but silence."""
    frame = rate // 100
    frames = waveform[: len(waveform) // frame * frame].reshape(-1, frame)
    level = np.sqrt(np.mean(frames**2, axis=1)) if len(frames) else np.zeros(0)
    if not len(level) or level.max() < 1e-4:
        return waveform[:0]
    loudest = np.sort(level)[-THUMP:][0]
    loud = np.flatnonzero(level > loudest * 10 ** (EDGE_DB / 20))
    return waveform[loud[0] * frame : (loud[-1] + 1) * frame]


class SmallVoiceEncoder:
    """Encodes on the CPU or the device; float32, as references are encoded once and cached."""

    def __init__(self, net: SpeakerEncoder, config: SmallConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.net = net.float().eval().to(device)

    @torch.inference_mode()
    def encode(self, waveform: np.ndarray, rate: int, transcript: str | None = None) -> VoicePrompt:
        """waveform: float32 (N,) mono at `rate` Hz; of a long one the first minute of speech counts.

        The transcript is not needed by this family. Raises InvalidInput where the reference is silent or too short.
        """
        speech = trim_silence(np.asarray(waveform, np.float32), rate)
        if not len(speech):
            raise InvalidInput("the reference audio is silent", param="reference_audio", code="silent_audio")
        if len(speech) < MIN_SECONDS * rate:
            raise InvalidInput(
                f"the reference audio holds {len(speech) / rate:.2f} s of sound; at least {MIN_SECONDS:g} s are needed",
                param="reference_audio",
                code="audio_too_short",
            )
        speech = soxr.resample(speech[: int(MAX_SECONDS * rate)], rate, self.config.sample_rate)
        loudness = float(np.sqrt(np.mean(speech**2)))
        speech = speech * min(LOUDNESS / max(loudness, 1e-6), 0.95 / max(float(np.abs(speech).max()), 1e-6))
        samples = torch.from_numpy(np.ascontiguousarray(speech, np.float32)).to(self.device)
        vector = self.net(samples.unsqueeze(0))[0]  # (S,)
        return VoicePrompt.of("small", {"speaker": vector.float().cpu().numpy()})

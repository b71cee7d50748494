"""The voice encoder of the small family: a reference recording to a speaker vector and a timbre."""

import numpy as np
import soxr
import torch

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Reference, VoicePrompt
from deployments.families.small.config import MAX_SECONDS, MIN_SECONDS, SmallConfig
from deployments.families.small.speaker import SpeakerEncoder
from deployments.families.small.timbre import Timbre

LOUDNESS = 0.08  # RMS of the training utterances
EDGE_DB = -40.0  # quieter 10 ms frames, relative to the loudest speech, are silence
THUMP = 15  # frames; a shorter loud sound is a thump, not speech
THUMP_DB = 6.0  # above the loudest speech, to which thumps are attenuated


def frame_levels(waveform: np.ndarray, rate: int) -> tuple[np.ndarray, float]:
    """waveform (N,) -> the RMS of its whole frames of 10 ms, (T,), and that of the loudest speech, without thumps."""
    frame = rate // 100
    frames = waveform[: len(waveform) // frame * frame].reshape(-1, frame)
    level = np.sqrt(np.mean(frames**2, axis=1)) if len(frames) else np.zeros(0)
    return level, float(np.sort(level)[-THUMP:][0]) if len(level) else 0.0


def trim_silence(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The waveform (N,) without the silence at its edges. Empty if all of it is silent."""
    level, loudest = frame_levels(waveform, rate)
    if not len(level) or level.max() < 1e-4:
        return waveform[:0]
    loud, frame = np.flatnonzero(level > loudest * 10 ** (EDGE_DB / 20)), rate // 100
    return waveform[loud[0] * frame : (loud[-1] + 1) * frame]


def soften_thumps(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The waveform (N,) with thumps attenuated, which would otherwise mask the voice."""
    level, loudest = frame_levels(waveform, rate)
    gain = np.minimum(1.0, loudest * 10 ** (THUMP_DB / 20) / np.maximum(level, 1e-9))
    if not len(gain) or gain.min() == 1.0:
        return waveform
    gain = np.minimum(gain, np.minimum(np.append(gain[1:], 1.0), np.append(1.0, gain[:-1])))
    middles = (np.arange(len(gain)) + 0.5) * (rate // 100)
    return waveform * np.interp(np.arange(len(waveform)), middles, gain).astype(np.float32)


class SmallVoiceEncoder:
    """Encodes in float32 on the CPU or the device. References are encoded once and cached, so speed matters little."""

    def __init__(
        self, net: SpeakerEncoder, timbre: Timbre, config: SmallConfig, device: torch.device
    ) -> None:
        self.net, self.timbre, self.config, self.device = net, timbre, config, device

    @torch.inference_mode()
    def encode(self, reference: Reference) -> VoicePrompt:
        """Takes a minute of the first waveform's speech. Raises InvalidInput if it is silent or too short."""
        waveform, rate = reference.first
        speech = soften_thumps(trim_silence(np.asarray(waveform, np.float32), rate), rate)
        if not len(speech):
            raise InvalidInput("the reference audio is silent", param="reference_audio", code="silent_audio")
        if len(speech) < MIN_SECONDS * rate:
            raise InvalidInput(
                f"the reference audio has {len(speech) / rate:.2f} s of sound; at least {MIN_SECONDS:g} s are needed",
                param="reference_audio",
                code="audio_too_short",
            )
        speech = soxr.resample(speech[: int(MAX_SECONDS * rate)], rate, self.config.sample_rate)
        loudness = float(np.sqrt(np.mean(speech**2)))
        speech = speech * min(LOUDNESS / max(loudness, 1e-6), 0.95 / max(float(np.abs(speech).max()), 1e-6))
        samples = torch.from_numpy(np.ascontiguousarray(speech, np.float32)).to(self.device)
        vector = self.net(samples.unsqueeze(0))[0]  # (S,)
        timbre = self.timbre(vector, self.net.log_mel(samples.unsqueeze(0))[0])  # (bins,)
        return VoicePrompt.of("small", {"speaker": vector.cpu().numpy(), "timbre": timbre.cpu().numpy()})

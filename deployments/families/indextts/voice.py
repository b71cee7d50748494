"""The voice encoder of IndexTTS: a reference recording to the GPT's 32 latents and the vocoder's speaker vector."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Reference, VoicePrompt
from deployments.families.checkpoint import fill, part_of
from deployments.families.indextts.config import MAX_SECONDS, MIN_SECONDS, N_MELS, GptConfig, IndexConfig
from deployments.families.indextts.conformer import Conformer, subsampled
from deployments.families.indextts.ecapa import Ecapa, EcapaWidths, without_counters
from deployments.families.indextts.mel import LogMel, resample
from deployments.families.indextts.perceiver import Perceiver

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz
SILENCE = 1e-4  # a peak below this is inaudible (-80 dBFS)
LOUDEST = 100.0  # float recordings may exceed -1..1 by mistake; one with a higher peak is damaged


class Conditioner(nn.Module):
    """Log-mel (B, 100, T) -> latents (B, 32, model_dim). mask: see `Conformer`."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        module = config.condition_module
        self.conditioning_encoder = Conformer(N_MELS, module)
        self.perceiver_encoder = Perceiver(
            config.model_dim, module.output_size, module.attention_heads, module.perceiver_mult
        )

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        frames = self.conditioning_encoder(mel.transpose(1, 2), mask)
        return self.perceiver_encoder(frames, None if mask is None else subsampled(mask))


class IndexVoiceEncoder:
    """Encodes one reference at a time in float32 on `device`. Prompts are cached, so speed matters little.

    It takes all tensors of the GPT's and the vocoder's files. Raises ConfigError, which names the file, the tensor and
    the shapes, if they do not match the config.
    """

    def __init__(
        self,
        config: IndexConfig,
        gpt_tensors: Mapping[str, Tensor],
        vocoder_tensors: Mapping[str, Tensor],
        device: torch.device,
    ) -> None:
        conditioner = Conditioner(config.gpt)
        for prefix, module in conditioner.named_children():
            fill(module, part_of(gpt_tensors, f"{prefix}."), config.gpt_checkpoint, prefix=f"{prefix}.")
        file, prefix = config.bigvgan_checkpoint, "speaker_encoder."
        tensors = without_counters(part_of(vocoder_tensors, prefix))
        speaker = Ecapa(EcapaWidths.of(tensors, file, prefix), config.bigvgan.speaker_embedding_dim)
        self.device = device
        self.log_mel = LogMel()
        self.conditioner = conditioner.eval().to(device)
        self.speaker = fill(speaker, tensors, file, prefix).eval().to(device)

    @torch.inference_mode()
    def encode(self, reference: Reference) -> VoicePrompt:
        """Takes the first waveform, 0.5 to 60 s. It is neither trimmed nor normalised. The transcript is ignored.

        Returns "latents" float32 (32, model_dim) and "speaker" float32 (speaker_dim,). Raises InvalidInput (param
        "reference_audio") if the reference is too short, too long, silent or damaged.
        """
        waveform, rate = reference.first
        waveform = np.asarray(waveform, np.float32)
        check_reference(waveform, rate)
        mel = self.log_mel(resample(waveform, rate).unsqueeze(0)).to(self.device)  # (1, 100, T)
        latents, speaker = self.conditioner(mel)[0], self.speaker(mel)[0]
        arrays = {"latents": latents.cpu().numpy(), "speaker": speaker.cpu().numpy()}
        return VoicePrompt.of("indextts", arrays)


def check_reference(waveform: np.ndarray, rate: int) -> None:
    """Raises InvalidInput if float32 (N,) at `rate` Hz is unusable as a reference."""

    def refused(message: str, code: str = InvalidInput.code) -> InvalidInput:
        return InvalidInput(f"the reference audio {message}", param="reference_audio", code=code)

    if not MIN_RATE <= rate <= MAX_RATE:
        raise refused(f"has a rate of {rate} Hz; {MIN_RATE} to {MAX_RATE} are allowed")
    if waveform.ndim != 1:
        raise refused(f"has {waveform.ndim} dimensions; it must be mono")
    seconds = len(waveform) / rate
    if seconds < MIN_SECONDS:
        raise refused(f"lasts {seconds:.2f} s; at least {MIN_SECONDS:g} s are needed", "audio_too_short")
    if seconds > MAX_SECONDS:
        raise refused(f"lasts {seconds:.1f} s; at most {MAX_SECONDS:g} s are allowed", "audio_too_long")
    peak = float(np.abs(waveform).max())
    if not peak <= LOUDEST:  # also True for NaN
        raise refused("contains samples that are not finite or not in -1..1")
    if peak < SILENCE:
        raise refused("is silent", "silent_audio")
